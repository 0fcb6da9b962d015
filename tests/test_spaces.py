"""Spaces: what is turned, what stays, and what a vector file says about its coordinates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from config_support import MINIMAL
from lookup_support import model_of_artifact
from numpy.typing import NDArray
from stage_support import context_of
from training_support import (
    matrix,
    model_config,
    publish_cooccurrences,
    publish_tokens,
    train_model,
)

from nightjar.api import open_model
from nightjar.config import load_config
from nightjar.config.models import GloVeConfig, TrainingConfig
from nightjar.core import Anchor
from nightjar.drift import Pairs, align
from nightjar.errors import ArtifactMissing, ConfigError, InputError
from nightjar.formats import FORMATS, ExportedVectors, write_vectors
from nightjar.formats.embeddings import Embeddings
from nightjar.formats.mapped_files import Turn, map_file
from nightjar.formats.origins import companion_of, read_origin
from nightjar.formats.spaces import Fit, fit_of, space_of
from nightjar.model.lookup import QueryError, answer
from nightjar.progress import SILENT
from nightjar.promotion import Event, EventKind, VersionRef, standing_of
from nightjar.stages.train import Lessons, Parents, train, trained_identity
from nightjar.stages.train.aligning import open_anchor, rotation_of, write_aligned
from nightjar.stages.train.training_identity import kept_to
from nightjar.store import Artifact, Identity, Staging, Store, publish, schemas

N_WORDS = 60
SIZE = 8


def sentences(seed: int, n: int = 300, first: int = 0) -> list[list[str]]:
    """Words ``first`` to ``first + N_WORDS``, the neighbours of a word near it in number."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        centre = int(generator.integers(N_WORDS))
        near = (centre + generator.integers(-4, 5, 10)) % N_WORDS + first
        found.append([f"w{number}" for number in near])
    return found


NATIVE: dict[str, Any] = {"engine": "native", "vector_size": SIZE, "epochs": 3, "sample": 0.0}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def before(root: Path) -> Artifact:
    """The tokens of the first night."""
    return publish_tokens(root, sentences(1))


@pytest.fixture(scope="module")
def after(root: Path) -> Artifact:
    """Those of the next: ten words are gone, ten are new."""
    return publish_tokens(root, sentences(2, first=10))


@pytest.fixture(scope="module")
def anchor(root: Path, before: Artifact) -> Artifact:
    return train_model(before, root, "word2vec", **NATIVE)


def aligned(root: Path, raw: Artifact, onto: Artifact | None) -> Artifact:
    """``raw``, turned onto another artifact."""
    identity = Identity(
        schemas.EMBEDDINGS,
        "words",
        {**raw.manifest.identity["config"], "anchor": None if onto is None else str(onto.ref)},
        {**raw.manifest.parents, schemas.RAW_EMBEDDINGS: raw.ref.version},
    )

    def write(staging: Staging) -> None:
        write_aligned("words", raw, onto, staging, SILENT)

    return Store(root).open(publish(root, identity, write))


def anchored(
    root: Path, tokens: Artifact, onto: Artifact, mode: str, n_workers: int = 1, **changes: Any
) -> Artifact:
    """A training that starts from ``onto``, or keeps its output layer."""
    trainer = changes.pop("trainer", "word2vec")
    model = model_config(trainer, space=mode, **{**NATIVE, **changes})
    identity = trained_identity(
        f"{mode}-{n_workers}", model, TrainingConfig(), Parents(tokens.ref.version)
    )
    identity = replace(identity, parents={**identity.parents, "embeddings": onto.ref.version})
    counts = None
    if isinstance(model, GloVeConfig):
        counts = publish_cooccurrences(tokens, root, **changes)

    def write(staging: Staging) -> None:
        context = context_of(staging, identity, n_workers=n_workers)
        lessons = Lessons(tokens, counts, anchor=onto)
        train("words", model, TrainingConfig(seed=7), lessons, context)

    return Store(root).open(publish(root, identity, write))


