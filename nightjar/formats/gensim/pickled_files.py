"""gensim's own files."""

from __future__ import annotations

import pickle
from pathlib import Path

from gensim.models import KeyedVectors, Word2Vec
from gensim.utils import SaveLoad

from nightjar.errors import InputError


def save_gensim(model: Word2Vec | KeyedVectors, path: Path) -> None:
    """Write ``model`` as gensim does; large matrices become files beside ``path``.

    Raises InputError when the place cannot be written.
    """
    try:
        model.save(str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


def load_gensim(path: Path) -> Word2Vec | KeyedVectors:
    """What gensim saved at ``path``. The file is a pickle: loading one runs what it says.

    Raises InputError when it cannot be read, or is nothing that gensim saved.
    """
    try:
        model = SaveLoad.load(str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError) as error:
        raise InputError(f"{path}: is no model that gensim saved ({error})") from error
    if not isinstance(model, Word2Vec | KeyedVectors):
        raise InputError(f"{path}: holds a {type(model).__name__}, not word vectors of gensim")
    return model
