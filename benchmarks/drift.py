"""How often the alarm of drift is wrong, and whether it finds words that got a second sense.

    python -m benchmarks.drift --json FILE [--models glove] [--keep DIR] [--evidently PYTHON]

The product's stages train the shipped models on the shipped corpus: eight seeds, five more for the
floor (as ``nightjar noise`` does), twenty times another 3 % of the documents left out, and once
with 50 words that got a second sense. ``--keep`` keeps the trainings, and a second run goes on from
there. With ``--reviews N`` the corpus is the first N reviews of ``../shared/data/imdb`` instead.

``reseeded``: every two of the eight seeds. Any alarm is false.

``dropped``: the full text beside the text without 3 % of its documents, both with the config's
seed, as on two nights. An ordinary night: any alarm is unwanted.

``second_senses``: each of 50 words gets as many uses in another sense as it has. For that, another
word of about the same count is written as it everywhere, as with pseudo-words (Schütze 1998). Of
those with 100 occurrences or more before: how many are among the 100 that moved most.

Evidently's embedding drift (its four methods with their defaults) judges the same pairs, after the
same alignment, over at most 2,000 shared words: without it, its methods would compare coordinates
that have nothing in common. It needs an interpreter that has the package (``--evidently``).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nightjar.config import LoadedConfig, load_config
from nightjar.core import Action
from nightjar.drift import Floor, Moves, Vectors, drift_of, measure_floor, measure_moves
from nightjar.pipeline import Plan, Provenance, run_step
from nightjar.pipeline.planning import plan_made
from nightjar.progress import SILENT
from nightjar.store import Store, schemas

CONFIG = Path(__file__).parents[1] / "pipeline_config.yaml"
REVIEWS = Path(__file__).parents[2] / "shared" / "data" / "imdb"
MODELS = ("word2vec-cbow", "word2vec-skipgram", "fasttext", "glove")
FULL, SENSES = "full", "senses"
FLOOR_SEEDS = range(1_000_003, 1_000_008)
SEEDS = range(1, 9)
N_DROPS = 20
DROPPED = 0.03
N_SENSES = 50
LEAST_COUNT, FREQUENT = 20, 100
FARTHEST = 100
N_SKIPPED = 100
"""The most frequent words, mostly function words, get no second sense."""
EVIDENTLY_WORDS = 2_000
_WORD = re.compile(r"\w+")


# -- texts -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Texts:
    """The documents, and the words that get a second sense: ``senses[other] = word``."""

    directory: Path
    documents: tuple[str, ...]
    senses: Mapping[str, str]

    @classmethod
    def read(cls, directory: Path, n_reviews: int | None) -> Texts:
        """The shipped corpus, cleaned, or reviews."""
        documents = _reviews(n_reviews) if n_reviews else _shipped(directory)
        counts = Counter(word for text in documents for word in _WORD.findall(text.lower()))
        return cls(directory, tuple(documents), _senses(counts))

    def path(self, variant: str) -> Path:
        """The file of a variant, written if it is missing."""
        path = self.directory / f"{variant}.jsonl"
        if not path.exists():
            new = path.with_suffix(".new")
            with new.open("w", encoding="utf-8") as stream:
                for number, text in self._variant(variant):
                    stream.write(json.dumps({"id": str(number), "text": text}) + "\n")
            new.replace(path)
        return path

    def _variant(self, variant: str) -> Iterator[tuple[int, str]]:
        dropped: set[int] = set()
        if variant not in (FULL, SENSES):
            generator = np.random.default_rng(int(variant.partition("-")[2]))
            n_dropped = round(DROPPED * len(self.documents))
            dropped = set(generator.permutation(len(self.documents))[:n_dropped].tolist())
        for number, text in enumerate(self.documents):
            if number not in dropped:
                yield number, self._in_senses(text) if variant == SENSES else text

    def _in_senses(self, text: str) -> str:
        return _WORD.sub(lambda found: self.senses.get(found[0].lower(), found[0]), text)


def _reviews(n_reviews: int) -> list[str]:
    found: list[str] = []
    for path in sorted(REVIEWS.glob("*.parquet")):
        found += pq.read_table(path, columns=["text"]).column("text").to_pylist()
        if len(found) >= n_reviews:
            return found[:n_reviews]
    raise SystemExit(f"{REVIEWS} has no {n_reviews:,} reviews")


def _shipped(directory: Path) -> list[str]:
    loaded = load_config(CONFIG, [f"pipeline.artifacts_dir={directory.resolve() / 'artifacts'}"])
    step = plan_made(loaded).step(schemas.DOCUMENTS)
    ref = run_step(loaded, step, SILENT, _provenance())
    table = Store(loaded.artifacts_dir).open(ref).read("documents", ["text"])
    return list(table.column("text").to_pylist())


def _senses(counts: Counter[str]) -> dict[str, str]:
    """Pairs of neighbours in the order of counts, more of them among frequent words."""
    ranked = [word for word, count in counts.most_common() if count >= LEAST_COUNT][N_SKIPPED:]
    ranked = [word for word in ranked if word.isalpha() and len(word) > 3]
    places = np.linspace(0, np.sqrt(len(ranked) - 2), N_SENSES) ** 2
    firsts = np.maximum(places.astype(int), 2 * np.arange(N_SENSES))  # no word is in two pairs
    return {ranked[first + 1]: ranked[first] for first in firsts.tolist()}


# -- trainings ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Training:
    """One training: of which model, on which variant of the text, with which seed."""

    model: str
    variant: str
    seed: int

    def config(self, texts: Texts) -> LoadedConfig:
        """The shipped config with this text and seed."""
        source = {"type": "jsonl", "path": str(texts.path(self.variant).resolve())}
        return load_config(
            CONFIG,
            [
                f"pipeline.artifacts_dir={texts.directory.resolve() / 'artifacts'}",
                f"corpora.english.sources={json.dumps({'docs': source})}",
                "training.workers=1",
                f"models.{self.model}.seed={self.seed}",
            ],
        )

    def plan(self, texts: Texts) -> tuple[LoadedConfig, Plan]:
        """What it needs."""
        loaded = self.config(texts)
        return loaded, plan_made(loaded)

    def vectors(self, texts: Texts) -> Vectors:
        """Its vectors, which are trained."""
        loaded, plan = self.plan(texts)
        return Vectors.read(Store(loaded.artifacts_dir).open(_wanted(plan, self.model)[-1].ref))


def _wanted(plan: Plan, model: str) -> list[Any]:
    """The steps up to the model's vectors."""
    last = plan.step(schemas.EMBEDDINGS, model)
    wanted = {(last.stage, last.ref.version)}
    for step in reversed(plan.steps):
        if (step.stage, step.ref.version) in wanted:
            wanted |= step.parents
    return [step for step in plan.steps if (step.stage, step.ref.version) in wanted]


