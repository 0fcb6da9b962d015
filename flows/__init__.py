"""Prefect flows: when and in what order the stages run. Imported as ``nightjar.flows``."""