def cosines(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    units = rows.astype(np.float64)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    found: NDArray[np.float64] = units @ units.T
    return found


# -- aligned ---------------------------------------------------------------------------------------


def test_an_aligned_model_is_its_training_turned_onto_the_anchor(
    root: Path, anchor: Artifact, after: Artifact
) -> None:
    raw = train_model(after, root, "word2vec", **NATIVE)
    turned = aligned(root, raw, anchor)
    rotation = rotation_of(turned)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(SIZE), atol=1e-12)
    assert np.abs(rotation - np.eye(SIZE)).max() > 0.1
    # Every cosine within the model is what it was, those of new words, too.
    ours, theirs = matrix(raw, "vectors"), matrix(turned, "vectors")
    assert "w69" in Embeddings.from_artifact(turned).tokens
    np.testing.assert_allclose(cosines(theirs), cosines(ours), atol=1e-6)
    # And nearer to the anchor than the raw ones.
    known = Embeddings.from_artifact(anchor)
    shared = [word for word in Embeddings.from_artifact(turned).tokens if word in known.ids]
    assert len(shared) == 50
    model, other = model_of_artifact(turned), model_of_artifact(anchor)

    def nearness(vectors: NDArray[np.float32]) -> float:
        expected = other.vectors(shared)
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
        return float(np.mean(np.sum(vectors * expected, axis=1) / lengths))

    assert nearness(model.vectors(shared)) > nearness(model_of_artifact(raw).vectors(shared)) + 0.2
    space = turned.manifest.report["space"]
    assert space["id"] == space_of(turned) == space_of(anchor) == anchor.manifest.digest[:12]
    assert space["anchor"]["digest"] == anchor.manifest.digest
    assert space["shared_words"] == 50
    assert 0 < space["residual"] < 1
    assert space_of(raw) != space_of(anchor)
    assert turned.manifest.counts == raw.manifest.counts
    assert turned.read("losses").equals(raw.read("losses"))


def test_the_first_one_is_its_training_as_it_is(root: Path, before: Artifact) -> None:
    raw = train_model(before, root, "word2vec", **NATIVE)
    first = aligned(root, raw, None)
    for table in ("vectors", "output_vectors", "losses"):
        assert first.read(table).equals(raw.read(table))
    np.testing.assert_array_equal(rotation_of(first), np.eye(SIZE))
    assert space_of(first) == first.manifest.digest[:12]
    assert first.manifest.report["space"] == {"mode": "aligned", "anchor": None}


def test_unknown_words_of_an_aligned_fasttext_are_composed_in_the_same_coordinates(
    root: Path, anchor: Artifact, after: Artifact
) -> None:
    raw = train_model(after, root, "fasttext", **NATIVE)
    turned = aligned(root, raw, anchor)
    words = ["w690", "ww12", "w12"]
    expected = model_of_artifact(raw).vectors(words).astype(np.float64) @ rotation_of(turned)
    np.testing.assert_allclose(model_of_artifact(turned).vectors(words), expected, atol=1e-6)
    assert fit_of(turned).ngrams == (3, 6, 5000)


def test_the_output_layer_is_turned_too_so_that_gensim_continues(
    root: Path, anchor: Artifact, after: Artifact
) -> None:
    from nightjar.formats.gensim import to_gensim  # noqa: PLC0415 (imports gensim)

    raw = train_model(after, root, "word2vec", **NATIVE)
    turned = aligned(root, raw, anchor)
    np.testing.assert_allclose(
        matrix(turned, "vectors") @ matrix(turned, "output_vectors").T,
        matrix(raw, "vectors") @ matrix(raw, "output_vectors").T,
        atol=1e-5,
    )
    model = to_gensim(turned)
    start = model.wv["w20"].copy()
    np.testing.assert_array_equal(start, model_of_artifact(turned).vectors(["w20"])[0])
    loss = []
    for _ in range(2):
        model.train(sentences(3, first=10), total_examples=300, epochs=1, compute_loss=True)
        loss.append(model.get_latest_training_loss())
    assert not np.array_equal(model.wv["w20"], start)
    # A training from nothing starts at ln 2 for each of the four predictions of a pair.
    fresh = train_model(after, root, "word2vec", **{**NATIVE, "alpha": 1e-9, "min_alpha": 1e-9})
    other = to_gensim(fresh)
    other.train(sentences(3, first=10), total_examples=300, epochs=1, compute_loss=True)
    assert loss[0] < 0.9 * other.get_latest_training_loss()


