"""How many modules, named types and tables one document passes on its way from source to answer.

A night on 300 short documents is traced, and two questions after it: ``neighbors`` and
``search``. A module counts when one of its functions is called, a type when it is instantiated,
below one of these: a function of a stage, a worker's piece of a stage, the registration of a
version, or the lookup that answers. Planning, the night's record, promotion, configuration and
printing do not count, because no part of the document passes them. Python's own profiler reports
every call, in this process and in the workers.

    python -m benchmarks.walk [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
TRACER = r"""
import os, re, sys, threading
out, root = os.environ["WALK_OUT"], os.environ["WALK_ROOT"]
STAGE = re.compile(r"stages/\w+/\w+_stage\.py$")
OTHER = ("/core/executors/", "/lookup/model.py")
NAMES = {"ensure_registered"}
seen = set()

def is_on_the_way(frame):
    while frame is not None:
        code = frame.f_code
        path = code.co_filename
        if path.startswith(root) and (
            (STAGE.search(path) and code.co_name == "write")
            or any(part in path for part in OTHER)
            or code.co_name in NAMES
        ):
            return True
        frame = frame.f_back
    return False

def note(kind, name, frame):
    if (kind, name) not in seen and is_on_the_way(frame):
        seen.add((kind, name))
        with open(out, "a") as stream:
            stream.write(f"{kind} {name}\n")

def profile(frame, event, arg):
    if event != "call":
        return
    code = frame.f_code
    if code.co_name in ("__init__", "__new__"):
        made = frame.f_locals.get("self")
        kind = type(made) if made is not None else frame.f_locals.get("_cls")
        if str(getattr(kind, "__module__", "")).split(".")[0] == "nightjar":
            note("type", f"{kind.__module__}.{kind.__qualname__}", frame)
    if code.co_filename.startswith(root) and code.co_flags & 1:  # not the body of a module
        name = os.path.realpath(code.co_filename)[len(root):]
        if name.startswith(("nightjar/", "tasks/", "flows/")):
            note("module", name, frame)

sys.setprofile(profile)
threading.setprofile(profile)
"""


def write_project(directory: Path) -> None:
    """A config with one corpus, one model, one benchmark and an index of the documents."""
    draw = random.Random(1)
    words = [f"word{number}" for number in range(30)]
    texts = [" ".join(draw.choices(words, k=12)) + "." for _ in range(300)]
    lines = [json.dumps({"text": text}) for text in texts]
    (directory / "texts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    pairs = [f"word{number}\tword{number + 1}\t{number}" for number in range(20)]
    (directory / "pairs.tsv").write_text("\n".join(pairs), encoding="utf-8")
    source = {"type": "jsonl", "path": "texts.jsonl", "text_field": "text"}
    config = {
        "pipeline": {"name": "walk"},
        "corpora": {"text": {"kind": "text", "sources": {"texts": source}}},
        "training": {"workers": 1},
        "models": {"cbow": {"trainer": "word2vec", "vector_size": 16, "epochs": 2}},
        "document_vectors": {"texts": {"model": "cbow"}},
        "evaluation": {
            "bootstrap_samples": 20,
            "benchmarks": {"pairs": {"type": "similarity", "path": "pairs.tsv"}},
        },
        "registry": {"gate": {"benchmarks": ["pairs"]}},
    }
    (directory / "pipeline_config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def walk(directory: Path) -> dict[str, list[str]]:
    """Trace a night and two questions; returns the names by kind."""
    write_project(directory)
    (directory / "tracer").mkdir()
    (directory / "tracer" / "sitecustomize.py").write_text(TRACER, encoding="utf-8")
    found = directory / "found.txt"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(directory / "tracer"), str(ROOT))),
        "WALK_OUT": str(found),
        "WALK_ROOT": f"{ROOT}{os.sep}",
    }
    for arguments in (["run"], ["neighbors", "word1", "-m", "cbow"], ["search", "word1 word2"]):
        command = [sys.executable, "-m", "nightjar.cli.main", *arguments]
        subprocess.run(command, cwd=directory, env=environment, check=True, capture_output=True)
    names: dict[str, list[str]] = {"module": [], "type": []}
    for line in sorted(set(found.read_text(encoding="utf-8").splitlines())):
        kind, _, name = line.partition(" ")
        names[kind].append(name)
    tables = {
        f"{path.relative_to(directory / 'artifacts').parts[0]}.{_table(path)}"
        for path in (directory / "artifacts").glob("*/*/**/*.parquet")
        if path.relative_to(directory / "artifacts").parts[0] not in ("mlflow", "pipelines")
    }
    return {**names, "table": sorted(tables)}


def _table(path: Path) -> str:
    """Parts of a table are numbered files in a directory."""
    return path.parent.name if path.stem.isdigit() else path.stem


def main() -> None:
    """Print the counts, and the names with ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--json", type=Path, help="write the names into this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        found = walk(Path(temporary))
    for kind, names in found.items():
        print(f"{len(names):4} {kind}s")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
