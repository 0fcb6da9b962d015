"""The public Python API of ``import nightjar``; everything else may change.

A :class:`Pipeline` plans and runs nights, reports on them and undoes promotions; a :class:`Model`
answers queries. Both read the same config, store and ledger as the command line and the Prefect
flow, and a run takes the same lease. Nothing is printed. ``import nightjar`` imports this module
when one of its names is used.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nightjar.config import TokenizeConfig, load_config
from nightjar.core import Night, Nights, Plan
from nightjar.errors import ConfigError, InputError
from nightjar.files.scratch import ScratchDirectory
from nightjar.formats import Ngrams, read_vectors
from nightjar.formats.origins import SPACE, read_origin
from nightjar.model.lookup import (
    ModelContent,
    Neighbor,
    NgramRows,
    OddOneOut,
    Recommendation,
    Rows,
    VectorModel,
    write_model,
)
from nightjar.model.tokenization import Settings
from nightjar.pipeline import (
    DirectRunner,
    NightRequest,
    claim_pipeline,
    lease_path,
    make_plan,
    prepare_serving,
    run_night,
)
from nightjar.pipeline.answerers import Answerers, named_model_errors, open_registered
from nightjar.pipeline.provenance import read_provenance
from nightjar.pipeline.retention import (
    Collected,
    Collection,
    collect,
    finish_purges,
    plan_collection,
)
from nightjar.pipeline.searching import SearchRequest, find_documents
from nightjar.promotion import Change, Event, Promoter, Serving, Steward, read_events
from nightjar.registry import CHAMPION, RegisteredVersion, RegistryPlace, masked
from nightjar.registry.uris import sqlite_path
from nightjar.store import acquire_lease
from nightjar.wording import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Model", "Pipeline", "ProgressReport", "SearchHit", "open_model"]

_SCHEME = "models:/"
_LOOKUP_FILE = "lookup.json"
_PLACES = ("", "lookup", "artifacts/lookup")
"""Possible paths of a model's files within its directory or a registered model's."""


@dataclass(frozen=True)
class ProgressReport:
    """Progress of a step of a night.

    ``step`` is its label, as in ``plan()`` ("train glove"), and ``phase`` what it is doing.
    ``done`` of ``total`` (None: unknown) are counted in ``unit``; ``note`` is a short remark, such
    as the loss.
    """

    step: str
    phase: str
    done: float
    total: float | None
    unit: str
    note: str = ""


@dataclass(frozen=True)
class SearchHit:
    """A document that matches a query.

    ``similarity`` is the cosine of query and document, ``snippet`` the part of ``text`` that
    answers best.
    """

    doc_id: str
    similarity: float
    snippet: str
    text: str
    source: str


OnProgress = Callable[[ProgressReport], object]


class Pipeline:
    """A pipeline, defined by its config file.

    ``config`` is the file; ``overrides`` are ``section.key=value`` strings that are applied to it,
    as with ``nightjar run --set``. Raises ConfigError.
    """

    def __init__(
        self, config: str | Path = "pipeline_config.yaml", overrides: Sequence[str] = ()
    ) -> None:
        self._loaded = load_config(Path(config), overrides)

    def __repr__(self) -> str:
        return f"Pipeline({self.name!r}, {str(self._loaded.path)!r})"

    @property
    def name(self) -> str:
        """``pipeline.name`` of the config."""
        return self._loaded.config.pipeline.name

    @property
    def models(self) -> tuple[str, ...]:
        """The configured models, in the config's order."""
        return tuple(self._loaded.config.models)

    @property
    def artifacts_dir(self) -> Path:
        """The directory with everything that is published."""
        return self._loaded.artifacts_dir

    # -- nights -------------------------------------------------------------------------

    def plan(self, on_progress: OnProgress | None = None) -> Plan:
        """Tonight's steps; those in ``plan().due`` would run. Publishes nothing.

        New files of remote sources are fetched. Raises InputError, SourceError, SourceUnavailable
        and RegistryUnavailable.
        """
        return make_plan(self._loaded, _Listener("fetch", on_progress))

    def run(self, *, promote: bool = False, on_progress: OnProgress | None = None) -> Night:
        """Run a night in this process, without Prefect; returns its record.

        A run with overrides is a trial that promotes and accepts nothing, unless ``promote`` is
        set. Ctrl-C and ``kill -9`` lose no finished step. Raises LeaseTaken when another run of the
        pipeline is in progress, NightFailed when steps failed (the others are finished and
        evaluated), ConfigError for ``execution.engine: dask``, which needs ``nightjar run``.
        """
        if self._loaded.config.execution.engine != "local":
            raise ConfigError(
                "execution.engine: dask runs under Prefect alone: start the night with 'nightjar "
                "run', or set execution.engine to local"
            )
        provenance = read_provenance(self._loaded)
        runner = DirectRunner(self._loaded, provenance, lambda label: _Listener(label, on_progress))
        progress = _Listener("fetch", on_progress)
        request = NightRequest("nightjar.Pipeline.run", promote, progress=progress)
        return run_night(self._loaded, runner, provenance, request)

    def nights(self) -> list[Night]:
        """The record of every night, oldest first. Raises StoreError when one is damaged."""
        return list(Nights(self._loaded.pipeline_dir).newest_first())[::-1]

    # -- promotions ---------------------------------------------------------------------

    def history(self, subject: str | None = None) -> list[Event]:
        """The events of the ledger, oldest first; with ``subject``, of one model or corpus."""
        events = read_events(self._loaded)
        return [event for event in events if subject in (None, event.subject)]

    def rollback(self, model: str, version: int | None = None, reason: str = "") -> Change:
        """Make the previous champion, or the earlier ``version``, champion again.

        The model is held: nights promote nothing until ``nightjar resume``. Raises PromotionRefused
        when there is no such champion, ModelFilesDamaged when its files are damaged.
        """
        provenance = read_provenance(self._loaded)

        def prepare(name: str, registered: RegisteredVersion) -> Serving:
            return prepare_serving(self._loaded, provenance, name, registered)

        return Steward(self._loaded, provenance.actor, prepare).rollback(model, version, reason)

    def collect(self, *, is_dry_run: bool = False) -> Collected | Collection:
        """Delete what is no longer needed, as the end of every night does.

        With ``is_dry_run`` it deletes nothing and returns what would be deleted and what is kept.
        Raises LeaseTaken while a night is running.
        """
        loaded = self._loaded
        if is_dry_run:
            return plan_collection(loaded)
        with acquire_lease(lease_path(loaded), "collecting"):
            claim_pipeline(loaded)
            notes = list(Promoter(loaded, read_provenance(loaded).actor).recover())
            if finish_purges(loaded) is not None:
                notes.append("finished an interrupted purge")
            collected = collect(loaded)
        return replace(collected, notes=(*notes, *collected.notes))

    # -- models -------------------------------------------------------------------------

    def model(self, name: str, night: int | None = None) -> Model:
        """The champion of a model; ``NAME@VERSION`` and ``NAME@ALIAS`` open another version.

        With ``night``, the version that was the candidate of that night. Raises ConfigError for an
        unknown name, InputError for an unknown version and for a model without a champion,
        ModelFilesDamaged, RegistryUnavailable.
        """
        answerers = Answerers(self._loaded)
        asked = answerers.model(name, night)
        opened = ExitStack()
        model = Model(opened.enter_context(answerers.opened(asked)))
        model.version = None if asked.registered is None else asked.registered.version
        model.embeddings_version = asked.embeddings
        weakref.finalize(model, opened.close)
        return model

    def search(
        self, query: str, topn: int = 10, *, entry: str | None = None, night: int | None = None
    ) -> list[SearchHit]:
        """The documents nearest in meaning, best first, from the last accepted night's index.

        Searches the ``entry`` of ``document_vectors`` (default: the only one), as it was in
        ``night`` if given. Raises ConfigError when nothing is embedded, InputError when nothing is
        indexed yet or the query has no known word, StoreError when the index is damaged.
        """
        request = SearchRequest(query, entry, night, topn)
        return [
            SearchHit(
                hit.document.doc_id,
                float(hit.similarity),
                snippet.text,
                hit.document.text,
                hit.document.source,
            )
            for hit, snippet in find_documents(self._loaded, request).hits
        ]