def test_glove_keeps_its_products_and_the_sums_of_its_accumulators(
    root: Path, anchor: Artifact, after: Artifact
) -> None:
    raw = train_model(after, root, "glove", vector_size=SIZE, epochs=2)
    turned = aligned(root, raw, anchor)
    ours, theirs = (
        [matrix(found, "parameters", kind=kind) for kind in ("word", "context")]
        for found in (raw, turned)
    )
    np.testing.assert_allclose(theirs[0] @ theirs[1].T, ours[0] @ ours[1].T, atol=1e-5)
    np.testing.assert_allclose(theirs[0] + theirs[1], matrix(turned, "vectors"), atol=1e-6)
    squares = matrix(turned, "parameters", "squared_gradient")
    expected = matrix(raw, "parameters", "squared_gradient").sum(axis=1)
    np.testing.assert_allclose(squares.sum(axis=1), expected, rtol=1e-5)


def test_too_few_shared_words_are_no_rotation(root: Path, anchor: Artifact) -> None:
    other = publish_tokens(root, sentences(4, first=55))
    raw = train_model(other, root, "word2vec", **NATIVE)
    with pytest.raises(InputError, match=r"words shares 5 words .* 8, as many as a vector has"):
        aligned(root, raw, anchor)


def test_an_anchor_that_is_gone_or_made_again_says_what_to_do(root: Path, anchor: Artifact) -> None:
    store = Store(root)
    with pytest.raises(ArtifactMissing, match=r"is gone: .*rebase words --space"):
        open_anchor(store, "words", Anchor("0" * 12, "x"))
    with pytest.raises(ArtifactMissing, match="made again with other vectors"):
        open_anchor(store, "words", Anchor(anchor.ref.version, "x"))
    found = open_anchor(store, "words", Anchor(anchor.ref.version, anchor.manifest.digest))
    assert found.ref == anchor.ref


# -- warm and compass ------------------------------------------------------------------------------


@pytest.mark.parametrize("trainer", ["word2vec", "fasttext"])
def test_a_warm_training_starts_from_the_anchor_with_its_own_words(
    trainer: str, root: Path, before: Artifact, after: Artifact
) -> None:
    base = train_model(before, root, trainer, **NATIVE)
    still = {"alpha": 1e-9, "min_alpha": 1e-9}
    found = anchored(root, after, base, "warm", trainer=trainer, **still)
    tokens = Embeddings.from_artifact(found).tokens
    assert "w0" not in tokens  # gone from the text
    assert "w69" in tokens  # and new
    shared = [word for word in Embeddings.from_artifact(base).tokens if word in tokens]
    assert len(shared) == 50
    np.testing.assert_allclose(
        model_of_artifact(found).vectors(shared), model_of_artifact(base).vectors(shared), atol=1e-6
    )
    assert space_of(found) == space_of(base)
    assert found.manifest.report["space"]["mode"] == "warm"


def test_a_warm_glove_takes_the_parameters_of_the_anchors_words(
    root: Path, before: Artifact, after: Artifact
) -> None:
    settings = {"vector_size": SIZE, "epochs": 2}
    base = train_model(before, root, "glove", **settings)
    found = model_config("glove", eta=1e-9, space="warm", **settings)
    counts = publish_cooccurrences(after, root, **settings)
    identity = Identity(schemas.EMBEDDINGS, "warm-glove", {"model": {}})

    def write(staging: Staging) -> None:
        lessons = Lessons(after, counts, anchor=base)
        train("words", found, TrainingConfig(), lessons, context_of(staging, identity))

    warm = Store(root).open(publish(root, identity, write))
    words = ["w12", "w40"]
    np.testing.assert_allclose(
        model_of_artifact(warm).vectors(words), model_of_artifact(base).vectors(words), atol=1e-5
    )
    assert "w0" not in Embeddings.from_artifact(warm).tokens


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize(
    ("trainer", "architecture"),
    [("word2vec", "skipgram"), ("word2vec", "cbow"), ("fasttext", "skipgram")],
)
def test_a_compass_keeps_the_output_rows_of_the_anchor_and_frees_those_of_new_words(
    trainer: str,
    architecture: str,
    n_workers: int,
    root: Path,
    before: Artifact,
    after: Artifact,
) -> None:
    settings = {"trainer": trainer, "architecture": architecture}
    base = train_model(before, root, **NATIVE, **settings)
    found = anchored(root, after, base, "compass", n_workers, **settings)
    known, new = Embeddings.from_artifact(base), Embeddings.from_artifact(found)
    held, outputs = matrix(base, "output_vectors"), matrix(found, "output_vectors")
    for word, row in new.ids.items():
        if word in known.ids:
            np.testing.assert_array_equal(outputs[row], held[known.ids[word]])
        else:
            assert np.abs(outputs[row]).max() > 0
    assert {f"w{number}" for number in range(60, 70)} <= set(new.tokens)
    # The vectors themselves are learned: not those of the anchor, and near them.
    shared = [word for word in new.tokens if word in known.ids]
    ours, theirs = (model_of_artifact(one).vectors(shared) for one in (found, base))
    assert np.abs(ours - theirs).max() > 0.01
    losses = found.read("losses").column("mean_loss").to_pylist()
    assert losses[-1] < losses[0]


