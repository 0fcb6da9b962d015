"""README and docs say what is true: the tree, the commands, links, the keys, the columns."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin

import pyarrow as pa
import pytest
import typer
from conftest import PROJECT_ROOT
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typer.core import TyperGroup

import nightjar
from nightjar.cli.main import app
from nightjar.config import cleaning, corpora, models, table_sources
from nightjar.config.kind_defaults import DEFAULTS
from nightjar.config.sources import DatabaseRows, Files, ReadingConfig
from nightjar.stages import STAGES
from nightjar.store import schemas

README = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
DOCS = PROJECT_ROOT / "docs"
PAGES = (
    *(PROJECT_ROOT / name for name in ("README.md", "CONTRIBUTING.md", "examples/README.md")),
    *sorted(DOCS.rglob("*.md")),
)
REFERENCE_PATH = DOCS / "configuration.md"
SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("pipeline", models.PipelineConfig),
    ("corpora.NAME, kind: text", models.TextCorpusConfig),
    ("corpora.NAME.cleaning", cleaning.CleaningConfig),
    ("corpora.NAME.cleaning.repair", cleaning.RepairConfig),
    ("corpora.NAME.cleaning.unicode", cleaning.UnicodeConfig),
    ("corpora.NAME.cleaning.control_characters", cleaning.ControlCharactersConfig),
    ("corpora.NAME.cleaning.urls", cleaning.UrlsConfig),
    ("corpora.NAME.cleaning.emails", cleaning.EmailsConfig),
    ("corpora.NAME.cleaning.personal_data", cleaning.PersonalDataConfig),
    ("corpora.NAME.cleaning.numbers", cleaning.NumbersConfig),
    ("corpora.NAME.cleaning.white_space", cleaning.WhiteSpaceConfig),
    ("corpora.NAME.cleaning.filters", cleaning.FiltersConfig),
    ("corpora.NAME.cleaning.language", cleaning.LanguageFilterConfig),
    ("corpora.NAME.near_duplicates", models.NearDuplicatesConfig),
    ("corpora.NAME.sources.SOURCE, type: mediawiki", models.MediaWikiSource),
    ("corpora.NAME.sources.SOURCE, type: text", models.TextSource),
    ("corpora.NAME.sources.SOURCE, type: html", models.HtmlSource),
    ("corpora.NAME.sources.SOURCE, type: jsonl", models.JsonLinesSource),
    ("corpora.NAME.sources.SOURCE, type: parquet", models.ParquetSource),
    ("corpora.NAME.sources.SOURCE, type: csv", models.CsvSource),
    ("corpora.NAME.sources.SOURCE, type: sql", models.SqlSource),
    ("corpora.NAME.sources.SOURCE.storage", models.StorageConfig),
    ("corpora.NAME.tokenize", models.TokenizeConfig),
    ("corpora.NAME.tokenize.phrases", models.PhrasesConfig),
    ("corpora.NAME.accept", models.AcceptConfig),
    ("corpora.NAME, kind: graph", models.GraphCorpusConfig),
    ("corpora.NAME.sources.SOURCE of a graph, type: text", table_sources.EdgeListSource),
    ("corpora.NAME.sources.SOURCE of a graph, type: csv", table_sources.CsvEdges),
    ("corpora.NAME.sources.SOURCE of a graph, type: parquet", table_sources.ParquetEdges),
    ("corpora.NAME.sources.SOURCE of a graph, type: jsonl", table_sources.JsonLinesEdges),
    ("corpora.NAME.sources.SOURCE of a graph, type: sql", table_sources.SqlEdges),
    ("corpora.NAME.walks", corpora.WalksConfig),
    ("corpora.NAME.accept of a graph", corpora.AcceptGraphConfig),
    ("corpora.NAME, kind: events", models.EventsCorpusConfig),
    ("corpora.NAME.sources.SOURCE of events, type: csv", table_sources.CsvEvents),
    ("corpora.NAME.sources.SOURCE of events, type: parquet", table_sources.ParquetEvents),
    ("corpora.NAME.sources.SOURCE of events, type: jsonl", table_sources.JsonLinesEvents),
    ("corpora.NAME.sources.SOURCE of events, type: sql", table_sources.SqlEvents),
    ("corpora.NAME.items.SOURCE, type: csv", table_sources.CsvItems),
    ("corpora.NAME.items.SOURCE, type: parquet", table_sources.ParquetItems),
    ("corpora.NAME.items.SOURCE, type: jsonl", table_sources.JsonLinesItems),
    ("corpora.NAME.items.SOURCE, type: sql", table_sources.SqlItems),
    ("corpora.NAME.sessions", corpora.SessionsConfig),
    ("corpora.NAME.bots", corpora.BotsConfig),
    ("corpora.NAME.held_out of events", corpora.HoldOutConfig),
    ("corpora.NAME.accept of events", corpora.AcceptEventsConfig),
    ("training", models.TrainingConfig),
    ("execution", models.ExecutionConfig),
    ("models.NAME, trainer: word2vec", models.Word2VecConfig),
    ("models.NAME, trainer: fasttext", models.FastTextConfig),
    ("models.NAME, trainer: glove", models.GloVeConfig),
    ("models.NAME, trainer: import", models.ImportConfig),
    ("models.NAME, trainer: sif", models.SifConfig),
    ("models.NAME, trainer: usif", models.UsifConfig),
    ("models.NAME, trainer: prone", models.ProneConfig),
    ("evaluation", models.EvaluationConfig),
    ("evaluation.benchmarks.NAME, type: similarity", models.SimilarityBenchmark),
    ("evaluation.benchmarks.NAME, type: analogy", models.AnalogyBenchmark),
    ("evaluation.benchmarks.NAME, type: categorization", models.CategorizationBenchmark),
    ("evaluation.benchmarks.NAME, type: outlier", models.OutlierBenchmark),
    ("evaluation.benchmarks.NAME, type: sts", models.StsBenchmark),
    ("evaluation.benchmarks.NAME, type: classification", models.ClassificationBenchmark),
    ("evaluation.benchmarks.NAME, type: neighbors", models.NeighborsBenchmark),
    ("evaluation.benchmarks.NAME, type: node_classification", models.NodeClassificationBenchmark),
    ("evaluation.benchmarks.NAME, type: link_prediction", models.LinkPredictionBenchmark),
    ("evaluation.benchmarks.NAME, type: next_item", models.NextItemBenchmark),
    ("registry", models.RegistryConfig),
    ("registry.gate", models.GateConfig),
    ("drift", models.DriftConfig),
    ("registry.gate.health.MEASURE", models.Bounds),
    ("document_vectors.NAME", models.DocumentVectorsConfig),
    ("keep", models.KeepConfig),
    ("consumers.NAME", models.ConsumerConfig),
    ("alerts", models.AlertsConfig),
    ("alerts.webhook", models.WebhookConfig),
)
PREAMBLE = """# Configuration

