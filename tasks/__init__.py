"""One Prefect task per stage: retries, progress and links. Imported as ``nightjar.tasks``."""
