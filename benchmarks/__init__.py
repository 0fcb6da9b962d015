"""Measurements of speed and memory; results go into docs/experiments.md."""
