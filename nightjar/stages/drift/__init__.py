"""Drift: what moved between two versions of a model, beside what another seed moves."""

from nightjar.stages.drift.drift_stage import DriftFound, MeasureDrift, read_drift

__all__ = ["DriftFound", "MeasureDrift", "read_drift"]
