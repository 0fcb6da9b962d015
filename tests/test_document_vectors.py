"""Documents as vectors: the stage, its plan, resuming, reusing, and what it refuses."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from asking_support import asked_json, refused
from config_support import refusal
from conftest import PROJECT_ROOT, run_due
from corpus_support import run_ingest, text_source
from encoder_support import WORDS, make_bert, make_static
from stage_support import context_of

from nightjar.config import DocumentVectorsConfig, load_config
from nightjar.errors import EncoderError, SourceChanged, SourceError
from nightjar.formats.model_files import temporary_model
from nightjar.pipeline import Plan, Provenance, make_plan, run_step
from nightjar.progress import SILENT, Progress
from nightjar.stages.embed import (
    Encoded,
    TextEncoder,
    document_vectors_identity,
    embed_documents,
    encoder_of,
    find_earlier,
    opened_encoder,
    parts_directory,
    unwanted_parts,
)
from nightjar.stages.embed import embed_stage as stage
from nightjar.stages.embed.encoder_opening import pre_trained_encoder
from nightjar.stages.embed.encoding import ignore_progress
from nightjar.stages.embed.known_vectors import PartKey, Parts
from nightjar.store import Artifact, Identity, Staging, Store, publish, schemas


class Counting:
    """An encoder whose vectors say which text they are of; it remembers what it was given."""

    vector_size = 3

    def __init__(self) -> None:
        self.seen: list[str] = []

    def encode(
        self, texts: Sequence[str], advance: Callable[[int], None] = ignore_progress
    ) -> Encoded:
        self.seen += texts
        vectors = np.array([[len(text), ord(text[0]), 1] for text in texts], np.float32)
        is_known = np.array(["unknown" not in text for text in texts])
        vectors[~is_known] = 0
        advance(len(texts))
        return Encoded(vectors, is_known, np.array([len(text) > 30 for text in texts]))

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        return self.encode(texts)


IDENTITY = Identity(
    schemas.DOCUMENT_VECTORS,
    "counting",
    {"name": "counting", "encoder": "counting"},
    {schemas.DOCUMENTS: "0" * 12},
)


def documents_of(directory: Path, lines: Sequence[str]) -> Artifact:
    directory.mkdir(exist_ok=True, parents=True)
    (directory / "in.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return run_ingest(directory, text_source("in.txt")).artifact


def embedded(
    root: Path,
    documents: Artifact,
    encoder: TextEncoder,
    *,
    progress: Progress = SILENT,
    identity: Identity = IDENTITY,
    is_incremental: bool = True,
) -> Artifact:
    parents = {**identity.parents, schemas.DOCUMENTS: documents.ref.version}
    identity = replace(identity, parents=parents)
    store = Store(root)
    earlier = find_earlier(store, identity) if is_incremental else None

    def write(staging: Staging) -> None:
        context = context_of(staging, identity, progress=progress)
        embed_documents(encoder, documents, context, earlier)

    ref = publish(root, identity, write)
    assert store.verify(ref) == []
    return store.open(ref)


def rows_of(artifact: Artifact) -> list[dict[str, Any]]:
    return artifact.read("vectors").to_pylist()


def content(artifact: Artifact) -> bytes:
    return artifact.table_paths("vectors")[0].read_bytes()


LINES = [f"line number {number} of this text" for number in range(50)]


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "PART_DOCUMENTS", 8)


# -- the table -------------------------------------------------------------------------------


def test_every_document_has_a_row_in_order_and_zeros_where_no_word_is_known(tmp_path: Path) -> None:
    documents = documents_of(tmp_path, ["one", "unknown word", "a" * 31, "two"])
    artifact = embedded(tmp_path / "store", documents, Counting())
    expected = documents.read("documents", ["doc_id", "content_sha256"]).to_pylist()
    vectors = [[3, ord("o"), 1], [0, 0, 0], [31, ord("a"), 1], [3, ord("t"), 1]]
    assert rows_of(artifact) == [
        {**row, "vector": vector, "is_known": any(vector)}
        for row, vector in zip(expected, vectors, strict=True)
    ]
    assert artifact.schema("vectors") == schemas.document_vectors_schema(3)
    assert artifact.manifest.counts == {
        "documents": 4,
        "documents_cut": 1,
        "documents_without_known_words": 1,
        "encoded": 4,
        "reused": 0,
    }


def test_no_document_gives_an_empty_table(tmp_path: Path) -> None:
    whole = documents_of(tmp_path, ["one"])
    identity = Identity(schemas.DOCUMENTS, "", {"sources": {}})

    def write(staging: Staging) -> None:
        staging.write("documents", pa.table(whole.read("documents").slice(0, 0)))

    empty = Store(tmp_path / "e").open(publish(tmp_path / "e", identity, write))
    artifact = embedded(tmp_path / "store", empty, Counting())
    assert rows_of(artifact) == []
    assert artifact.manifest.counts["documents"] == 0
    # Nothing to reuse, and nothing that breaks.
    again = embedded(tmp_path / "store", documents_of(tmp_path, ["one", "two"]), Counting())
    assert again.manifest.counts["encoded"] == 2


def test_a_vector_that_is_not_finite_is_refused_with_its_document(tmp_path: Path) -> None:
    class Broken(Counting):
        def encode(self, texts: Sequence[str], advance: Any = ignore_progress) -> Encoded:
            encoded = super().encode(texts, advance)
            encoded.vectors[1, 2] = np.nan
            return encoded

    documents = documents_of(tmp_path, ["one", "two", "three"])
    doc_id = documents.read("documents").column("doc_id")[1].as_py()
    with pytest.raises(EncoderError, match=f"document {doc_id} is not finite"):
        embedded(tmp_path / "store", documents, Broken())
    assert Store(tmp_path / "store").versions(schemas.DOCUMENT_VECTORS) == []


def test_progress_tells_texts_a_second_and_the_time_left(tmp_path: Path) -> None:
    class Heard:
        def __init__(self) -> None:
            self.phases: list[tuple[str, float | None, str]] = []
            self.done = 0.0
            self.notes: list[str] = []

        def start(self, label: str, total: float | None, unit: str) -> None:
            self.phases.append((label, total, unit))

        def advance(self, amount: float, note: str = "") -> None:
            self.done += amount
            self.notes.append(note)

    heard = Heard()
    embedded(tmp_path / "s", documents_of(tmp_path, LINES), Counting(), progress=heard)
    assert heard.phases == [
        ("embed documents", 50, "documents"),
        ("write vectors", 50, "documents"),
    ]
    assert heard.done == 100
    assert "texts/s" in heard.notes[0]
    assert heard.notes[0].endswith("0 s left")
    assert [stage.time_left(s) for s in (80, 600, 9_000)] == ["80 s", "10 min", "2.5 h"]


# -- killed and resumed ----------------------------------------------------------------------


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from nightjar.stages.embed import embed_stage as stage
from nightjar.stages.embed.known_vectors import Parts
from test_document_vectors import Counting, embedded
from nightjar.store import Store
documents = Store(Path(sys.argv[1])).versions("documents")[0]
stage.PART_DOCUMENTS = 8
save = Parts.save
def save_and_die(self, key, encoded):
    save(self, key, encoded)
    if key.number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
Parts.save = save_and_die
embedded(Path(sys.argv[2]), Store(Path(sys.argv[1])).open(documents), Counting())
"""


