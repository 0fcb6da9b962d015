"""One Prefect task a stage: retries, progress and links; the body is one call into nightjar."""
