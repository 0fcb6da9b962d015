"""Compiled loops of the native trainers: plain functions of arrays and scalars.

They import numpy and numba alone and hold no state; random numbers come in as arguments.
Shapes and dtypes are in each docstring. Compilation: :mod:`nightjar.compilation`.
"""
