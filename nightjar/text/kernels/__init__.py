"""Compiled loops of the tokenize stage: plain functions of arrays and numbers.

They import numpy and numba alone and hold no state. What they compute is what the tokenizers of
:mod:`nightjar.tokenization` compute, faster; tests hold the two together.
"""