def test_a_compass_brings_vectors_into_the_anchors_coordinates(
    root: Path, before: Artifact, after: Artifact
) -> None:
    settings = {**NATIVE, "epochs": 20, "alpha": 0.1}
    base = train_model(before, root, "word2vec", **settings)
    kept = anchored(root, after, base, "compass", epochs=20, alpha=0.1)
    own = train_model(after, root, "word2vec", **settings)
    known = Embeddings.from_artifact(base)
    shared = [word for word in Embeddings.from_artifact(own).tokens if word in known.ids]

    def nearness(found: Artifact) -> float:
        ours, theirs = (model_of_artifact(one).vectors(shared) for one in (found, base))
        lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
        return float(np.mean(np.sum(ours * theirs, axis=1) / lengths))

    assert nearness(kept) > 0.8
    assert nearness(kept) > nearness(own) + 0.1


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ("{trainer: glove, space: compass}", "none can be kept as a compass"),
        ("{trainer: word2vec, space: warm, engine: gensim}", "space: warm needs engine: native"),
        ("{trainer: word2vec, space: compass, hs: true}", "hierarchical softmax has not"),
        ("{trainer: word2vec, space: warm, init_from: b}", "both say where the training starts"),
        ("{trainer: import, path: x, space: aligned}", "space"),
        ("{trainer: sif, model: b, space: warm}", "space"),
        ("{trainer: sif, model: c, space: aligned}", "vectors of c are imported"),
    ],
)
def test_a_space_that_cannot_be_kept_is_refused(model: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "nightly.yaml"
    others = "  b: {trainer: word2vec}\n  c: {trainer: import, path: x.txt}\n"
    assert "models:\n" in MINIMAL
    text = MINIMAL.replace("models:\n", f"models:\n{others}  a: {model}\n", 1)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=problem):
        load_config(path)


# -- which anchor holds ----------------------------------------------------------------------------


def identity_of(training: str) -> Any:
    return lambda anchor: Identity("embeddings", "m", {"training": training, "anchor": str(anchor)})


def test_the_version_that_founds_a_space_is_not_due_again() -> None:
    cold = identity_of("one")(None)
    founder = Anchor(cold.version, "digest")
    assert kept_to([founder], identity_of("one")) == cold
    assert kept_to([founder], identity_of("two")) == identity_of("two")(founder)
    assert kept_to([], identity_of("two")) == identity_of("two")(None)


def test_a_later_anchor_holds_and_keeps_its_own_identity() -> None:
    founder = Anchor(identity_of("one")(None).version, "digest")
    seventh = identity_of("seven")(founder)
    later = Anchor(seventh.version, "other")
    assert kept_to([founder, later], identity_of("seven")) == seventh
    assert kept_to([founder, later], identity_of("eight")) == identity_of("eight")(later)
    assert kept_to([founder, later], identity_of("one")) == identity_of("one")(None)


def test_what_fits_an_anchor() -> None:
    word2vec = Fit("word2vec", 8, None, True)
    tree = replace(word2vec, has_outputs=False)
    fasttext = Fit("fasttext", 8, (3, 6, 5000), True)
    assert Fit.of_text(fasttext.as_text()) == fasttext
    assert Fit.of_text("nonsense") is None
    assert Fit.of_text('{"trainer": 1}') is None
    assert word2vec.suits(fasttext, "aligned")
    assert not word2vec.suits(replace(word2vec, vector_size=9), "aligned")
    assert not word2vec.suits(fasttext, "warm")
    assert not fasttext.suits(replace(fasttext, ngrams=(3, 5, 5000)), "warm")
    assert tree.suits(word2vec, "warm")
    assert not tree.suits(word2vec, "compass")


