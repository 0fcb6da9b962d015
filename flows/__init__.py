"""Prefect flows: when and in what order the stages run. Imported as ``nightjar.flows``."""

if __name__ == "flows":  # someone's working directory is the repository
    raise ImportError("these are nightjar's flows: import nightjar.flows instead")