@pytest.mark.usefixtures("small_parts")
def test_after_kill_9_it_goes_on_from_the_last_part_to_the_same_bytes(tmp_path: Path) -> None:
    documents = documents_of(tmp_path, LINES)
    store = tmp_path / "store"
    arguments = [str(tmp_path / "artifacts"), str(store), str(PROJECT_ROOT / "tests")]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments],
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr.decode()
    assert Store(store).versions(schemas.DOCUMENT_VECTORS) == []
    encoder = Counting()
    resumed = embedded(store, documents, encoder)
    assert encoder.seen == LINES[32:]
    undisturbed = embedded(tmp_path / "other", documents, Counting())
    assert content(resumed) == content(undisturbed)
    assert resumed.manifest.counts == undisturbed.manifest.counts


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "of other documents", "narrower"])
def test_a_part_that_is_not_whole_is_encoded_anew(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    documents = documents_of(tmp_path, LINES)
    expected = embedded(tmp_path / "other", documents, Counting())
    directory = tmp_path / "store" / schemas.DOCUMENT_VECTORS / f".parts-{expected.ref.version}"
    hashes = documents.read("documents").column("content_sha256").to_pylist()
    encoder = Counting()
    key = PartKey.of(0, hashes[:8])
    Parts(directory, 3).save(key, encoder.encode(LINES[:8]))
    path = directory / "part-000000.npz"
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[:-30])
    elif damage == "flipped":
        half = whole.find(encoder.encode(LINES[:8]).vectors.tobytes())
        path.write_bytes(whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "of other documents":
        Parts(directory, 3).save(PartKey.of(0, hashes[8:16]), encoder.encode(LINES[8:16]))
    else:
        few = Encoded(np.zeros((8, 2), np.float32), np.ones(8, np.bool_), np.ones(8, np.bool_))
        Parts(directory, 2).save(key, few)
    encoder.seen.clear()
    with caplog.at_level(logging.WARNING):
        artifact = embedded(tmp_path / "store", documents, encoder)
    assert "it is encoded anew" in caplog.text
    assert encoder.seen == LINES
    assert content(artifact) == content(expected)


def test_parts_of_versions_that_nobody_plans_are_unwanted(tmp_path: Path) -> None:
    given_up, goes_on = (parts_directory(tmp_path, letter * 12) for letter in "ab")
    for directory in (given_up, goes_on):
        Parts(directory, 3).save(PartKey.of(0, ["hash"]), Counting().encode(["a b"]))
    assert unwanted_parts(tmp_path, {"b" * 12, "c" * 12}) == [given_up]


# -- reused ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_parts")
def test_only_new_texts_are_encoded_and_the_bytes_are_those_of_encoding_all(
    tmp_path: Path,
) -> None:
    store = tmp_path / "store"
    lines = [*LINES, "unknown word"]
    embedded(store, documents_of(tmp_path, lines), Counting())
    new = ["first of all", *lines[10:30], "in between", *reversed(lines[30:]), "unknown too"]
    documents = documents_of(tmp_path, new)
    encoder = Counting()
    artifact = embedded(store, documents, encoder)
    assert encoder.seen == ["first of all", "in between", "unknown too"]
    assert artifact.manifest.counts["encoded"] == 3
    assert artifact.manifest.counts["reused"] == len(new) - 3
    assert artifact.manifest.report["reused_from"].startswith("document_vectors/")
    every = embedded(tmp_path / "other", documents, Counting())
    assert content(artifact) == content(every)


def test_vectors_of_another_encoder_are_not_used(tmp_path: Path) -> None:
    store = tmp_path / "store"
    embedded(store, documents_of(tmp_path, LINES[:9]), Counting())
    documents = documents_of(tmp_path, LINES[:10])
    same = replace(IDENTITY, name="other", config={"name": "other", "encoder": "counting"})
    assert embedded(store, documents, Counting(), identity=same).manifest.counts["reused"] == 9
    others = [
        replace(IDENTITY, config={"name": "counting", "encoder": "another"}),
        replace(IDENTITY, code={"revision": 2}),
        replace(IDENTITY, parents={**IDENTITY.parents, schemas.EMBEDDINGS: "1" * 12}),
    ]
    for identity in others:
        artifact = embedded(store, documents, Counting(), identity=identity)
        assert artifact.manifest.counts["reused"] == 0


def test_an_earlier_artifact_of_other_widths_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Wider(Counting):
        vector_size = 4

        def encode(self, texts: Sequence[str], advance: Any = ignore_progress) -> Encoded:
            encoded = super().encode(texts, advance)
            return replace(encoded, vectors=np.pad(encoded.vectors, ((0, 0), (0, 1))))

    embedded(tmp_path / "store", documents_of(tmp_path, ["one"]), Counting())
    with caplog.at_level(logging.WARNING):
        artifact = embedded(tmp_path / "store", documents_of(tmp_path, ["one", "two"]), Wider())
    assert "they have 3 values, the encoder gives 4" in caplog.text
    assert artifact.manifest.counts["encoded"] == 2


def test_a_damaged_earlier_artifact_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "store"
    first = embedded(store, documents_of(tmp_path, LINES), Counting())
    path = first.table_paths("vectors")[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        artifact = embedded(store, documents_of(tmp_path, [*LINES, "new"]), Counting())
    assert "its vectors are not used again" in caplog.text
    assert artifact.manifest.counts["encoded"] == 51
    assert artifact.manifest.report["reused_from"] is None


def test_reuse_gives_the_bytes_of_a_real_encoder(tmp_path: Path) -> None:
    folder = make_bert(tmp_path / "bert")
    config = DocumentVectorsConfig(
        encoder="sentence-transformers", path=str(folder), device="cpu", batch_size=4
    )
    random = np.random.default_rng(1)
    lines = [" ".join(random.choice(WORDS, random.integers(3, 70))) for _ in range(60)]
    first = documents_of(tmp_path, lines[:40])
    identity = document_vectors_identity("bert", config, tmp_path, first.ref.version)
    encoder = pre_trained_encoder(config, tmp_path, identity)
    embedded(tmp_path / "store", first, encoder, identity=identity)
    second = documents_of(tmp_path, [*lines[40:50], *lines[20:40], *lines[50:]])
    artifact = embedded(tmp_path / "store", second, encoder, identity=identity)
    every = embedded(tmp_path / "other", second, encoder, identity=identity)
    assert artifact.manifest.counts["reused"] == 20
    assert content(artifact) == content(every)


# -- in the night ----------------------------------------------------------------------------


BY_MODEL = "document_vectors.by-cbow={model: cbow, normalize: true}"


def static_override(config: Path, name: str = "static", seed: int = 1) -> str:
    make_static(config.parent / name, seed=seed)
    return f"document_vectors.{name}={{encoder: model2vec, path: {name}}}"


def plan_of(config: Path, *overrides: str) -> Plan:
    return make_plan(load_config(config, overrides))


def test_documents_are_embedded_last_by_tonights_model_and_by_an_encoder(
    finished_copy: Path,
) -> None:
    overrides = [BY_MODEL, static_override(finished_copy)]
    last = ["embed by-cbow", "index by-cbow", "embed static", "index static"]
    assert run_due(finished_copy, *overrides) == last
    loaded = load_config(finished_copy, overrides)
    plan = make_plan(loaded)
    assert plan.due == ()
    assert [step.label for step in plan.steps[-4:]] == last
    store = Store(loaded.artifacts_dir)
    by_cbow = store.open(plan.step(schemas.DOCUMENT_VECTORS, "by-cbow").ref)
    embeddings = plan.step(schemas.EMBEDDINGS, "cbow").ref
    documents = plan.step(schemas.DOCUMENTS).ref
    assert by_cbow.manifest.parents == {
        "documents": documents.version,
        "embeddings": embeddings.version,
    }
    vectors = np.array([row["vector"] for row in rows_of(by_cbow)])
    assert vectors.shape == (293, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    config = loaded.config.document_vectors["by-cbow"]
    identity = plan.step(schemas.DOCUMENT_VECTORS, "by-cbow").identity
    text = store.open(documents).read("documents").column("text")[7].as_py()
    place = loaded.artifacts_dir
    with (
        opened_encoder(config, loaded.base_dir, store, identity, place) as encoder,
        temporary_model("cbow", store.open(embeddings)) as model,
    ):
        for found in (encoder, encoder_of(config, loaded.base_dir, by_cbow, model)):
            np.testing.assert_allclose(found.encode([text]).vectors[0], vectors[7], atol=1e-6)
    assert not list(place.glob("nightjar-scratch-*"))
    static = store.open(plan.step(schemas.DOCUMENT_VECTORS, "static").ref)
    config = loaded.config.document_vectors["static"].model_copy(update={"max_length": 1})
    as_made = encoder_of(config, loaded.base_dir, static)
    assert np.array_equal(as_made.encode([text]).vectors[0], rows_of(static)[7]["vector"])
    shutil.rmtree(finished_copy.parent / "static")
    static_override(finished_copy, seed=2)
    with pytest.raises(SourceChanged, match="not those that the vectors are made with"):
        encoder_of(config, loaded.base_dir, static)
    assert not list((loaded.artifacts_dir / "document_vectors").glob(".*"))


def test_a_promoted_model_embeds_anew_and_an_encoder_only_new_texts(
    finished_copy: Path,
) -> None:
    overrides = [BY_MODEL, static_override(finished_copy)]
    run_due(finished_copy, *overrides)
    trained = [*overrides, "models.cbow.alpha=0.02"]
    training = ["train cbow", "evaluate cbow"]
    assert [step.label for step in plan_of(finished_copy, *trained).due] == training
    embedding = ["embed by-cbow", "index by-cbow"]
    assert run_due(finished_copy, *trained) == [*training, "drift cbow", *embedding]
    (finished_copy.parent / "static" / "README.md").write_text("x", encoding="utf-8")
    assert plan_of(finished_copy, *overrides).due == ()
    shutil.rmtree(finished_copy.parent / "static")
    static_override(finished_copy, seed=2)
    step, index = plan_of(finished_copy, *overrides).due
    assert index.label == "index static"
    assert (step.label, step.reason) == ("embed static", "model.safetensors changed")


def test_an_encoder_that_changes_between_plan_and_run_is_noticed(finished_copy: Path) -> None:
    override = static_override(finished_copy)
    loaded = load_config(finished_copy, [override])
    plan = make_plan(loaded)
    shutil.rmtree(finished_copy.parent / "static")
    static_override(finished_copy, seed=2)
    with pytest.raises(SourceChanged, match="not those that the vectors are made with"):
        run_step(loaded, plan.due[0], SILENT, Provenance(None, "test", 1))


def test_planning_loads_no_encoder(finished_copy: Path) -> None:
    override = static_override(finished_copy)
    program = (
        "import sys; from pathlib import Path; from nightjar.config import load_config\n"
        "from nightjar.pipeline import make_plan\n"
        "make_plan(load_config(Path(sys.argv[1]), [sys.argv[2]]))\n"
        "heavy = ('torch', 'transformers', 'sentence_transformers', 'model2vec', 'tokenizers',\n"
        "         'huggingface_hub', 'numba', 'gensim', 'mlflow', 'prefect', 'scipy', 'pandas')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(finished_copy), override],
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("{model: glov}", "there is no model 'glov'; did you mean 'glove'?"),
        ("{}", "give model (one of models) or encoder with its path"),
        ("{model: glove, encoder: model2vec, path: x}", "give model (one of models) or encoder"),
        ("{encoder: model2vec}", "encoder needs path"),
        ("{encoder: model3vec, path: x}", "model2vec"),
        ("{encoder: model2vec, paht: x}", "did you mean 'path'?"),
        ("{model: glove, batch_size: 3}", "batch_size: only for encoder, not for model"),
        ("{encoder: model2vec, path: x, revision: main}", "revision is only for a path"),
        ("{encoder: model2vec, path: 'hub:a/b/c'}", "write hub:OWNER/NAME"),
        ("{encoder: model2vec, path: x, batch_size: 0}", "should be at least 1"),
    ],
)
def test_a_wrong_entry_is_refused_with_what_to_write(
    entry: str, reason: str, minimal: Path
) -> None:
    assert reason in refusal(minimal, f"document_vectors.vectors={entry}")


def test_a_folder_that_is_not_there_stops_the_plan(finished_copy: Path) -> None:
    override = "document_vectors.static={encoder: model2vec, path: nowhere}"
    with pytest.raises(SourceError, match="nowhere: there is no such folder"):
        plan_of(finished_copy, override)


def test_an_encoder_that_fails_stops_neither_the_models_nor_the_other_vectors(
    finished_copy: Path,
) -> None:
    broken = static_override(finished_copy, "broken")
    path = finished_copy.parent / "broken" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-50])
    overrides = ["models.cbow.alpha=0.02", broken, BY_MODEL]
    arguments = [part for override in overrides for part in ("--set", override)]
    with pytest.raises(EncoderError, match=r"^broken: the encoder cannot be loaded"):
        run_due(finished_copy, *overrides)
    due = [step.label for step in plan_of(finished_copy, *overrides).due]
    assert due == ["embed broken", "index broken"]
    assert asked_json(finished_copy, "show", "by-cbow", *arguments)["counts"]["encoded"] == 293
    missing = refused(finished_copy, "show", "broken", *arguments)
    assert "broken cannot be searched: no night has indexed its documents" in str(missing)
