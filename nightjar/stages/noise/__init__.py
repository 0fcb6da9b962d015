"""Noise: how much the scores of a model differ between trainings that differ in their seed."""

from nightjar.stages.noise.noise_stage import MeasureNoise

__all__ = ["MeasureNoise"]
