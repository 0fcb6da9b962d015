"""Checkpoints: whole or not there, and a training that goes on ends like one that was not cut."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from stage_support import context_of
from training_support import (
    SMALL,
    RecordedProgress,
    file_hashes,
    model_config,
    publish_tokens,
    two_topics,
)

from nightjar.config.models import TrainingConfig
from nightjar.errors import TrainingError
from nightjar.progress import Progress
from nightjar.stages.train import (
    Lessons,
    Parents,
    checkpoint_path,
    epochs,
    spans,
    train,
    trained_identity,
    unwanted_checkpoints,
    window_learner,
)
from nightjar.stages.train.checkpoints import Checkpoints, Position
from nightjar.store import Artifact, Identity, Staging, Store, publish, remove_abandoned

TRAINING = TrainingConfig(seed=3, checkpoint_minutes=1e-9)
NATIVE: dict[str, dict[str, Any]] = {
    "skipgram": {"engine": "native", "epochs": 3},
    "cbow": {"engine": "native", "epochs": 3, "architecture": "cbow"},
    "hs": {"engine": "native", "epochs": 3, "hs": True, "negative": 0},
    "fasttext": {"engine": "native", "epochs": 3, "hs": True, "negative": 12},
}

Arrays = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return publish_tokens(tmp_path_factory.mktemp("tokens"), two_topics(), row_group=50)


@pytest.fixture(autouse=True)
def short_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "SPAN_TOKENS", 100)


class Interrupted(Exception):
    pass


class InterruptedAt(RecordedProgress):
    """Raises when the training has advanced so many times."""

    def __init__(self, n_advances: int) -> None:
        super().__init__()
        self.n_left = n_advances

    def advance(self, amount: float, note: str = "") -> None:
        super().advance(amount, note)
        self.n_left -= self.label == "train"
        if self.n_left < 0:
            raise Interrupted


def trained(
    tokens: Artifact,
    root: Path,
    name: str,
    progress: Progress | None = None,
    n_workers: int = 1,
    training: TrainingConfig = TRAINING,
) -> Artifact:
    model = model_config(name if name in SMALL else "word2vec", **NATIVE[name])
    identity = trained_identity(name, model, training, Parents(tokens.ref.version))

    def write(staging: Staging) -> None:
        context = context_of(
            staging, identity, progress=progress or RecordedProgress(), n_workers=n_workers
        )
        train(name, model, training, Lessons(tokens), context)

    return Store(root).open(publish(root, identity, write))


def checkpoints_in(root: Path) -> list[Path]:
    return sorted(root.rglob(".checkpoint-*"))


# -- going on ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize("n_advances", [25, 45, 60])
def test_an_interrupted_training_ends_bit_by_bit_like_one_that_was_not(
    tokens: Artifact, tmp_path: Path, name: str, n_advances: int
) -> None:
    whole = trained(tokens, tmp_path / "whole", name)
    with pytest.raises(Interrupted):
        trained(tokens, tmp_path / "cut", name, InterruptedAt(n_advances))
    assert len(checkpoints_in(tmp_path / "cut")) == 1
    progress = RecordedProgress()
    resumed = trained(tokens, tmp_path / "cut", name, progress)
    assert file_hashes(resumed) == file_hashes(whole)
    assert "resumed" in resumed.manifest.report
    assert "resumed" not in whole.manifest.report
    assert progress.done["train"] == progress.totals["train"]
    assert any(note.startswith("resumed in epoch") for note in progress.notes)


def test_a_training_interrupted_again_and_again_still_ends_the_same(
    tokens: Artifact, tmp_path: Path
) -> None:
    whole = trained(tokens, tmp_path / "whole", "skipgram")
    n_cuts = 0
    while True:
        try:
            resumed = trained(tokens, tmp_path / "cut", "skipgram", InterruptedAt(30))
        except Interrupted:
            n_cuts += 1
        else:
            break
    assert n_cuts >= 2
    assert file_hashes(resumed) == file_hashes(whole)


def test_several_workers_go_on_where_all_of_them_stopped(tokens: Artifact, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        trained(tokens, tmp_path, "skipgram", InterruptedAt(30), n_workers=3)
    progress = RecordedProgress()
    resumed = trained(tokens, tmp_path, "skipgram", progress, n_workers=3)
    assert progress.done["train"] == progress.totals["train"]
    assert len(resumed.read("losses")) == 3


def test_without_checkpoint_minutes_nothing_is_saved(tokens: Artifact, tmp_path: Path) -> None:
    training = TrainingConfig(seed=3, checkpoint_minutes=None)
    with pytest.raises(Interrupted):
        trained(tokens, tmp_path, "skipgram", InterruptedAt(30), training=training)
    assert checkpoints_in(tmp_path) == []


_TRAIN_FOR_EVER = """
import sys
from pathlib import Path
from test_training_checkpoints import *
NATIVE["skipgram"]["epochs"] = 100_000
root = Path(sys.argv[1])
spans.SPAN_TOKENS = 100
tokens = Store(root).open(Store(root).versions("tokens")[0])
trained(tokens, root, "skipgram")
"""


def finished_at(root: Path) -> list[int]:
    """When each whole checkpoint was written; one that is being written has another name."""
    return [path.stat().st_mtime_ns for path in checkpoints_in(root)]


def test_killing_a_training_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    publish_tokens(tmp_path, two_topics(), row_group=50)
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    command = [sys.executable, "-c", _TRAIN_FOR_EVER, str(tmp_path)]
    for _ in range(3):
        process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        )
        before = finished_at(tmp_path)
        while finished_at(tmp_path) == before:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        (whole,) = checkpoints_in(tmp_path)
        with np.load(whole, allow_pickle=False) as saved:
            assert all(np.isfinite(saved[name]).all() for name in saved.files)
    remove_abandoned(tmp_path)
    left = {path.name for path in (tmp_path / "embeddings").iterdir()}
    assert left == {whole.name}


# -- the file ------------------------------------------------------------------------------

POSITION = Position(2, 7, 700, 1400, 1 / 3, 0.1, (0.7, 0.6), (1.5,))


def some_arrays(value: float = 1.0) -> Arrays:
    return {"vectors": np.full((5, 16), value, np.float32), "biases": np.zeros(5, np.float32)}


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Checkpoints(tmp_path / "state.npz", 1.0, scratch)


def test_a_checkpoint_gives_back_arrays_and_position(checkpoints: Checkpoints) -> None:
    checkpoints.save(some_arrays(2.5), POSITION)
    arrays = some_arrays(0.0)
    assert checkpoints.restore(arrays) == POSITION
    np.testing.assert_array_equal(arrays["vectors"], some_arrays(2.5)["vectors"])


def test_a_later_checkpoint_takes_the_place_of_an_earlier(checkpoints: Checkpoints) -> None:
    checkpoints.save(some_arrays(1.0), Position())
    checkpoints.save(some_arrays(2.0), POSITION)
    assert checkpoints.restore(some_arrays()) == POSITION
    assert sorted(path.name for path in checkpoints.path.parent.iterdir()) == [
        "scratch",
        "state.npz",
    ]
    assert list(checkpoints.scratch_dir.iterdir()) == []


def test_there_is_nothing_to_restore_at_first(checkpoints: Checkpoints) -> None:
    assert checkpoints.restore(some_arrays()) is None


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _other_shape(path: Path) -> None:
    arrays: dict[str, Any] = {**some_arrays(), "vectors": np.zeros((4, 16), np.float32)}
    Checkpoints(path, 1.0, path.parent / "scratch").save(arrays, POSITION)


def _no_position(path: Path) -> None:
    arrays: dict[str, Any] = some_arrays()
    np.savez(path, **arrays)


@pytest.mark.parametrize("damage", [_cut, _flip, _empty, _other_shape, _no_position])
def test_a_damaged_checkpoint_is_left_out_and_nothing_of_it_taken_over(
    checkpoints: Checkpoints, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints.save(some_arrays(9.0), POSITION)
    damage(checkpoints.path)
    arrays = some_arrays()
    with caplog.at_level(logging.WARNING):
        assert checkpoints.restore(arrays) is None
    assert "training starts anew" in caplog.text
    np.testing.assert_array_equal(arrays["vectors"], some_arrays()["vectors"])


def test_a_disk_that_refuses_a_checkpoint_does_not_end_the_training(
    tokens: Artifact, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "store"
    model = model_config("word2vec", **NATIVE["cbow"])
    identity = Identity("embeddings", "cbow", {"any": 1})
    path = checkpoint_path(root / identity.stage, identity.version)
    (path / "in the way").mkdir(parents=True)

    def write(staging: Staging) -> None:
        train("cbow", model, TRAINING, Lessons(tokens), context_of(staging, identity))

    with caplog.at_level(logging.WARNING):
        artifact = Store(root).open(publish(root, identity, write))
    assert "no checkpoint written, training goes on" in caplog.text
    assert len(artifact.read("losses")) == 3
    assert [entry.name for entry in path.parent.iterdir() if entry.name[0] == "."] == [path.name]


def test_checkpoints_of_versions_that_nobody_plans_are_unwanted(tmp_path: Path) -> None:
    given_up, goes_on = (
        Checkpoints(checkpoint_path(tmp_path, letter * 12), 1.0, tmp_path) for letter in "ab"
    )
    (tmp_path / "eeeeeeeeeeee").mkdir()
    for checkpoints in (given_up, goes_on):
        checkpoints.save(some_arrays(), POSITION)
    assert unwanted_checkpoints(tmp_path, {"b" * 12, "c" * 12}) == [given_up.path]


# -- what stops a training -------------------------------------------------------------------


def test_a_loss_far_above_that_of_the_untrained_model_is_divergence(
    tokens: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epochs, "WORST_LOSS", 0.1)
    with pytest.raises(TrainingError) as caught:
        trained(tokens, tmp_path, "skipgram")
    message = str(caught.value)
    assert "diverged in epoch 1" in message
    assert "untrained model 2.773" in message
    assert "lower alpha" in message
    assert Store(tmp_path).versions("embeddings") == []


def test_an_error_in_a_worker_ends_the_training_with_that_error(
    tokens: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = window_learner.WindowLearner.learn

    def fail_later(self: Any, span: spans.Span, epoch: int, worker: int) -> epochs.SpanResult:
        if span.number == 5:
            raise MemoryError("no room")
        return learn(self, span, epoch, worker)

    monkeypatch.setattr(window_learner.WindowLearner, "learn", fail_later)
    with pytest.raises(MemoryError, match="no room"):
        trained(tokens, tmp_path, "skipgram", n_workers=2)
    assert Store(tmp_path).versions("embeddings") == []
