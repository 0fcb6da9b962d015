"""training/kernels."""
