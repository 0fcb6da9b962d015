"""Scores of benchmarks: metrics over answers, their intervals, and reading them from artifacts."""