SMALL, LARGE = Fit("word2vec", 8, None, True), Fit("word2vec", 16, None, True)


def version(number: int) -> VersionRef:
    return VersionRef(number, f"{number:012x}", f"digest {number}")


def event(kind: str, number: int, mode: str | None, fit: Fit | None = SMALL) -> Event:
    """An event that makes version ``number`` champion, in a config with that ``space``."""
    evidence: dict[str, Any] = {}
    if mode is not None:
        evidence["space"] = {"mode": mode, "fit": "" if fit is None else fit.as_text()}
    now = datetime(2026, 12, 1, tzinfo=UTC)
    return Event(
        *(1, now, EventKind(kind), "words", None, version(number), 1, "test", "test"),
        evidence=evidence,
    )


def anchors_after(*events: Event) -> list[int]:
    found = standing_of(events).model("words").anchors
    return [anchor.version.number for anchor in found]


def test_the_first_champion_that_fits_founds_the_space_and_no_later_one_moves_it() -> None:
    promoted, forced = event("promoted", 1, "aligned"), event("forced", 2, "aligned")
    assert anchors_after(event("blocked", 3, "aligned")) == []
    assert anchors_after(promoted, forced, event("rolled_back", 1, "aligned")) == [1]
    assert anchors_after(forced, promoted) == [2]
    # Another size founds another one; the first stays, and holds again when its size is back.
    large = event("promoted", 4, "aligned", LARGE)
    assert anchors_after(promoted, large, event("promoted", 5, "aligned")) == [1, 4]
    # A version of before, whose fit nobody knows, founds nothing where there is an anchor.
    assert anchors_after(promoted, event("rolled_back", 6, "aligned", None)) == [1]
    assert anchors_after(promoted, event("retired", 1, None)) == []


def test_the_champion_of_the_time_without_a_space_founds_the_first_one() -> None:
    own, later = event("promoted", 1, "own"), event("promoted", 2, "own")
    assert anchors_after(own, later) == []
    assert anchors_after(own, later, event("promoted", 3, "aligned")) == [2]
    # So it does if it is from before this was recorded, but not if another size is made now.
    assert anchors_after(event("promoted", 1, None), event("promoted", 3, "warm")) == [1]
    assert anchors_after(own, event("promoted", 3, "aligned", LARGE)) == [3]
    # A while without a space moves no anchor.
    aligned = event("promoted", 3, "aligned")
    assert anchors_after(own, aligned, event("promoted", 4, "own"), aligned) == [1]


def test_an_order_moves_the_anchor_and_the_one_before_is_not_kept_for_it() -> None:
    order = event("rebased", 2, None)
    order = replace(order, evidence={"anchor": {"mode": "aligned", "fit": SMALL.as_text()}})
    found = standing_of([event("promoted", 1, "aligned"), order]).model("words")
    assert [anchor.version.number for anchor in found.anchors] == [1, 2]
    assert found.anchor_versions == (version(2),)
    assert found.reference is None
    assert found.roots(0) == (version(1), version(2))  # the champion, and the anchor


# -- what files and answers say --------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(anchor: Artifact) -> ExportedVectors:
    model = model_of_artifact(anchor)
    return ExportedVectors(
        tokens=model.table.tokens_of(np.arange(len(model.table))),
        counts=model.table.counts,
        matrix=model.table.vectors,
        tokenizer=model.tokenizer,
        source={"model": "words", "space": space_of(anchor)},
    )


@pytest.mark.parametrize("name", list(FORMATS))
def test_every_export_says_its_space(
    name: str, exported: ExportedVectors, anchor: Artifact, tmp_path: Path
) -> None:
    path = tmp_path / f"words{FORMATS[name].suffix}"
    write_vectors(exported, name, path)
    assert read_origin(path)["space"] == space_of(anchor)
    if name != "gensim":  # a pickle is not opened unasked
        assert open_model(path).space == space_of(anchor)


