"""One Prefect task a stage: retries, progress and links. Imported as ``nightjar.tasks``."""
