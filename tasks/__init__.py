"""One Prefect task per stage: retries, progress and links. Imported as ``nightjar.tasks``."""

if __name__ == "tasks":  # someone's working directory is the repository
    raise ImportError("these are nightjar's tasks: import nightjar.tasks instead")