def test_no_companion_is_left_beside_vectors_that_it_is_not_of(
    exported: ExportedVectors, tmp_path: Path
) -> None:
    path = tmp_path / "words.txt"
    write_vectors(exported, "glove", path)
    other = replace(exported, source={"space": "0123456789ab"})
    write_vectors(other, "glove", path, replaces=True)
    assert read_origin(path)["space"] == "0123456789ab"
    companion_of(path).write_text("[1, 2]", encoding="utf-8")
    assert read_origin(path) == {}
    assert open_model(path).space is None


def test_a_model_tells_its_space_and_refuses_questions_about_another(anchor: Artifact) -> None:
    model = model_of_artifact(anchor)
    space = space_of(anchor)
    (about,) = answer(model, [], {"task": "about"})
    assert about == {"model": model.name, "space": space, "n_words": N_WORDS, "vector_size": SIZE}
    vector = model.vectors(["w3"]).tolist()
    near = answer(model, vector, {"task": "neighbors", "topn": 1, "space": space})
    assert near[0][0]["token"] == "w3"
    for given in ({"task": "neighbors", "space": "0123456789ab"}, {"space": "0123456789ab"}):
        with pytest.raises(QueryError, match="vectors of two spaces cannot be compared"):
            answer(model, vector if "task" in given else ["w3"], given)
        with pytest.raises(QueryError, match=r"item 0: .*two spaces"):
            answer(model, [{"items": ["w3"], "space": "0123456789ab"}], {})


# -- map-vectors -----------------------------------------------------------------------------------


@pytest.fixture
def turn() -> Turn:
    generator = np.random.default_rng(3)
    rotation, _ = np.linalg.qr(generator.normal(size=(SIZE, SIZE)))
    return Turn(rotation, "aaaaaaaaaaaa", "bbbbbbbbbbbb")


def rows_of(n: int) -> NDArray[np.float32]:
    return np.random.default_rng(5).normal(size=(n, SIZE)).astype(np.float32)


@pytest.mark.parametrize("kind", ["fixed", "list", "large"])
def test_a_column_of_vectors_is_turned_and_the_others_stay(
    kind: str, turn: Turn, tmp_path: Path
) -> None:
    rows = rows_of(25)
    element = pa.float64() if kind == "large" else pa.float32()
    types = {
        "fixed": pa.list_(element, SIZE),
        "list": pa.list_(element),
        "large": pa.large_list(element),
    }
    values: list[Any] = rows.tolist()
    if kind != "fixed":
        values[7] = None
    table = pa.table(
        {
            "id": [f"d{row}" for row in range(25)],
            "embedding": pa.array(values, types[kind]),
            "tags": [[row] for row in range(25)],
        }
    ).replace_schema_metadata({"theirs": "kept", "nightjar": json.dumps({"space": "a" * 12})})
    path, out = tmp_path / "kept.parquet", tmp_path / "out.parquet"
    pq.write_table(table, path, row_group_size=10)
    assert map_file(path, out, turn) == 25
    found = pq.read_table(out)
    assert found.schema.metadata[b"theirs"] == b"kept"
    assert found.drop_columns("embedding").equals(table.drop_columns("embedding"))
    assert found.schema.field("embedding").type == types[kind]
    assert pq.ParquetFile(out).num_row_groups == 3
    got = found.column("embedding").to_pylist()
    for row in range(25):
        if values[row] is None:
            assert got[row] is None
        else:
            np.testing.assert_allclose(got[row], rows[row] @ turn.rotation, atol=1e-6)
    assert read_origin(out) == {"space": "b" * 12, "mapped_from": "a" * 12}


def test_a_matrix_and_a_file_of_words_are_turned_and_say_their_space(
    turn: Turn, exported: ExportedVectors, tmp_path: Path
) -> None:
    rows = rows_of(9_000)
    np.save(tmp_path / "kept.npy", rows)
    assert map_file(tmp_path / "kept.npy", tmp_path / "out.npy", turn) == 9_000
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), rows @ turn.rotation, atol=1e-5)
    assert read_origin(tmp_path / "out.npy")["space"] == "b" * 12
    for name in ("glove", "numpy", "sqlite"):
        path = tmp_path / f"words{FORMATS[name].suffix}"
        write_vectors(replace(exported, source={"space": "a" * 12}), name, path)
        out = path.with_stem("turned")
        assert map_file(path, out, turn) == N_WORDS
        expected = exported.matrix @ turn.rotation
        np.testing.assert_allclose(
            open_model(out).vectors(["w3"])[0],
            expected[list(exported.tokens).index("w3")],
            atol=1e-5,
        )
        assert open_model(out).space == "b" * 12