def _provenance() -> Provenance:
    return Provenance(None, "benchmark", 1)


def train(texts: Texts, training: Training) -> str:
    """Make a training unless it is there."""
    loaded, plan = training.plan(texts)
    for step in _wanted(plan, training.model):
        if step.action is Action.RUN:
            run_step(loaded, step, SILENT, _provenance())
    return f"{training.model} {training.variant} {training.seed}"


def train_all(texts: Texts, models: Sequence[str], drops: Sequence[int], n_processes: int) -> None:
    """Make every training, several at once; the first of a text alone, for they share tokens."""
    variants = [FULL, *(f"drop-{number}" for number in drops), SENSES]
    wanted = [Training(model, variant, 1) for variant in variants for model in models]
    seeds = [*SEEDS[1:], *FLOOR_SEEDS]
    wanted += [Training(model, FULL, seed) for seed in seeds for model in models]
    first = [training for training in wanted if training.model == models[0]]
    others = [training for training in wanted if training.model != models[0]]
    with ProcessPoolExecutor(n_processes, get_context("spawn")) as pool:
        for batch in (first[:1], first[1:], others):
            done = as_completed([pool.submit(train, texts, training) for training in batch])
            for number, one in enumerate(done, start=1):
                print(f"{number} of {len(batch)}: {one.result()}", file=sys.stderr, flush=True)


# -- what is found -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Compared:
    """One comparison: how much is lost, and whether the alarm is raised."""

    lost: float
    low: float
    high: float
    is_alarm: bool
    is_above_chance: bool
    evidently: Mapping[str, bool] | None


@dataclass(frozen=True)
class Judge:
    """Compares trainings of a model, with its floor and its tolerance."""

    floor: Floor
    tolerance: float
    evidently: str | None

    def compare(self, before: Vectors, after: Vectors) -> tuple[Compared, Moves]:
        """Our verdict, and Evidently's."""
        moves = measure_moves(before, after)
        drift = drift_of(moves, self.floor)
        found = Compared(
            lost=drift.lost,
            low=drift.low,
            high=drift.high,
            is_alarm=drift.is_more_than(self.tolerance),
            is_above_chance=drift.is_more_than(0.0),
            evidently=None
            if self.evidently is None
            else _evidently(self.evidently, before, after, moves),
        )
        return found, moves


def _evidently(python: str, before: Vectors, after: Vectors, moves: Moves) -> Mapping[str, bool]:
    tokens = moves.tokens.slice(0, EVIDENTLY_WORDS)
    rows = [
        np.asarray(pc.index_in(tokens, value_set=side.tokens)).astype(np.int64)
        for side in (before, after)
    ]
    aligned = (before.matrix[rows[0]] @ moves.alignment.rotation).astype(np.float32)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "pair.npz"
        np.savez(path, reference=aligned, current=after.matrix[rows[1]])
        script = Path(__file__).with_name("drift_evidently.py")
        done = subprocess.run(  # the interpreter that the user named
            [python, str(script), str(path)], capture_output=True, text=True, check=True
        )
    found: dict[str, bool] = json.loads(done.stdout)
    return found


