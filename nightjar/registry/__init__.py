"""MLflow's model registry, and nothing else: versions, their files, where aliases point.

Each model of a pipeline is one registered MLflow model, ``<pipeline>-<model>``. Registering a
trained and evaluated model (:func:`ensure_registered`) makes one version per content of its
embeddings and of the code that packages them, and decides nothing:

1. The hashes of the embeddings are checked (:mod:`.summary`).
2. A run records hyper-parameters, every score, losses, the documents and tokens as inputs, and
   the model card (:mod:`.runs`, :mod:`.model_card`).
3. The model is logged as code (:mod:`.model_code`, which needs only mlflow, numpy and pyarrow)
   with its files and a list of their hashes, and loaded back (:mod:`.packaging`,
   :mod:`.registered_files`).
4. The registered version is made with lineage and scores as tags
   (:mod:`.tags`, :mod:`.registration`).

:mod:`nightjar.promotion` decides which version is champion; :mod:`.writers` writes it.
:mod:`.removal` deletes unneeded versions for good.

Looking up versions imports no MLflow where the registry is a SQLite file (:mod:`.readers`), so
planning stays fast; importing this package does not import MLflow either. :mod:`.client`
connects to MLflow, and :mod:`.model_card_reading` reads model cards back.
"""

from nightjar.registry.client import patient
from nightjar.registry.corpus_runs import CorpusRun, LoggedRun, log_corpus
from nightjar.registry.model_card_reading import read_model_card
from nightjar.registry.night_pages import PAGE_TAG, delete_night_pages, log_night_page
from nightjar.registry.readers import (
    CHALLENGER,
    CHAMPION,
    FIT_TAG,
    SPACE_TAG,
    RegisteredVersion,
    RegistryPlace,
    RegistryReader,
    open_reader,
)
from nightjar.registry.registered_files import check_files_whole, model_files
from nightjar.registry.registered_names import (
    experiment_name,
    find_registered,
    registered_name,
    registration_key,
)
from nightjar.registry.registration import ensure_registered
from nightjar.registry.removal import (
    Deletion,
    bytes_of_run,
    bytes_of_version,
    delete_run,
    delete_version,
    gc_command,
)
from nightjar.registry.summary import BASE, RegistrationRequest
from nightjar.registry.uris import is_server, masked, page_of, tracking_uri
from nightjar.registry.writers import (
    GATE_TAG,
    LEDGER_TAG,
    ClientWriter,
    RegistryWriter,
    applied_event,
    check_owner,
    load_address,
    open_writer,
)

__all__ = [
    "BASE",
    "CHALLENGER",
    "CHAMPION",
    "FIT_TAG",
    "GATE_TAG",
    "LEDGER_TAG",
    "PAGE_TAG",
    "SPACE_TAG",
    "ClientWriter",
    "CorpusRun",
    "Deletion",
    "LoggedRun",
    "RegisteredVersion",
    "RegistrationRequest",
    "RegistryPlace",
    "RegistryReader",
    "RegistryWriter",
    "applied_event",
    "bytes_of_run",
    "bytes_of_version",
    "check_files_whole",
    "check_owner",
    "delete_night_pages",
    "delete_run",
    "delete_version",
    "ensure_registered",
    "experiment_name",
    "find_registered",
    "gc_command",
    "is_server",
    "load_address",
    "log_corpus",
    "log_night_page",
    "masked",
    "model_files",
    "open_reader",
    "open_writer",
    "page_of",
    "patient",
    "read_model_card",
    "registered_name",
    "registration_key",
    "tracking_uri",
]