def refusals() -> Iterator[Any]:
    yield pytest.param("other.parquet", "of the space cccccccccccc, and --from", id="space")
    yield pytest.param("wide.npy", "its vectors have 9 values, those of --from and --to", id="size")
    yield pytest.param("whole.npy", "expected floats, a vector a row", id="kind")
    yield pytest.param("two.parquet", "Name it with --column: a, b", id="columns")
    yield pytest.param("null.parquet", "cannot be read .*size=0", id="null")
    yield pytest.param("short.parquet", "row 1: its vectors have 3 values", id="short")
    yield pytest.param("gone.npy", "no such file", id="gone")


@pytest.mark.parametrize(("name", "problem"), list(refusals()))
def test_what_cannot_be_turned_is_refused_and_nothing_is_written(
    name: str, problem: str, turn: Turn, tmp_path: Path
) -> None:
    fixed = pa.list_(pa.float32(), SIZE)
    rows = rows_of(2).tolist()
    other = pa.table({"vector": pa.array(rows, fixed)})
    pq.write_table(
        other.replace_schema_metadata({"nightjar": json.dumps({"space": "c" * 12})}),
        tmp_path / "other.parquet",
    )
    np.save(tmp_path / "wide.npy", np.zeros((2, 9), np.float32))
    np.save(tmp_path / "whole.npy", np.zeros((2, SIZE), np.int64))
    pq.write_table(pa.table({"a": rows, "b": rows}), tmp_path / "two.parquet")
    null = pa.table({"vector": pa.array([rows[0], None], fixed)})
    pq.write_table(null, tmp_path / "null.parquet")
    short = pa.table({"vector": [rows[0], [1.0, 2.0, 3.0]]})
    pq.write_table(short, tmp_path / "short.parquet")
    there = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=problem):
        map_file(tmp_path / name, tmp_path / "out.parquet", turn)
    assert sorted(tmp_path.iterdir()) == there


def test_a_result_that_is_there_is_not_replaced(turn: Turn, tmp_path: Path) -> None:
    np.save(tmp_path / "kept.npy", rows_of(2))
    (tmp_path / "out.npy").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="is there already"):
        map_file(tmp_path / "kept.npy", tmp_path / "out.npy", turn)
    assert (tmp_path / "out.npy").read_text(encoding="utf-8") == "mine"


def test_within_a_space_a_file_is_copied_as_it_is(tmp_path: Path) -> None:
    rows = rows_of(20)
    np.save(tmp_path / "kept.npy", rows)
    same = Turn(np.eye(SIZE), "a" * 12, "a" * 12)
    map_file(tmp_path / "kept.npy", tmp_path / "out.npy", same)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), rows)
    assert read_origin(tmp_path / "out.npy") == {"space": "a" * 12}


def test_maps_compose(root: Path, before: Artifact, after: Artifact) -> None:
    a, b, c = (
        Embeddings.from_artifact(
            train_model(tokens, root, "word2vec", **{**NATIVE, "epochs": 20, "seed": seed})
        )
        for tokens, seed in ((before, 11), (before, 12), (after, 13))
    )

    def between(left: Embeddings, right: Embeddings) -> Any:
        shared = [word for word in left.tokens if word in right.ids]
        pairs = Pairs(
            left.matrix,
            right.matrix,
            np.array([left.ids[word] for word in shared]),
            np.array([right.ids[word] for word in shared]),
        )
        counts = left.counts[[left.ids[word] for word in shared]]
        return align(pairs, counts, as_used=True)

    # There and back again is the identity, exactly; by way of another version nearly so.
    there, back = between(a, b).rotation, between(b, a).rotation
    np.testing.assert_allclose(between(a, a).rotation, np.eye(SIZE), atol=1e-12)
    assert np.abs(there @ back - np.eye(SIZE)).max() < 0.1
    np.testing.assert_allclose(there @ there.T, np.eye(SIZE), atol=1e-12)
    onward, direct = between(b, c), between(a, c)
    rows = a.matrix.astype(np.float64)
    one, other = rows @ there @ onward.rotation, rows @ direct.rotation
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    distance = float(np.mean(1 - np.sum(one * other, axis=1) / lengths))
    assert distance < onward.residual + between(a, b).residual
