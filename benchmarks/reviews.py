"""Shared by the examples on reviews: read the reviews, and run the pipeline on them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from nightjar.config import LoadedConfig, load_config
from nightjar.errors import NightjarError
from nightjar.pipeline import DirectRunner, NightRequest, Provenance, run_night
from nightjar.progress import SILENT, Progress

CONFIG = Path(__file__).with_name("reviews.yaml")


@dataclass(frozen=True)
class Review:
    """A review; ``label`` is pos, neg or unsup."""

    id: str
    label: str
    text: str


def parser(description: str) -> argparse.ArgumentParser:
    """The options that both examples have."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument(
        "data", type=Path, help="folder of Parquet files with the columns id, label, text"
    )
    options.add_argument("--reviews", type=int, help="use so many; default: all")
    options.add_argument(
        "--work", type=Path, default=Path("artifacts/examples"), help="where artifacts go"
    )
    options.add_argument("--threads", type=int, default=2, help="of training")
    options.add_argument("--json", type=Path, help="write the figures to this file")
    return options


def read_reviews(folder: Path, n_reviews: int | None) -> list[Review]:
    """The first reviews of the folder's Parquet files; ends the program when there are none."""
    paths = sorted(folder.glob("*.parquet"))
    if not paths:
        sys.exit(f"{folder}: no Parquet file is there; give the folder of the reviews")
    data = ds.dataset(paths)
    missing = {"id", "label", "text"} - set(data.schema.names)
    if missing:
        sys.exit(f"{paths[0]} has no column {', '.join(sorted(missing))}")
    columns = ["id", "label", "text"]
    table = data.to_table(columns) if n_reviews is None else data.head(n_reviews, columns)
    return [Review(**row) for row in table.to_pylist()]


def _shown(label: str) -> Progress:
    print(label, file=sys.stderr, flush=True)
    return SILENT


def run_pipeline(
    reviews: Sequence[Review], work: Path, n_threads: int, overrides: Sequence[str] = ()
) -> LoadedConfig:
    """Bring the artifacts in ``work`` up to date, like `nightjar run`, but without Prefect.

    ``overrides`` are as after `--set`. Ends the program with Nightjar's message when that fails.
    """
    work.mkdir(parents=True, exist_ok=True)
    source = (work / "reviews.parquet").absolute()
    rows = [{"id": review.id, "text": review.text} for review in reviews]
    pq.write_table(pa.Table.from_pylist(rows), source)
    places = [
        f"corpora.reviews.sources.reviews.path={source}",
        f"pipeline.artifacts_dir={work.absolute() / 'artifacts'}",
    ]
    try:
        loaded = load_config(CONFIG, [*places, *overrides])
        provenance = Provenance(None, "example", n_threads)
        runner = DirectRunner(loaded, provenance, _shown)
        # A run with overrides only promotes when asked to.
        run_night(loaded, runner, provenance, NightRequest("the example", promotes=True))
    except NightjarError as error:
        sys.exit(str(error))
    return loaded
