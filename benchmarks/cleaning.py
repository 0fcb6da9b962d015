"""The speed of each cleaning step and filter, alone and together.

    python -m benchmarks.cleaning --json FILE [--data DIR] [--files 8] [--repeats 3]

Reads reviews (``imdb/*.parquet``, column ``text``) below ``--data``, by default ../shared/data
beside the project. Each cleaner processes all reviews in order on one core, the cleaners taking
turns, after a first pass that counts changes; the figures are medians of the repeats.
``mb_per_second``: millions of bytes of UTF-8 input; ``microseconds``: per review.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from nightjar.config.cleaning import STEPS, CleaningConfig
from nightjar.stages.ingest.cleaning import Changes, Cleaner, Dropped, make_cleaner

DATA = Path(__file__).parents[2] / "shared" / "data"
FILTERS: Mapping[str, float] = {
    "min_words": 5,
    "max_symbol_ratio": 0.3,
    "max_digit_ratio": 0.3,
    "max_repeated_line_ratio": 0.3,
    "max_repeated_character_ratio": 0.2,
}


@dataclass(frozen=True)
class Measured:
    """One cleaner: medians, what it changed and how many reviews it dropped."""

    mb_per_second: float
    microseconds: float
    changes: dict[str, int]
    n_dropped: int


def cleaners() -> dict[str, CleaningConfig]:
    """Each step and filter by itself, the default, all steps, and all steps and filters."""
    sections: dict[str, dict[str, Any]] = {"nothing": {"steps": []}}
    sections |= {step: {"steps": [step]} for step in STEPS}
    sections |= {key: {"steps": [], "filters": {key: limit}} for key, limit in FILTERS.items()}
    language = {"languages": ["en"]}
    sections["language"] = {"steps": [], "language": language}
    sections["all steps"] = {"steps": list(STEPS)}
    sections["all steps and filters"] = {
        "steps": list(STEPS),
        "filters": dict(FILTERS),
        "language": language,
    }
    return {name: CleaningConfig.model_validate(section) for name, section in sections.items()}


def reviews(data: Path, n_files: int) -> list[str]:
    """The texts of the first ``n_files`` files. Ends the program when there are none."""
    texts: list[str] = []
    for path in sorted((data / "imdb").glob("*.parquet"))[:n_files]:
        texts += pq.read_table(path, columns=["text"])["text"].to_pylist()
    if not texts:
        raise SystemExit(f"no reviews below {data}; set --data")
    return texts


def measure(texts: Sequence[str], repeats: int) -> dict[str, Measured]:
    """Every cleaner over all texts, in turns."""
    made = {name: make_cleaner(config) for name, config in cleaners().items()}
    n_bytes = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    counted = {name: _counted(cleaner, texts) for name, cleaner in made.items()}
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(repeats):
        for name, cleaner in made.items():
            started = time.perf_counter()
            for text in texts:
                cleaner.clean(text)
            seconds[name].append(time.perf_counter() - started)
    return {
        name: Measured(
            mb_per_second=round(n_bytes / 1e6 / statistics.median(taken), 1),
            microseconds=round(statistics.median(taken) / len(texts) * 1e6, 2),
            changes=counted[name][0],
            n_dropped=counted[name][1],
        )
        for name, taken in seconds.items()
    }


def _counted(cleaner: Cleaner, texts: Sequence[str]) -> tuple[dict[str, int], int]:
    """Changes in all texts, and texts dropped; loads what is loaded once."""
    changes, n_dropped = Changes(), 0
    for text in texts:
        result = cleaner.clean(text)
        n_dropped += isinstance(result, Dropped)
        for what, count in result.changes.items():
            changes.add(what, count)
    return {str(what): count for what, count in sorted(changes.items())}, n_dropped


def main() -> None:
    """Measure, print, write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, help="where to write the figures")
    parser.add_argument("--data", type=Path, default=DATA, help="the shared data directory")
    parser.add_argument("--files", type=int, default=8, help="how many files of reviews")
    parser.add_argument("--repeats", type=int, default=3, help="of each measurement")
    arguments = parser.parse_args()
    texts = reviews(arguments.data, arguments.files)
    found = measure(texts, arguments.repeats)
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "reviews": len(texts),
        "measured": {name: asdict(entry) for name, entry in found.items()},
    }
    arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for name, entry in found.items():
        print(
            f"{name:28} {entry.mb_per_second:8.1f} MB/s {entry.microseconds:8.2f} us a review, "
            f"{entry.n_dropped} dropped, {entry.changes}"
        )


if __name__ == "__main__":
    main()
