"""A registered model behind ``mlflow models serve``, asked over HTTP."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from registry_support import VECTORS, World

pytestmark = pytest.mark.integration

START_SECONDS = 120


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World.create(tmp_path_factory.mktemp("served"), tmp_path_factory)
    world.crown(world.request())
    return world


@pytest.fixture(scope="module")
def url(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with two worker processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("log") / "server.log"
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        f"models:/{world.name}@champion",
    ]
    command += ["--env-manager", "local", "-h", "127.0.0.1", "-p", str(port), "-w", "2"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "MLFLOW_TRACKING_URI": world.uri, "PATH": path},
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_it_answers(address, server, log)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def wait_until_it_answers(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{address}/ping", timeout=5):
                return
        except OSError:
            assert server.poll() is None, log.read_text()
            time.sleep(0.2)
    raise AssertionError(log.read_text())


def ask(url: str, body: Any) -> tuple[int, Any]:
    """Status and decoded answer."""
    return post(url, json.dumps(body).encode())


def post(url: str, content: bytes) -> tuple[int, Any]:
    """Status and decoded answer of a request with any body."""
    request = urllib.request.Request(
        f"{url}/invocations", data=content, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        return error.code, json.loads(text) if text.startswith("{") else {"message": text}


def answer(url: str, items: Any, **params: Any) -> Any:
    status, found = ask(url, {"inputs": items, "params": params})
    assert status == 200, found
    return found["predictions"]


def test_every_task_answers(url: str) -> None:
    words = ["king", "queen"]
    np.testing.assert_allclose(answer(url, words), VECTORS[1:3], rtol=1e-6)
    near = answer(url, words, task="neighbors", topn=2)
    assert [len(found) for found in near] == [2, 2]
    assert near[0][0]["token"] == "queen"
    together = answer(url, ["king", "man"], task="neighbors", negative=["queen"], topn=1)
    assert [len(found) for found in together] == [1]
    assert answer(url, ["man", "king", "queen"], task="analogy", topn=1)[0][0]["token"] == "the"
    similar = answer(url, ["king", "king", "king", "man"], task="similarity")
    assert similar[0] == pytest.approx(1.0, abs=1e-6)
    assert answer(url, ["the", "king", "queen"], task="odd_one_out")[0]["word"] == "the"
    assert answer(url, ["king", "king", "the"], task="cluster", n_clusters=2) == [0, 0, 1]
    ranked = answer(url, ["The man.", "A King!", "?"], task="rank", query="king")
    assert [found["item"] for found in ranked] == [1, 0, 2]
    encoded = answer(url, ["The king, the KING."], task="encode")
    np.testing.assert_allclose(encoded[0], VECTORS[[0, 1]].mean(axis=0), rtol=1e-6)


def test_whole_questions_are_answered_one_by_one(url: str) -> None:
    questions = [
        {"task": "neighbors", "items": ["king"], "topn": 1},
        {"task": "neighbors", "items": [VECTORS[3].tolist()], "topn": 1},
        {"items": ["queen"]},
        {"task": "rank", "items": ["The man.", "A King!"], "query": "king"},
    ]
    body = {"dataframe_split": {"columns": ["question"], "data": [[one] for one in questions]}}
    status, found = ask(url, body)
    assert status == 200, found
    answers = found["predictions"]
    assert answers[0][0][0]["token"] == "queen"
    assert answers[1][0][0]["token"] == "man"
    np.testing.assert_allclose(answers[2], VECTORS[2:3], rtol=1e-6)
    assert [entry["item"] for entry in answers[3]] == [1, 0]


def test_a_mistyped_parameter_of_a_whole_question_is_a_400(url: str) -> None:
    questions = [[{"items": ["king"]}], [{"task": "neighbors", "items": ["king"], "topnn": 5}]]
    status, found = ask(url, {"dataframe_split": {"columns": ["q"], "data": questions}})
    assert status == 400
    assert "item 1: there is no parameter 'topnn'; did you mean 'topn'?" in found["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": [["king", "queen"]]},
        {"dataframe_split": {"columns": ["a", "b"], "data": [["king", "queen"]]}},
        {"dataframe_records": [{"a": "king", "b": "queen"}]},
        {"instances": [{"a": "king", "b": "queen"}]},
    ],
)
def test_a_second_column_is_a_400(url: str, body: dict[str, Any]) -> None:
    status, found = ask(url, body)
    assert status == 400
    assert "there are 2 columns and one is expected" in found["message"]


def test_vectors_that_arrive_as_columns_are_a_400_that_says_how_to_send_them(url: str) -> None:
    body = {"inputs": VECTORS[:2].tolist(), "params": {"task": "neighbors"}}
    status, found = ask(url, body)
    assert status == 400
    assert "send 'dataframe_split' with one column" in found["message"]


def test_a_vector_is_asked_about_as_a_named_column(url: str) -> None:
    body = {
        "dataframe_split": {"columns": ["item"], "data": [[VECTORS[3].tolist()]]},
        "params": {"task": "neighbors", "topn": 1},
    }
    status, found = ask(url, body)
    assert status == 200, found
    assert found["predictions"][0][0]["token"] == "man"


@pytest.mark.parametrize(
    ("items", "params", "message"),
    [
        (["kng"], {}, "did you mean king"),
        (["king"], {"task": "magic"}, "task is 'magic', choose vector, neighbors"),
        (["king"], {"task": "neighbors", "topn": 0}, "topn is 0, choose 1 to"),
        (["king"], {"task": "neighbors", "topn": "many"}, "topn"),
        (["king"], {"task": "neighbors", "topnn": 5}, "no parameter 'topnn'; did you mean 'topn'?"),
        (["king"], {"task": "neighbors", "threshold": 7.0}, "threshold is 7.0"),
        (["king", "man"], {"task": "analogy"}, "three words to a question"),
        (["king"], {"task": "similarity"}, "two words to a pair"),
        (["king"], {"task": "rank"}, "needs the parameter query"),
        (["king"], {"task": "cluster", "n_clusters": 2}, "n_clusters is 2: choose 1 to 1"),
        ([5], {}, "item 0 is 5"),
        ([None], {}, "item 0 is None"),
        (["..."], {"task": "encode"}, "no word that night-w2v knows"),
    ],
)
def test_what_is_wrong_is_a_400_that_says_so(
    url: str, items: Any, params: dict[str, Any], message: str
) -> None:
    status, found = ask(url, {"inputs": items, "params": params})
    assert status == 400, found
    assert message in found["message"]


def test_hundreds_of_requests_at_once_all_get_their_own_answer(url: str) -> None:
    words = ["the", "king", "queen", "man"]

    def one(number: int) -> bool:
        place = number % len(words)
        found = answer(url, [words[place]])
        return bool(np.allclose(found, VECTORS[[place]]))

    with ThreadPoolExecutor(64) as pool:
        assert all(pool.map(one, range(600)))


def test_long_texts_and_many_texts(url: str) -> None:
    long_text = "king " * 2_000_000
    status, found = ask(url, {"inputs": [long_text], "params": {"task": "encode"}})
    assert status == 200
    np.testing.assert_allclose(found["predictions"], VECTORS[[1]], rtol=1e-3)
    many = answer(url, ["the king"] * 100_000, task="encode")
    assert len(many) == 100_000


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "more than 16 deep"),
        (b'{"inputs": [' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"]}", "more than 16 deep"),
        (b'{"inputs": ["king"], "params": {"task": ' + b"[" * 990 + b"]" * 990 + b"}}", "deep"),
        (b'{"inputs": [' + b"9" * 10_000 + b"]}", ""),
        (b'{"inputs": ["' + b"x" * 10_000_000 + b'"]}', "no vector for 1 word: xxx"),
        (b'{"inputs": ["' + b"x" * 20_000_000 + b'"]}', "20,000,000 characters"),
        (json.dumps({"inputs": ["king"] * 100_001}).encode(), "100,001 items are given"),
        (b'{"inputs": ["\xff"]}', ""),
        (b'{"inputs": ["\\ud800"]}', ""),
        (b"[]", ""),
        (b"null", ""),
        (b"1", ""),
        (b'"inputs"', ""),
        (b'{"inputs": null}', ""),
        (b'{"inputs": ["king"], "params": 5}', ""),
        (b'{"inputs": ["king"], "params": ["task"]}', ""),
        (b'{"dataframe_split": []}', ""),
        (b'{"dataframe_split": {"columns": ["a"], "data": 5}}', ""),
        (b'{"dataframe_records": "a"}', ""),
        (b"", ""),
        (b" " * (64 << 20) + b" ", "are allowed: ask for fewer"),
    ],
)
def test_a_hostile_request_is_a_400(url: str, body: bytes, message: str) -> None:
    status, found = post(url, body)
    assert status == 400, found
    assert message in found["message"]
    assert answer(url, ["king"], task="neighbors", topn=1)[0][0]["token"] == "queen"


def test_a_model_that_is_cut_while_it_is_served_is_an_error_and_the_server_lives_on(
    url: str, world: World
) -> None:
    models = world.artifacts_dir / "mlflow" / "artifacts" / "models"
    (path,) = models.rglob("vectors.npy")
    content = path.read_bytes()
    os.truncate(path, len(content) // 2)
    try:
        for _ in range(6):
            status, found = ask(url, {"inputs": ["king"], "params": {"task": "neighbors"}})
            assert status == 500
            assert "vectors.npy has" in found["message"]
            assert "fetch it again" in found["message"]
    finally:
        with path.open("r+b") as file:
            file.write(content)
    assert answer(url, ["king"], task="neighbors", topn=1)[0][0]["token"] == "queen"
