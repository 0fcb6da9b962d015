"""Compiled loops: plain functions of arrays and scalars.

They import NumPy and Numba alone and hold no state; random numbers come in as arguments.
Shapes and dtypes are in each docstring. Compilation: :mod:`.compilation`. What
those of tokenization compute is what :mod:`nightjar.model.tokenization` computes, faster; tests
hold the two together.
"""
