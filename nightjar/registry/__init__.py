"""The register stage: MLflow's model registry, the gate, champion and challenger, the ledger.

Each model of a pipeline is one registered MLflow model, ``<pipeline>-<model>``. Registering
a trained and evaluated model (:func:`register`):

1. The hashes of the embeddings are checked (:mod:`~nightjar.registry.summary`).
2. A run holds hyper-parameters, every score, losses, the documents and tokens as inputs, and
   the model card (:mod:`~nightjar.registry.runs`, :mod:`~nightjar.registry.model_card`).
3. The model is logged as code (:mod:`~nightjar.registry.model_code`, which needs mlflow,
   numpy and pyarrow alone) with its Parquet files, and loaded back
   (:mod:`~nightjar.registry.packaging`).
4. The gate compares its scores with the champion's (:mod:`~nightjar.registry.gate`), and the
   registered version is made with lineage, scores and decision as tags
   (:mod:`~nightjar.registry.tags`).
5. The alias ``champion`` moves to it, or ``challenger`` does and the champion stays
   (:mod:`~nightjar.registry.registration`).
6. The row ``registrations`` is published; all of them together are the ledger
   (:mod:`~nightjar.registry.ledger`).

Looking versions up takes no MLflow import where the registry is a SQLite file
(:mod:`~nightjar.registry.reading`), so planning a run stays fast; importing this package
does not import MLflow either. :mod:`~nightjar.registry.client` reaches MLflow. Model cards are read
back by :mod:`~nightjar.registry.cards`.
"""

from nightjar.registry.cards import read_model_card
from nightjar.registry.corpus_runs import CorpusRun, LoggedRun, log_corpus
from nightjar.registry.gate import CHALLENGER, CHAMPION, Decision, GateScores, decide
from nightjar.registry.identity import registered_name, registration_identity
from nightjar.registry.ledger import LedgerEntry, read_entry, read_ledger
from nightjar.registry.reading import RegisteredVersion, RegistryReader, open_reader
from nightjar.registry.registration import register
from nightjar.registry.summary import BASE, RegistrationRequest
from nightjar.registry.uris import masked, tracking_uri

__all__ = [
    "BASE",
    "CHALLENGER",
    "CHAMPION",
    "CorpusRun",
    "Decision",
    "GateScores",
    "LedgerEntry",
    "LoggedRun",
    "RegisteredVersion",
    "RegistrationRequest",
    "RegistryReader",
    "decide",
    "log_corpus",
    "masked",
    "open_reader",
    "read_entry",
    "read_ledger",
    "read_model_card",
    "register",
    "registered_name",
    "registration_identity",
    "tracking_uri",
]
