"""The code that is packaged with a registered model: lookup and tokenization.

It needs only NumPy and pyarrow, not Nightjar: both packages are copied into the model.
"""