Every key of `pipeline_config.yaml`, with its type, default and meaning. An unknown key is an
error that names the closest valid one. Any key can be overridden for one run:
`nightjar run --set models.glove.eta=0.1`; the value is read as YAML, and `null` for a section
removes it. Relative paths start at the config file; `package:NAME/FILE` is a file that an
installed Python package ships. NAME is yours: lower-case letters, digits and dashes.

This page is made from `nightjar/config/`: `python tests/test_docs.py` renews it.
"""


def type_name(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Literal:
        return " or ".join(str(value) for value in get_args(annotation))
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(type_name(part) for part in get_args(annotation)))
    if origin is not None and hasattr(annotation, "__metadata__"):
        return type_name(annotation.__origin__)
    if origin is list:
        return f"list of {type_name(get_args(annotation)[0])}"
    if origin is dict:
        return "section"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    names = {str: "text", int: "integer", float: "number", bool: "true or false"}
    return names.get(annotation, "null" if annotation is type(None) else "text")


def default_text(default: Any) -> str:
    if default is PydanticUndefined:
        return "required"
    if isinstance(default, BaseModel):
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return "null" if default is None else str(default).replace("\n", "\\n")


def bounds(metadata: list[Any]) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    found = [
        f"{sign} {getattr(item, name):g}"
        for item in metadata
        for name, sign in signs.items()
        if getattr(item, name, None) is not None
    ]
    return f" ({', '.join(found)})" if found else ""


def configuration_reference() -> str:
    lines = [PREAMBLE]
    for title, model in SECTIONS:
        lines += [f"## {title}", "", inspect.cleandoc(model.__doc__ or ""), ""]
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        for name, field in model.model_fields.items():
            kind = type_name(field.annotation) + bounds(field.metadata)
            default = default_text(field.default)
            lines.append(f"| `{name}` | {kind} | {default} | {field.description or ''} |")
        lines.append("")
    return "\n".join([*lines, *kind_defaults()])


def kind_defaults() -> list[str]:
    """What a model of a graph or of events has where its section says nothing."""
    lines = ["## Defaults by kind of corpus", ""]
    lines += ["A model that learns from a graph or from events has these values of keys that its"]
    lines += ["section does not write.", "", "| kind | trainer | values |", "|---|---|---|"]
    for kind, trainers in DEFAULTS.items():
        for trainer, values in trainers.items():
            shown = ", ".join(
                f"`{key}: {value:g}`" if isinstance(value, float) else f"`{key}: {value}`"
                for key, value in values.items()
            )
            lines.append(f"| {kind} | {trainer} | {shown} |")
    return [*lines, ""]


def test_the_configuration_page_is_made_from_the_config_models() -> None:
    assert REFERENCE_PATH.read_text(encoding="utf-8") == configuration_reference(), (
        "renew it: python tests/test_docs.py"
    )


def test_every_section_of_the_config_is_on_the_page() -> None:
    documented = {model for _, model in SECTIONS}
    modules = (models, cleaning, corpora, table_sources)
    named = [value for module in modules for value in vars(module).values()]
    classes = [value for value in named if isinstance(value, type)]
    declared = {
        value
        for value in classes
        if issubclass(value, BaseModel) and not value.__name__.startswith("_")
    }
    abstract = {models.Section, models.IngestConfig, ReadingConfig, Files, DatabaseRows}
    assert documented == declared - abstract - {models.NightjarConfig}


def commands() -> Iterator[str]:
    yield from cast("TyperGroup", typer.main.get_command(app)).commands


def test_every_command_is_on_its_page_and_has_help() -> None:
    page = (DOCS / "commands.md").read_text(encoding="utf-8")
    for name in commands():
        assert re.search(rf"^nightjar {name}\b", page, re.MULTILINE), name
    group = typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        assert command.help, name
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert parameter.help, (name, parameter.name)


def test_every_command_that_a_page_shows_exists() -> None:
    known = set(commands())
    for page in PAGES:
        shown = re.findall(r"^nightjar ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(shown) <= known, page.name


def test_the_readme_is_short() -> None:
    assert len(README.split()) < 1200


def tree_paths() -> list[str]:
    block = README.split("## The tree")[1].split("```")[1]
    paths, parents = [], [""]
    for line in block.strip().splitlines():
        entry = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        parents = [*parents[: depth + 1], entry]
        paths.append("".join(parents[: depth + 1]) + entry)
    return paths


def test_the_tree_in_the_readme_is_the_tree() -> None:
    paths = tree_paths()
    for path in paths:
        assert (PROJECT_ROOT / path).exists(), path
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode != 0:
        pytest.skip("not a git checkout: what is tracked is not known")
    entries = [line.split("/") for line in tracked.stdout.splitlines()]
    package = {  # the links flows and tasks are tracked as files
        f"nightjar/{parts[1]}" + ("/" if len(parts) > 2 else "")
        for parts in entries
        if parts[0] == "nightjar" and parts[1] not in ("__init__.py", "py.typed")
    }
    folders = {f"{parts[0]}/" for parts in entries if len(parts) > 1 and parts[0][0] != "."}
    inside = {path for path in paths if path.startswith("nightjar/") and path != "nightjar/"}
    assert package == inside
    assert folders == {path for path in paths if path.count("/") == 1 and path[-1] == "/"}


def test_links_in_the_docs_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_column_is_in_the_artifact_contract() -> None:
    contract = CONTRACT_PATH.read_text(encoding="utf-8")
    declared = [value for value in vars(schemas).values() if isinstance(value, pa.Schema)]
    declared += [
        make(4)
        for make in (
            schemas.vectors_schema,
            schemas.output_vectors_schema,
            schemas.ngrams_schema,
            schemas.input_vectors_schema,
            schemas.glove_parameters_schema,
            schemas.document_vectors_schema,
        )
    ]
    for schema in declared:
        for column in schema.names:
            assert re.search(rf"\b{column}\b", contract), column


STAGES_BEGIN = "<!-- made from nightjar/stages/: python tests/test_docs.py renews it -->\n"
STAGES_END = "<!-- end -->"
CONTRACT_PATH = DOCS / "artifacts.md"


def stage_table() -> str:
    """The declared stages, as docs/artifacts.md shows them."""
    lines = ["| stage | task | an artifact for each of | what it does | tables and files | kept |"]
    lines.append("|---|---|---|---|---|---|")
    for stage in STAGES:
        names = ", ".join(f"`{name}`" for name in (*stage.tables, *stage.files))
        lines.append(
            f"| `{stage.name}` | {stage.verb} | `{stage.of.value}` | {stage.about} | {names} | "
            f"{stage.keep.value} |"
        )
    return "\n".join(lines) + "\n"


def with_stage_table(contract: str) -> str:
    before, _, rest = contract.partition(STAGES_BEGIN)
    return before + STAGES_BEGIN + stage_table() + STAGES_END + rest.partition(STAGES_END)[2]


def test_the_table_of_stages_is_made_from_the_declarations() -> None:
    contract = CONTRACT_PATH.read_text(encoding="utf-8")
    assert contract == with_stage_table(contract), "renew it: python tests/test_docs.py"
    for stage in STAGES:
        for name in (stage.name, *stage.pieces):
            assert f"\n## {name}\n" in contract, name


def test_nothing_names_a_registry_host_or_a_path_of_one_machine() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode != 0:
        pytest.skip("not a git checkout: what is tracked is not known")
    forbidden = re.compile("|".join([r"pypi\." + "org", "pythonhosted" + r"\.org", "/wo" + "rk/"]))
    for name in tracked.stdout.splitlines():
        path = PROJECT_ROOT / name
        if path.is_file():
            found = forbidden.search(path.read_text(encoding="utf-8", errors="replace"))
            assert found is None, f"{name}: {found}"


# -- the Python API --------------------------------------------------------------------------

API_PATH = DOCS / "api.md"
API_HEAD = """# Python API

