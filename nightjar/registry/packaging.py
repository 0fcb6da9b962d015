"""The model itself: logged as code with memory-mapped files, and loaded back as a check."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nightjar.errors import RegistryUnavailable
from nightjar.files.scratch import ScratchDirectory, libraries_use_scratch
from nightjar.formats.model_files import model_content, tokenizer_settings
from nightjar.formats.spaces import space_of
from nightjar.model.lookup import Parameters, copy_code, write_model
from nightjar.model.tokenization import EXTRAS
from nightjar.registry.client import import_mlflow
from nightjar.registry.model_card import CARD_NAME, model_card
from nightjar.registry.readers import RegistryPlace
from nightjar.registry.registered_files import FILES_NAME, LOOKUP, FileList, stored_model
from nightjar.registry.registered_names import MODEL_CODE_PATH
from nightjar.registry.summary import ModelSummary
from nightjar.store import Artifact, library_versions

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSpec

REQUIREMENTS = ("mlflow", "numpy", "pyarrow")
"""What every registered model needs to be loaded; some tokenizers need more."""

_fluent_lock = threading.Lock()


@contextmanager
def active_run(uri: str, run_id: str) -> Iterator[None]:
    """Make ``uri`` MLflow's address and ``run_id`` its active run, for logging a model.

    Both are global in MLflow, so only one thread at a time may enter. The run ends as finished,
    or as failed when the block raises. MLflow's copies of the model are temporary files of this
    process: the next one removes them if this one is killed.
    """
    mlflow = import_mlflow()
    with _fluent_lock, libraries_use_scratch():
        previous = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
        mlflow.set_tracking_uri(uri)
        try:
            with mlflow.start_run(run_id=run_id, log_system_metrics=False):
                yield
        finally:
            mlflow.set_tracking_uri(previous)


@dataclass(frozen=True)
class LoggedModel:
    """A model that is stored and was loaded successfully."""

    model_id: str
    files_sha256: str
    """Sha256 of the list of its files, which is stored beside them."""


def log_model(
    place: RegistryPlace, client: MlflowClient, summary: ModelSummary, tags: dict[str, str]
) -> LoggedModel:
    """Log the model with the list of its files, within :func:`active_run`.

    MLflow copies the files twice, through the system's temporary directory. Raises
    RegistryUnavailable when the stored model does not answer with the vectors it was given, or
    its arrays are not those that were scored.
    """
    mlflow = import_mlflow()
    versions = library_versions(*_requirements(summary))
    with ScratchDirectory() as temporary:
        info = mlflow.pyfunc.log_model(
            name=summary.request.model_name,
            python_model=str(MODEL_CODE_PATH),
            artifacts=_files(summary, Path(temporary)),
            signature=signature(),
            input_example=list(summary.example_words),
            pip_requirements=[f"{name}=={version}" for name, version in versions.items()],
            metadata={
                "nightjar": summary.versions,
                "nightjar_space": space_of(summary.request.embeddings),
            },
            tags=tags,
        )
    with stored_model(client, place, info.model_id) as directory:
        _check_answers(summary, directory)
        listed = FileList.of(directory)
    _check_scored(summary, listed)
    with ScratchDirectory() as temporary:
        path = Path(temporary) / FILES_NAME
        path.write_text(listed.to_text(), encoding="utf-8")
        client.log_model_artifact(info.model_id, str(path))
    return LoggedModel(info.model_id, hashlib.sha256(listed.to_text().encode()).hexdigest())


def _requirements(summary: ModelSummary) -> list[str]:
    """The distributions that the model imports; those of its tokenizer only for texts."""
    request = summary.request
    tokenizer = tokenizer_settings(request.embeddings).tokenizer
    extra = EXTRAS.get(tokenizer)
    return [*REQUIREMENTS, *(() if extra is None else extra.distributions)]


def signature() -> ModelSignature:
    """One column of items of any JSON type, and the parameters of :class:`.lookup.Parameters`.

    There is no output schema, because the output depends on the task.
    """
    from mlflow.models import ModelSignature  # noqa: PLC0415
    from mlflow.types import ColSpec, ParamSchema, Schema  # noqa: PLC0415
    from mlflow.types.schema import AnyType  # noqa: PLC0415

    any_type: Any = AnyType
    parameters = [_parameter(name, value) for name, value in asdict(Parameters()).items()]
    return ModelSignature(inputs=Schema([ColSpec(any_type())]), params=ParamSchema(parameters))


def _parameter(name: str, default: Any) -> ParamSpec:
    from mlflow.types import DataType, ParamSpec  # noqa: PLC0415

    if isinstance(default, tuple):
        return ParamSpec(name, DataType.string, list(default), shape=(-1,))
    kinds: Mapping[type, Any] = {
        str: DataType.string,
        bool: DataType.boolean,
        int: DataType.long,
        float: DataType.double,
    }
    return ParamSpec(name, kinds[type(default)], default)


def _files(summary: ModelSummary, temporary: Path) -> dict[str, str]:
    """Paths of the files and directories that go into the model."""
    card, lookup, code = (temporary / name for name in (CARD_NAME, "lookup", "code"))
    card.write_text(model_card(summary), encoding="utf-8")
    lookup.mkdir()
    request = summary.request
    content = model_content(request.registered_model, request.embeddings)
    write_model(lookup, content)
    code.mkdir()
    copy_code(code)
    paths = {"lookup": lookup, "code": code, "model_card": card}
    return {name: str(path.absolute()) for name, path in paths.items()}


def _check_answers(summary: ModelSummary, directory: Path) -> None:
    """Load the stored model and compare its answers with the embeddings."""
    mlflow = import_mlflow()
    words = list(summary.example_words)
    answer = mlflow.pyfunc.load_model(str(directory)).predict(words)
    expected = _published_vectors(summary.request.embeddings, words)
    if not np.array_equal(answer, np.array([expected[word] for word in words], np.float32)):
        raise RegistryUnavailable(
            f"{directory} as MLflow stored it does not answer with the vectors of "
            f"{summary.request.embeddings.ref}: the upload is not whole. It is not registered; "
            f"run the same command again"
        )


def _check_scored(summary: ModelSummary, stored: FileList) -> None:
    """Compare the stored arrays with those that the evaluation scored."""
    request = summary.request
    scored: Mapping[str, str] = request.evaluation.manifest.report["model_files"]
    for name, sha256 in scored.items():
        found = stored.files.get(f"{LOOKUP}/{name}")
        if found is None or found.sha256 != sha256:
            raise RegistryUnavailable(
                f"{name} as MLflow stored it is not what {request.evaluation.ref} scored: the "
                f"upload is not whole. It is not registered; run the same command again"
            )


def _published_vectors(embeddings: Artifact, words: Sequence[str]) -> dict[str, list[float]]:
    """The vectors of a few words; the table is streamed up to the last of them."""
    found: dict[str, list[float]] = {}
    for batch in embeddings.batches("vectors", ["token", "vector"]):
        for row, token in enumerate(batch.column("token").to_pylist()):
            if token in words:
                found[token] = batch.column("vector")[row].as_py()
        if len(found) == len(words):
            break
    return found
