"""The next item: last events that were held out, looked for among all items by what came before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.config.benchmarks import NextItemBenchmark
from nightjar.errors import BenchmarkError
from nightjar.formats.event_sessions import EventSessions, read_sessions
from nightjar.scoring.item_ranks import hide_seen, ranks_of_targets
from nightjar.scoring.metrics import HIT_RATE, NDCG, score
from nightjar.scoring.resampling import own_units
from nightjar.scoring.scores import Answers
from nightjar.stages.evaluate.benchmark_items import Answered, CorpusItems, Examinee, distinct
from nightjar.store import Artifact, schemas
from nightjar.wording import counted

if TYPE_CHECKING:
    from nightjar.stages.evaluate.item_baselines import Baseline

_QUERIES_AT_ONCE = 256
_MOST_BASELINE_SCORES = 100_000_000
"""Sessions times items that baselines are asked; more sessions are sampled evenly."""


@dataclass(frozen=True, eq=False)
class HeldOutSessions(CorpusItems):
    """After ``histories[i]`` session ``names[i]`` had the item ``targets[i]``.

    A history has what the session kept and its validation event, as places in ``items``.
    """

    metrics = (HIT_RATE, NDCG)
    stage = schemas.EVENTS
    names: tuple[str, ...]
    items: tuple[str, ...]
    histories: tuple[NDArray[np.int64], ...]
    targets: NDArray[np.int64]
    sessions: EventSessions
    """Everything that is kept, for the baselines; the first of ``items`` are those of it."""
    topn: int = 10
    by: str = "blend"
    n_repeated: int = 0
    """Sessions that are not asked about, since their last item had been in them before."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def item_names(self) -> Sequence[str]:
        """Each session."""
        return self.names

    @classmethod
    def held_out(cls, corpus: Artifact, config: NextItemBenchmark, seed: int) -> Self:
        """The sessions with a test event, at most ``config.max_sessions`` of them.

        Items of a session are left out of its recommendations, so one whose last item it had
        before is not asked about. Raises BenchmarkError when there is none.
        """
        held_out = corpus.read(schemas.HELD_OUT, ["session", "item", "part"])
        sessions = read_sessions(corpus)
        tests = _part(held_out, "test")
        names = tests.column("session").to_pylist()
        before = _part(held_out, "validation")
        added = distinct(held_out.column("item").to_pylist())
        known = set(sessions.items.to_pylist())
        items = pa.array([*sessions.items.to_pylist(), *(i for i in added if i not in known)])
        targets = pc.index_in(tests.column("item"), value_set=items).to_numpy().astype(np.int64)
        last = dict(
            zip(
                before.column("session").to_pylist(),
                pc.index_in(before.column("item"), value_set=items).to_pylist(),
                strict=True,
            )
        )
        histories = [
            np.append(history, last[name]).astype(np.int64) if name in last else history
            for name, history in zip(names, sessions.of_names(names), strict=True)
        ]
        is_asked = np.array(
            [target not in history for target, history in zip(targets, histories, strict=True)],
            np.bool_,
        )
        places = np.flatnonzero(is_asked)
        if len(places) == 0:
            raise _nothing_to_ask(corpus, len(is_asked))
        if len(places) > config.max_sessions:
            drawn = np.random.default_rng(seed).choice(len(places), config.max_sessions, False)
            places = places[np.sort(drawn)]
        return cls(
            tuple(names[place] for place in places.tolist()),
            tuple(items.to_pylist()),
            tuple(histories[place] for place in places.tolist()),
            targets[places],
            sessions,
            config.topn,
            config.by,
            n_repeated=len(is_asked) - int(is_asked.sum()),
        )

    def answer(self, asked: Examinee) -> Answered:
        """The place of each session's last item among the recommendations; ``topn`` if not there.

        A session is covered when the model knows an item of its history.
        """
        items = asked.model.items_by_id()
        row_of = items.rows_of(self.items, asked.model.table.rows(self.items).tolist())
        recommender = items.recommender
        histories = [row_of[history] for history in self.histories]
        histories = [history[history >= 0] for history in histories]
        targets = np.where(row_of < recommender.n_items, row_of, -1)[self.targets]
        covered = np.flatnonzero([len(history) > 0 for history in histories])
        found = np.full(len(self), np.nan)
        for first in range(0, len(covered), _QUERIES_AT_ONCE):
            some = covered[first : first + _QUERIES_AT_ONCE]
            asked_about = [histories[place] for place in some.tolist()]
            scores = recommender.probabilities(asked_about, self.by)
            hide_seen(scores, asked_about)
            ranks = ranks_of_targets(scores, targets[some])
            found[some] = np.minimum(ranks, self.topn)
            asked.advance(len(some))
        gold = np.full(len(self), float(self.topn))
        missing = [item for item, row in zip(self.items, row_of.tolist(), strict=True) if row < 0]
        return Answered(Answers(found, gold, own_units(len(self))), missing)

    def beside(self) -> Mapping[str, Mapping[str, float | None]]:
        """Scores of what needs no model, by method and metric, on the same sessions.

        On an even sample where sessions times items are more than a hundred million.
        """
        # Planning imports this module, and needs no SciPy.
        from nightjar.stages.evaluate.item_baselines import BASELINES  # noqa: PLC0415

        n_items = len(self.sessions.items)
        most = max(1, _MOST_BASELINE_SCORES // max(1, n_items))
        places = np.arange(len(self))
        if len(places) > most:
            places = np.linspace(0, len(self) - 1, most).astype(np.int64)
        found = {}
        for name, make in BASELINES.items():
            answers = self._ranked_by(make(self.sessions), places)
            gold = np.full(len(places), float(self.topn))
            found[name] = {metric: score(metric, answers, gold) for metric in self.metrics}
        return found

    def _ranked_by(self, scores_of: Baseline, places: NDArray[np.int64]) -> NDArray[np.float64]:
        n_items = len(self.sessions.items)
        known = partial(_below, n_items)
        found = np.zeros(len(places))
        for first in range(0, len(places), _QUERIES_AT_ONCE):
            some = places[first : first + _QUERIES_AT_ONCE]
            histories = [known(self.histories[place]) for place in some.tolist()]
            targets = np.where(self.targets[some] < n_items, self.targets[some], -1)
            scores = scores_of(histories)
            hide_seen(scores, histories)
            ranks = ranks_of_targets(scores, targets)
            found[first : first + len(some)] = np.minimum(ranks, self.topn)
        return found


def _nothing_to_ask(corpus: Artifact, n_repeated: int) -> BenchmarkError:
    """The error for a corpus that holds nothing out to ask for, with what changes that."""
    n_short = corpus.manifest.counts.get("held_out_sessions_too_short", 0)
    if n_repeated:
        reason = (
            f"{counted(n_repeated, 'held-out session')} end with an item that they had before; "
            f"sessions: {{repeats: once}} counts an item once, a larger held_out.share holds more "
            f"sessions out"
        )
    elif n_short:
        reason = (
            f"{counted(n_short, 'session')} that would be held out have too few events: one more "
            f"is needed than held_out takes (test and validation); lower validation, or make "
            f"longer sessions (sessions: by, gap_minutes, max_events)"
        )
    else:
        reason = "raise the corpus' held_out.share, so that some session is chosen"
    return BenchmarkError(f"{corpus.ref} holds no event out that can be asked for: {reason}")


def _part(held_out: pa.Table, part: str) -> pa.Table:
    return held_out.filter(pc.equal(held_out.column("part"), pa.scalar(part)))


def _below(n_items: int, history: NDArray[np.int64]) -> NDArray[np.int64]:
    return history[history < n_items]
