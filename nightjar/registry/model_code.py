"""The registered model: answers for words and texts; needs only mlflow, numpy and pyarrow.

MLflow copies this file into every model and runs it where the model is loaded. It imports
nothing from Nightjar: ``code`` beside it holds the packages ``lookup`` and ``tokenization`` as
they were when the model was registered. They are imported under a unique name, so that models
with different code can share one process. ``lookup`` is a directory of memory-mapped files.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import json
import logging
import re
import sys
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd  # what mlflow.pyfunc hands to predict; mlflow itself requires it
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext


def check_files(directory: Path) -> None:
    """Compare the files of a model's folder with ``files.json``, which registration wrote there.

    A flipped bit in a mapped file would change answers and raise nothing. Raises MlflowException.
    """
    path = directory / "files.json"
    if not path.exists():  # the model is being registered: the list is made from what is stored
        return
    advice = "fetch the model again, or load another version"
    try:
        listed = {name: str(sha256) for name, (_, sha256) in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise MlflowException(f"{path} cannot be read ({error}); {advice}") from error
    for name, sha256 in listed.items():
        file = directory / name
        try:
            with file.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise MlflowException(f"{file} cannot be read ({error.strerror}); {advice}") from error
        if found != sha256:
            raise MlflowException(f"{file} was changed after it was registered; {advice}")


def import_code(directory: Path) -> ModuleType:
    """Import ``directory/lookup`` below a package named by the hash of all code there."""
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*.py")):
        digest.update(path.relative_to(directory).as_posix().encode())
        digest.update(path.read_bytes())
    name = f"_nightjar_model_{digest.hexdigest()[:16]}"
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [str(directory)]
        sys.modules[name] = package
    importlib.import_module(f"{name}.lookup.requests")
    return importlib.import_module(f"{name}.lookup")


class UnknownParametersRefused(logging.Filter):
    """Raises an error where MLflow would silently drop an unknown parameter.

    Before it calls the model's ``predict``, over HTTP and in Python, MLflow drops parameters
    that the signature lacks and only logs a warning: a request with ``topnn`` would be answered
    without it. This filter on that warning's logger raises instead, but only for models with
    exactly the parameters of this one; other models in the process keep MLflow's behaviour.
    """

    _LOGGER = "mlflow.models.utils"
    _WARNING = re.compile(
        r"Unrecognized params (\[.*\]) are ignored .*Supported params are: (\{.*?\})\.", re.DOTALL
    )

    def __init__(self, parameters: Any) -> None:
        super().__init__()
        self._parameters = parameters
        self.names = frozenset(parameters.__dataclass_fields__)

    @classmethod
    def install(cls, parameters: Any) -> None:
        """Refuse parameters that the class ``parameters`` lacks; once for each set of names."""
        logger = logging.getLogger(cls._LOGGER)
        refused = cls(parameters)
        if any(getattr(known, "names", None) == refused.names for known in logger.filters):
            return
        logger.setLevel(logging.WARNING)  # MLflow may be told to be silent; we still want to hear
        logger.addFilter(refused)

    def filter(self, record: logging.LogRecord) -> bool:
        """Let other warnings pass. Raises MlflowException for one about our parameters."""
        warning = self._WARNING.match(record.getMessage())
        if warning is not None:
            ignored, supported = (ast.literal_eval(part) for part in warning.groups())
            if supported == self.names:
                self._refuse(ignored)
        parent = logging.getLogger(self._LOGGER).parent
        return parent is None or record.levelno >= parent.getEffectiveLevel()

    def _refuse(self, ignored: list[str]) -> None:
        try:
            self._parameters.of(dict.fromkeys(ignored))
        except ValueError as error:  # QueryError, which says what may have been meant
            raise MlflowException.invalid_parameter_value(str(error)) from error


def limit_requests(limits: Any) -> None:
    """Refuse a request that is too long or too deep, where this process serves it over HTTP.

    MLflow reads a request before it calls the model, and answers 500 for one that is too deep.
    """
    server = sys.modules.get("mlflow.pyfunc.scoring_server")
    answer = getattr(server, "invocations", None)
    if server is None or answer is None or hasattr(answer, "limits"):
        return

    @functools.wraps(answer)
    def limited(data: Any, content_type: str, *more: Any, **named: Any) -> Any:
        try:
            if "json" in content_type:
                limits.check_text(data if isinstance(data, bytes) else str(data).encode())
            return answer(data, content_type, *more, **named)
        except RecursionError as error:
            raise MlflowException.invalid_parameter_value(
                "the request has lists or objects too deep in each other"
            ) from error
        except ValueError as error:  # QueryError
            raise MlflowException.invalid_parameter_value(str(error)) from error

    limited.limits = limits  # type: ignore[attr-defined]
    server.invocations = limited  # type: ignore[attr-defined]


def refuse_columns(model_input: pd.DataFrame) -> None:
    """Raise MlflowException (HTTP status 400) if there are several columns."""
    n_columns = model_input.shape[1]
    if n_columns > 1:
        raise MlflowException.invalid_parameter_value(
            f"there are {n_columns} columns and one is expected, with an item in each row. Over "
            f"HTTP a list of lists as 'inputs' arrives as columns: send a list of words or texts; "
            f"for vectors send 'dataframe_split' with one column, or a question as an item"
        )


def refuse_dropped_columns() -> None:
    """Refuse columns that MLflow would silently drop before it calls ``predict``.

    It keeps as many as the signature declares. For a signature like ours, one column of any type
    without a name, its function is wrapped, once in a process. Other models keep its behaviour, and
    so do all where MLflow no longer has that function.
    """
    from mlflow.models import utils  # noqa: PLC0415
    from mlflow.types.schema import AnyType  # noqa: PLC0415

    enforce = getattr(utils, _ENFORCE, None)
    if enforce is None or getattr(enforce, _IS_CHECKED, False):
        return

    @wraps(enforce)
    def checked(pf_input: Any, input_schema: Any, *rest: Any, **named: Any) -> Any:
        types = input_schema.input_types()
        if len(types) == 1 and isinstance(types[0], AnyType):
            refuse_columns(pf_input)
        return enforce(pf_input, input_schema, *rest, **named)

    setattr(checked, _IS_CHECKED, True)
    setattr(utils, _ENFORCE, checked)


_ENFORCE = "_enforce_unnamed_col_schema"
_IS_CHECKED = "_refuses_columns"


class AskedModel(PythonModel):
    """``predict(items, params)`` performs the task ``params["task"]``."""

    def load_context(self, context: PythonModelContext) -> None:
        """Check every byte of the model's files, and map them into memory.

        Checking takes about a second for a gigabyte. Raises MlflowException for a file that is
        missing or was changed.
        """
        paths = {name: Path(path) for name, path in context.artifacts.items()}
        check_files(paths["lookup"].parents[1])
        self._lookup = import_code(paths["code"])
        self._directory = paths["lookup"]
        self._model = self._lookup.VectorModel.open(self._directory)
        self._limits = self._lookup.RequestLimits()
        self._model.most_composed = self._limits.composed
        limit_requests(self._limits)
        UnknownParametersRefused.install(self._lookup.requests.Parameters)
        refuse_dropped_columns()

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> Any:
        """Answer for the items in the only column; docs/serving.md lists the tasks.

        Raises MlflowException: with code INVALID_PARAMETER_VALUE (HTTP status 400) for an
        invalid question, with INTERNAL_ERROR when files were truncated after they were opened;
        the process lives on.
        """
        del context
        refuse_columns(model_input)
        items = model_input.iloc[:, 0].tolist() if model_input.shape[1] else []
        try:
            self._lookup.check_whole(self._directory)
            return self._lookup.answer(self._model, items, params or {}, self._limits)
        except self._lookup.QueryError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        except self._lookup.TableDamaged as error:
            raise MlflowException(str(error)) from error


set_model(AskedModel())
