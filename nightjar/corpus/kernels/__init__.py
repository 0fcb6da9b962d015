"""Compiled loops of ingest: plain functions of arrays and numbers, numpy and numba alone."""
