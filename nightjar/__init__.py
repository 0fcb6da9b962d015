"""Nightjar: nightly embeddings you can trust.

Packages import only packages below them::

    cli
    explorer, flows         the local web page; the Prefect flow of a night
    tasks                   one Prefect task per stage
    pipeline                plans and runs a night; retention
    stages                  one package per stage
    promotion               gate, ledger, champions
    registry                MLflow
    core                    stages, plans and nights as such; executors
    formats                 files of vectors and of models
    store                   versioned Parquet artifacts, leases
    config
    files, progress, kernels
    errors
    model                   copied into every registered model

Stages never import each other; they meet in artifacts. See docs/architecture.md.
"""

__version__ = "0.1.0"