class Model:
    """An open model: its words, their vectors, and queries. Read-only and thread-safe.

    Made by :meth:`Pipeline.model` and :func:`open_model`. The vectors are memory-mapped: opening
    takes milliseconds, whatever their size. A word that is not in the vocabulary is read as the
    model's tokenizer writes it (:meth:`read_as`). ``version`` is the number of the registered
    version, ``embeddings_version`` that of the embeddings artifact; both are None for a file.
    """

    version: int | None = None
    embeddings_version: str | None = None

    def __init__(self, vectors: VectorModel) -> None:
        self._model = vectors

    def __repr__(self) -> str:
        version = "" if self.version is None else f", version {self.version}"
        sizes = f"{counted(len(self), 'word')} of {counted(self.vector_size, 'value')}"
        return f"Model({self.name!r}{version}, {sizes})"

    def __len__(self) -> int:
        """Number of words."""
        return len(self._model.table)

    def __contains__(self, word: object) -> bool:
        """Whether the vocabulary has ``word``, spelled so; queries also answer for others."""
        return isinstance(word, str) and bool(self._model.table.rows([word])[0] >= 0)

    @property
    def name(self) -> str:
        """The name under which it was trained or exported."""
        return self._model.name

    @property
    def space(self) -> str | None:
        """The id of the space of its vectors: only vectors with the same id can be compared.

        None for a file that does not say it.
        """
        return self._model.space

    @property
    def vector_size(self) -> int:
        """Dimensions of a vector."""
        return self._model.table.vector_size

    @cached_property
    def words(self) -> list[str]:
        """Every word, most frequent first."""
        return self._model.table.tokens_of(np.arange(len(self)))

    def read_as(self, words: Sequence[str]) -> list[str]:
        """Each word as it is looked up: one outside the vocabulary as the tokenizer writes it.

        ``King`` becomes ``king`` if the model was trained on lower case and knows that. FastText
        composes words that are still unknown from their n-grams.
        """
        return self._model.read_as(words)

    def vectors(self, words: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of words, float32 (n_words, vector_size). Raises UnknownTokenError."""
        with named_model_errors():
            return self._model.vectors(words)

    def neighbors(self, words: Sequence[str], topn: int = 10) -> list[list[Neighbor]]:
        """The ``topn`` nearest words of each word by cosine similarity, best first.

        Raises UnknownTokenError.
        """
        with named_model_errors():
            return self._model.neighbors(words, topn)

    def neighbors_of(
        self, positive: Sequence[str], negative: Sequence[str] = (), topn: int = 10
    ) -> list[Neighbor]:
        """The nearest words of several words at once (3CosAdd, Mikolov et al. 2013).

        ``neighbors_of(["king", "woman"], ["man"])`` is the analogy "man is to king as woman is to
        ?". Raises UnknownTokenError.
        """
        with named_model_errors():
            return self._model.neighbors_of_mean(positive, negative, topn)

    def similarity(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Cosine similarity of the words of each pair, (n_pairs,). Raises UnknownTokenError."""
        with named_model_errors():
            return self._model.similarities(pairs)

    def odd_one_out(self, words: Sequence[str]) -> OddOneOut:
        """The word least similar to the mean of all. Raises UnknownTokenError, InputError."""
        with named_model_errors():
            return self._model.odd_one_out(words)

    def clusters(self, words: Sequence[str], n_clusters: int, seed: int = 1) -> list[int]:
        """The cluster of each word by k-means on the unit sphere. Raises UnknownTokenError."""
        with named_model_errors():
            return self._model.clusters(words, n_clusters, seed)

    def encode(self, texts: Sequence[str], unknown: str = "error") -> NDArray[np.float32]:
        """The mean vector of each text's words, float32 (n_texts, vector_size).

        Texts are split into words like the training text. ``unknown`` says what to return for a
        text without a known word: ``error`` (InputError), ``nan`` or ``zero``.
        """
        with named_model_errors():
            return self._model.encode(texts, unknown)

    def recommend(
        self,
        history: Sequence[str],
        topn: int = 10,
        by: str = "blend",
        may_repeat: bool = False,
    ) -> list[Recommendation]:
        """The items most likely next after ``history``, ids with the latest last, best first.

        For models of a corpus of kind ``events``. ``by`` is ``blend``, ``output``, ``input`` or
        ``cooccurrence`` (docs/items.md). Items of the history are left out unless ``may_repeat``;
        items of it that the model does not know are ignored. Each recommendation has ``item``,
        ``score``, the probability of being next, and ``title``. Raises UnknownTokenError when no
        item is known, InputError for a model of another corpus.
        """
        with named_model_errors():
            return self._model.recommend(history, topn, by, may_repeat)

    def rank(self, query: str, texts: Sequence[str]) -> list[tuple[int, float]]:
        """Indices of the texts and their similarity to ``query``, best first. Raises InputError."""
        with named_model_errors():
            return self._model.rank(query, texts)


def open_model(where: str | Path, tracking_uri: str | None = None) -> Model:
    """Open a registered model, a directory with a model's files, or a file of vectors.

    ``where`` is ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION`` in the MLflow registry at
    ``tracking_uri`` (default: the variable MLFLOW_TRACKING_URI); or a path: a model's directory,
    or a file in one of the formats that ``nightjar export`` writes (docs/formats.md), which is
    read into the system's temporary directory. Raises InputError, ModelFilesDamaged,
    RegistryUnavailable.
    """
    text = str(where)
    if text.startswith(_SCHEME):
        return _open_registered(text, tracking_uri)
    path = Path(where)
    for place in _PLACES:
        if (path / place / _LOOKUP_FILE).is_file():
            with named_model_errors():
                return Model(VectorModel.open(path / place))
    if not path.exists():
        raise InputError(
            f"{path}: there is no such file or directory; a registered model is models:/NAME@ALIAS"
        )
    return _read_file(path)


def _open_registered(uri: str, tracking_uri: str | None) -> Model:
    tracking_uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not tracking_uri:
        raise InputError(
            f"{uri}: which registry? Give tracking_uri, or set MLFLOW_TRACKING_URI, for example "
            f"to sqlite:////path/to/artifacts/mlflow/mlflow.db"
        )
    rest = uri.removeprefix(_SCHEME)
    name, at, alias = rest.partition("@")
    number = ""
    if not at:
        name, _, number = rest.partition("/")
        if not number.isdecimal():
            raise InputError(f"{uri}: write models:/NAME@ALIAS or models:/NAME/VERSION")
    place = RegistryPlace(tracking_uri, _files_beside(tracking_uri))
    reader = place.reader()
    found = reader.alias(name, alias or CHAMPION) if at else reader.version(name, int(number))
    if found is None:
        raise InputError(f"{uri}: the registry at {masked(tracking_uri)} has no such version")
    model = Model(open_registered(place, found))
    model.version, model.embeddings_version = found.version, found.embeddings_version
    return model


def _files_beside(tracking_uri: str) -> Path:
    """The artifact directory of a local registry; for a server, where its files are kept here."""
    database = sqlite_path(tracking_uri)
    if database is not None:
        return database.absolute().parent.parent
    cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(cache) / "nightjar"


def _read_file(path: Path) -> Model:
    _, read = read_vectors(path)
    counts = read.counts if read.counts is not None else np.zeros(len(read.tokens), np.int64)
    content = ModelContent(
        name=path.name.partition(".")[0],
        tokenizer=Settings(**TokenizeConfig().shaping_words()),
        n_tokens=len(read.tokens),
        vector_size=int(read.matrix.shape[1]),
        rows=[Rows(read.tokens, counts, read.matrix)],
        ngrams=None if read.ngrams is None else _ngram_rows(read.ngrams),
        space=read_origin(path).get(SPACE),
    )
    directory = ScratchDirectory()
    with named_model_errors():
        write_model(Path(directory.name), content)
        model = Model(VectorModel.open(Path(directory.name)))
    weakref.finalize(model, directory.cleanup)
    return model


def _ngram_rows(ngrams: Ngrams) -> NgramRows:
    return NgramRows(
        ngrams.min_n,
        ngrams.max_n,
        ngrams.bucket,
        len(ngrams.buckets),
        [(ngrams.buckets, ngrams.vectors)],
    )


class _Listener:
    """Calls a callback with the progress of a step."""

    def __init__(self, step: str, tell: OnProgress | None) -> None:
        self._step = step
        self._tell = tell
        self._phase, self._unit = "", ""
        self._total: float | None = None
        self._done = 0.0

    def start(self, label: str, total: float | None, unit: str) -> None:
        """Start a phase."""
        self._phase, self._total, self._unit, self._done = label, total, unit, 0.0
        self._say("")

    def advance(self, amount: float, note: str = "") -> None:
        """Count."""
        self._done += amount
        self._say(note)

    def _say(self, note: str) -> None:
        if self._tell is not None:
            self._tell(
                ProgressReport(self._step, self._phase, self._done, self._total, self._unit, note)
            )
