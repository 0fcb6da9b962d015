"""What travels with a registered model: its lookup and its tokenization.

NumPy and pyarrow alone are needed, Nightjar is not: both packages are copied into the model.
"""
