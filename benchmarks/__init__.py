"""Speed and memory, measured; what is found goes into docs/experiments.md."""