def measure(
    texts: Texts, model: str, drops: Sequence[int], evidently: str | None
) -> dict[str, Any]:
    """All figures of one model; ``drops`` are numbers of texts with documents left out."""
    tolerance = load_config(CONFIG).config.drift.tolerance
    floor = measure_floor(
        [partial(Training(model, FULL, seed).vectors, texts) for seed in FLOOR_SEEDS]
    )
    judge = Judge(floor, tolerance, evidently)
    seeded = {seed: Training(model, FULL, seed).vectors(texts) for seed in SEEDS}
    reseeded = [
        judge.compare(seeded[one], seeded[other])[0] for one, other in combinations(SEEDS, 2)
    ]
    dropped = [
        judge.compare(seeded[1], Training(model, f"drop-{number}", 1).vectors(texts))[0]
        for number in drops
    ]
    changed, moves = judge.compare(seeded[1], Training(model, SENSES, 1).vectors(texts))
    return {
        "tolerance": tolerance,
        "floor_overlap": float(np.nanmean(floor.overlap)),
        "reseeded": _summary(reseeded),
        "dropped": _summary(dropped),
        "second_senses": {
            "lost": [changed.lost, changed.low, changed.high],
            "is_alarm": changed.is_alarm,
            "evidently": changed.evidently,
            **_found_words(texts, moves, floor, seeded[1]),
        },
    }


def _summary(found: Sequence[Compared]) -> dict[str, Any]:
    lost = [one.lost for one in found]
    methods = [one.evidently for one in found if one.evidently is not None]
    return {
        "n_pairs": len(found),
        "lost": {"least": min(lost), "mean": float(np.mean(lost)), "most": max(lost)},
        "alarms": _share(one.is_alarm for one in found),
        "above_chance": _share(one.is_above_chance for one in found),
        "evidently": {
            name: _share(one[name] for one in methods) for name in (methods[0] if methods else ())
        },
    }


def _share(flags: Any) -> float:
    return float(np.mean(list(flags)))


def _found_words(texts: Texts, moves: Moves, floor: Floor, before: Vectors) -> dict[str, Any]:
    """How many of the words with a second sense are among those that moved most."""
    drift = drift_of(moves, floor)
    words = moves.tokens.to_pylist()
    wanted = set(texts.senses.values())
    rows = np.asarray(pc.index_in(moves.tokens, value_set=before.tokens)).astype(np.int64)
    counts = dict(zip(words, before.counts[rows].tolist(), strict=True))
    known = {word for word in wanted if word in counts}
    frequent = {word for word in known if counts[word] >= FREQUENT}
    by_excess = {words[place] for place in drift.farthest(FARTHEST).tolist()}
    by_displacement = {words[place] for place in np.argsort(-moves.displacement)[:FARTHEST]}
    beyond = {words[place] for place in np.flatnonzero(drift.is_beyond).tolist()}
    return {
        "n_words": len(known),
        "n_frequent": len(frequent),
        "frequent_found": len(frequent & by_excess) / len(frequent),
        "frequent_found_by_displacement_alone": len(frequent & by_displacement) / len(frequent),
        "all_found": len(known & by_excess) / len(known),
        "frequent_beyond_chance": len(frequent & beyond) / len(frequent),
        "others_beyond_chance": len(beyond - wanted) / (len(words) - len(known)),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Train, measure, print a summary, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, help="write the figures to this file")
    parser.add_argument("--keep", type=Path, help="keep the trainings here, and go on from them")
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="shipped models")
    parser.add_argument("--reviews", type=int, help="take so many reviews instead of the corpus")
    parser.add_argument("--evidently", help="an interpreter that has the package evidently")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="trainings at once")
    parser.add_argument(
        "--first-drop", type=int, default=1, help="21: twenty texts that no default was chosen on"
    )
    asked = parser.parse_args(argv)
    drops = range(asked.first_drop, asked.first_drop + N_DROPS)
    with tempfile.TemporaryDirectory() as temporary:
        directory = asked.keep or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        texts = Texts.read(directory, asked.reviews)
        figures: dict[str, Any] = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "corpus": f"{asked.reviews:,} reviews" if asked.reviews else "shipped",
            "n_documents": len(texts.documents),
            "models": {},
        }
        train_all(texts, asked.models, drops, asked.processes)
        for model in asked.models:
            found = figures["models"][model] = measure(texts, model, drops, asked.evidently)
            print(f"{model}: {json.dumps(found, indent=1)}")
            asked.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
