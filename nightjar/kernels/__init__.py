"""Compiled loops: functions of arrays and scalars.

They only import NumPy and Numba and hold no state; random numbers are passed as arguments. Shapes
and dtypes are in each docstring. See :mod:`.compilation` for how they are compiled. The
tokenization kernels compute the same as :mod:`nightjar.model.tokenization`, but faster; tests
compare the two.
"""
