"""The registered model: words and texts to answers, with mlflow, numpy and pyarrow alone.

MLflow copies this file into every model and runs it where the model is loaded. It imports
nothing of Nightjar: ``code`` beside it holds the packages ``lookup`` and ``tokenization`` as
they were when the model was registered, imported under a name of their own, so that two
models with different code live in one process. ``lookup`` is a directory of memory-mapped
files.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd  # what mlflow.pyfunc hands to predict; mlflow itself requires it
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext


def import_code(directory: Path) -> ModuleType:
    """The package ``directory/lookup``, below a package named by the hash of all code there."""
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


class AskedModel(PythonModel):
    """``predict(items, params)`` answers what ``params["task"]`` asks."""

    def load_context(self, context: PythonModelContext) -> None:
        """Map the model's files into memory."""
        paths = {name: Path(path) for name, path in context.artifacts.items()}
        self._lookup = import_code(paths["code"])
        self._directory = paths["lookup"]
        self._model = self._lookup.VectorModel.open(self._directory)

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> Any:
        """Answer for the items in the first column; docs/serving.md has the table of tasks.

        A question that is wrong is an MlflowException with the code INVALID_PARAMETER_VALUE,
        which a server answers with status 400; files that were cut since they were opened are
        one with INTERNAL_ERROR, and the process lives on.
        """
        del context
        items = model_input.iloc[:, 0].tolist() if model_input.shape[1] else []
        try:
            self._lookup.check_whole(self._directory)
            return self._lookup.answer(self._model, items, params or {})
        except self._lookup.QueryError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        except self._lookup.TableDamaged as error:
            raise MlflowException(str(error)) from error


set_model(AskedModel())