<!-- made from the docstrings: python tests/test_docs.py renews it -->

This page is all that `import nightjar` promises. Nothing is printed; progress goes to a callback.
The types that are returned have more attributes, which their docstrings explain:
`help(nightjar.Pipeline.run)`.

```python
import nightjar

pipeline = nightjar.Pipeline("pipeline_config.yaml")
night = pipeline.run(on_progress=lambda report: print(report.step, report.done, report.total))
for decision in night.decisions:
    print(decision["model"], decision["outcome"], decision["reason"])
print(pipeline.model("glove").neighbors(["king"], topn=5))
```
"""
SHOWN_ERRORS = [
    name
    for name in nightjar.__all__
    if isinstance(getattr(nightjar, name), type) and issubclass(getattr(nightjar, name), Exception)
]


def prose(thing: object) -> str:
    """A docstring as Markdown."""
    text = inspect.getdoc(thing) or ""
    text = re.sub(r":\w+:`[~.]?([^`]+)`", r"`\1`", text)
    return text.replace("``", "`")


def described(name: str, found: Any, level: str) -> list[str]:
    """A heading, the signature and the docstring."""
    if isinstance(found, property | cached_property) or found is nightjar.Model:
        return [f"{level} {name}", "", prose(found), ""]
    plain = str(inspect.signature(found)).replace("self, ", "").replace("(self)", "()")
    signature = re.sub(r"(: |-> )'([^']+)'", r"\1\2", plain).removesuffix(" -> None")
    return [f"{level} {name}", "", f"```python\n{name}{signature}\n```", "", prose(found), ""]


def api_reference() -> str:
    lines = [API_HEAD]
    for name in ("Pipeline", "Model", "open_model", "SearchHit", "ProgressReport"):
        found = getattr(nightjar, name)
        lines += described(name, found, "##")
        for key, member in vars(found).items() if isinstance(found, type) else ():
            is_shown = inspect.isfunction(member) or isinstance(member, property | cached_property)
            if is_shown and not key.startswith("_"):
                lines += described(key, member, "###")
    lines += ["## Errors", ""]
    for name in SHOWN_ERRORS:
        error = getattr(nightjar, name)
        lines.append(f"- `{name}`, a `{error.__base__.__name__}`: {prose(error)}")
    return "\n".join(lines).rstrip() + "\n"


def test_the_reference_of_the_api_is_made_from_the_docstrings() -> None:
    assert API_PATH.read_text(encoding="utf-8") == api_reference(), (
        "run python tests/test_docs.py to renew docs/api.md"
    )


if __name__ == "__main__":
    API_PATH.write_text(api_reference(), encoding="utf-8")
    Path(REFERENCE_PATH).write_text(configuration_reference(), encoding="utf-8")
    CONTRACT_PATH.write_text(
        with_stage_table(CONTRACT_PATH.read_text(encoding="utf-8")), encoding="utf-8"
    )
    sys.stdout.write(f"wrote {REFERENCE_PATH.name} and {CONTRACT_PATH.name}\n")
