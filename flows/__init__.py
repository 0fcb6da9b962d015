"""Prefect flows: when the stages run and in what order. Imported as ``nightjar.flows``."""
