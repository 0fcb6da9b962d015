"""Prefect flows: when the stages run and in what order. Imported as ``nightjar.flows``."""

if __name__ == "flows":  # someone's working directory is the repository
    raise ImportError("these are nightjar's flows: import nightjar.flows instead")
