"""Nights on remote sources: only what is new is read, the bytes are those of local files."""

from __future__ import annotations

import gzip
import json
import logging
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import SMALL_CONFIG
from corpus_support import config_of, identity_of, run_ingest
from fork_support import COMMANDS
from nights_support import HandMade
from pydantic import ValidationError
from remote_support import Fault, Site, running_site
from service_support import environment_of_a_user
from stage_support import context_of

from nightjar.config import load_config
from nightjar.errors import ConfigError, SourceChanged, SourceError, SourceUnavailable
from nightjar.files import urls
from nightjar.pipeline import make_plan
from nightjar.sources import file_groups
from nightjar.sources.remote import object_storage
from nightjar.sources.selection import Fetching
from nightjar.stages.ingest import documents_identity, ingest
from nightjar.store import Store, publish, schemas

SECRET = "Bearer s3cretOfTheTest"


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site() as found:
        yield found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_storage, "DELAYS", (0.01,))
    monkeypatch.setattr(file_groups, "LARGE_BYTES", 1)  # a file is a shard


def rows(number: int) -> bytes:
    texts = [f"text {row} of {number}" for row in range(3)]
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


def serve(site: Site, numbers: range, **how: Any) -> None:
    for number in numbers:
        site.serve(f"/data/{number}.jsonl", rows(number), **how)
    names = [path for path in site.objects if path.endswith(".jsonl")]
    site.serve("/data/", "".join(f'<a href="{name}">x</a>' for name in names).encode())


def source(url: str, **settings: Any) -> dict[str, Any]:
    return {"in": {"type": "jsonl", "path": url, **settings}}


def shards(base: Path) -> set[str]:
    return {ref.version for ref in Store(base / "artifacts").versions(schemas.DOCUMENT_SHARDS)}


def test_a_new_object_alone_is_fetched_and_read(tmp_path: Path, site: Site) -> None:
    serve(site, range(7))
    sources = source(f"{site.url}/data/*.jsonl", storage={"headers_env": {}})
    run_ingest(tmp_path, sources)
    before = shards(tmp_path)
    assert len(before) == 7
    serve(site, range(7, 8))
    site.seen.clear()
    grown = run_ingest(tmp_path, sources)
    assert len(shards(tmp_path) - before) == 1
    assert shards(tmp_path) > before
    sent = {seen.path for seen in site.seen if seen.n_sent and seen.path != "/data/"}
    assert sent == {"/data/7.jsonl"}

    local = tmp_path / "local"
    (local / "data").mkdir(parents=True)
    for number in range(8):
        (local / "data" / f"{number}.jsonl").write_bytes(rows(number))
    scratch = run_ingest(local, source("data/*.jsonl"))
    assert scratch.artifact.ref.version == grown.artifact.ref.version
    assert scratch.artifact.manifest.files == grown.artifact.manifest.files


def test_objects_that_are_gone_take_their_documents_with_them(tmp_path: Path, site: Site) -> None:
    serve(site, range(3))
    sources = source(f"{site.url}/data/*.jsonl")
    assert len(run_ingest(tmp_path, sources).texts) == 9
    del site.objects["/data/1.jsonl"]
    serve(site, range(0))
    assert len(run_ingest(tmp_path, sources).texts) == 6


def test_the_stage_reads_what_was_planned_and_asks_no_server(tmp_path: Path, site: Site) -> None:
    url = site.serve("/a.jsonl", rows(1))
    config = config_of(source(url))
    planned = identity_of(config, tmp_path)
    site.serve("/a.jsonl", rows(2))
    assert identity_of(config, tmp_path).version != planned.version  # another plan, meanwhile
    site.objects.clear()
    site.seen.clear()
    root = tmp_path / "artifacts"
    ref = publish(root, planned, lambda to: ingest(config, context_of(to, planned, tmp_path)))
    texts = Store(root).open(ref).read("documents").column("text").to_pylist()
    assert texts == ["text 0 of 1", "text 1 of 1", "text 2 of 1"]
    assert site.seen == []


def test_offline_the_files_are_those_of_the_last_plan(tmp_path: Path, site: Site) -> None:
    config = config_of(source(site.serve("/a.jsonl", rows(1))))
    offline = Fetching(tmp_path / "artifacts" / "fetched", is_offline=True)
    with pytest.raises(SourceError, match="not fetched; run 'nightjar plan'"):
        documents_identity(config, tmp_path, offline)
    planned = identity_of(config, tmp_path)
    site.objects.clear()
    assert documents_identity(config, tmp_path, offline) == planned


def test_a_fetched_file_that_was_damaged_is_fetched_anew(tmp_path: Path, site: Site) -> None:
    config = config_of(source(site.serve("/a.jsonl", rows(1))))
    planned = identity_of(config, tmp_path)
    (path,) = (tmp_path / "artifacts" / "fetched" / "objects").glob("*/*")
    path.write_bytes(rows(2))
    with pytest.raises(SourceChanged, match=r"sources\.in: .*damaged.*run again"):
        identity_of(config, tmp_path)
    assert identity_of(config, tmp_path) == planned


def test_where_a_file_comes_from_is_no_part_of_its_version(tmp_path: Path, site: Site) -> None:
    url = site.serve("/a.jsonl", rows(1))
    elsewhere = site.serve("/other/a.jsonl", rows(1))
    version = identity_of(config_of(source(url)), tmp_path).version
    moved = config_of(source(elsewhere, storage={"headers_env": {}}), max_fetch_bytes=1000)
    assert identity_of(moved, tmp_path).version == version
    (tmp_path / "a.jsonl").write_bytes(rows(1))
    assert identity_of(config_of(source("a.jsonl")), tmp_path).version == version
    by_url = config_of(source((tmp_path / "a.jsonl").as_uri()))
    assert identity_of(by_url, tmp_path).version == version


def test_namesakes_are_told_apart_by_their_folders(tmp_path: Path, site: Site) -> None:
    path = [site.serve(f"/{day}/a.jsonl", rows(day)) for day in (1, 2)]
    identity = identity_of(config_of({"in": {"type": "jsonl", "path": path}}), tmp_path)
    assert [entry.name for entry in identity.inputs] == ["in/1/a.jsonl", "in/2/a.jsonl"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": "https://me:s3cret@host/a"}, r"path: a user or password in a URL.*headers_env"),
        ({"path": "s3://KEY:s3cret@lake/a"}, r"path: a user or password.*AWS_ACCESS_KEY_ID"),
        ({"path": "s3://KEY:s3c/ret@lake/a"}, r"path: a user or password"),
        ({"path": "az://me:s3cret@account.example/a"}, r"path: a user or password"),
        ({"path": "https://host/a?token=s3cret"}, r"path: the query parameter 'token' looks like"),
        ({"path": "https://host/a?X-Amz-Signature=s3cret"}, "'X-Amz-Signature' looks like"),
        ({"path": "https://host:s3cret/a"}, "path: this is no URL"),
        ({"path": "ftp://host/a"}, r"path: ftp:// is not supported; there are file://, s3://"),
        ({"path": "file://host/a"}, "three slashes"),
        ({"path": ["s3://lake/a", "b.txt"]}, "holds local and s3 files; make a source of each"),
        ({"path": "b.txt", "storage": {"region": "x"}}, "storage: is for URLs"),
        ({"path": "https://h/a", "storage": {"region": "x"}}, r"storage\.region: is not for http"),
        ({"path": "s3://lake/a", "storage": {"secret": "s3cret"}}, "secret is a credential.*AWS_"),
        ({"path": "s3://lake/a", "storage": {"key": "s3cret"}}, "key is a credential"),
        (
            {"path": "s3://lake/a", "storage": {"endpoint_url": "http://me:s3cret@host"}},
            "a user or password in a URL",
        ),
        (
            {"path": "https://h/a", "storage": {"headers_env": {"Authorization": "Bearer s3cret"}}},
            "Authorization: is the name of an environment variable",
        ),
    ],
)
def test_the_config_refuses_secrets_and_what_is_no_url(
    small_config: Path, settings: Mapping[str, Any], message: str
) -> None:
    document = {
        **SMALL_CONFIG,
        "corpora": {"text": {"kind": "text", "sources": {"in": {"type": "text", **settings}}}},
    }
    small_config.write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as refused:
        load_config(small_config)
    assert "corpora.text.sources.in" in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_an_override_that_is_refused_is_told_without_its_password(small_config: Path) -> None:
    with pytest.raises(ConfigError, match=r"user or password.*path=https://host/a") as refused:
        load_config(small_config, ["corpora.text.sources.news.path=https://me:s3cret@host/a"])
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (
            "at https://me:s3c'ret@host:80/a?sig=s3cret&b=1: refused",
            "at https://host:80/a?... refused",
        ),
        ("'http://h/a?x' and s3://k:s@lake/b", "'http://h/a?...' and s3://lake/b"),
        ("a@b.c asks: what?", "a@b.c asks: what?"),
    ],
)
def test_messages_of_libraries_lose_what_may_be_secret(text: str, redacted: str) -> None:
    assert urls.redacted(text) == redacted


def test_plain_urls_are_accepted() -> None:
    for path in (
        "https://host:8080/a/b.txt?format=text&page=2&author=x&design=y",
        "s3://lake/**/part-[0-9]*.jsonl.gz",
        "abfss://container@account.dfs.core.windows.net/a.txt",
        "gs://lake/a#b.txt",
    ):
        config_of(source(path))
    with pytest.raises(ValidationError):
        config_of(source("https:///a.txt"))


def test_planning_shows_trouble_of_a_server_as_worth_another_try(
    small_config: Path, site: Site
) -> None:
    url = site.serve("/a.jsonl", rows(1), faults=[Fault(500)] * 9)
    loaded = load_config(small_config, [f"corpora.text.sources.in={{type: jsonl, path: '{url}'}}"])
    with pytest.raises(SourceUnavailable, match=r"corpora\.text\.sources\.in\.path: .*answers 500"):
        make_plan(loaded)


@pytest.mark.integration
def test_a_night_by_the_command_line_fetches_once_and_tells_no_secret(
    tmp_path: Path, site: Site
) -> None:
    project = HandMade(tmp_path / "project")
    text = (project.directory / "text.txt").read_bytes()
    url = site.serve("/text.txt", text, etag=None)
    remote = f"{{type: text, path: '{url}', storage: {{headers_env: {{Authorization: NEWS}}}}}}"
    settings = ["--config", str(project.path), "--set", f"corpora.text.sources.s={remote}"]

    planned = nightjar("plan", *settings, "--json")
    assert json.loads(planned.stdout)["steps"][0]["reason"] == "never published"
    assert "fetch: started" in planned.stderr
    ran = nightjar("run", *settings, "--json")
    assert json.loads(ran.stdout)["status"] == "completed"
    assert len(site.seen) == 2  # without a mark: once for each command
    assert {seen.headers["authorization"] for seen in site.seen} == {SECRET}
    assert project.due() == []  # with the same bytes in a local file

    told = [done.stdout + done.stderr for done in (planned, ran)]
    assert not [text for text in told if "s3cret" in text]
    files = [path for path in project.directory.rglob("*") if path.is_file()]
    assert len(files) > 30
    assert not [path for path in files if b"s3cret" in path.read_bytes()]


def nightjar(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = COMMANDS.run(["--verbose", *arguments], environment_of_a_user(NEWS=SECRET))
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_a_log_line_says_how_much_came(
    tmp_path: Path, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    serve(site, range(3))
    with caplog.at_level(logging.INFO):
        identity_of(config_of(source(f"{site.url}/data/*.jsonl")), tmp_path)
    assert "in: 3 of 3 objects fetched, 0 gone since the last time" in caplog.text


def test_a_compressed_object_without_a_suffix_is_read(tmp_path: Path, site: Site) -> None:
    site.serve("/part-0001", gzip.compress(rows(1)))
    result = run_ingest(tmp_path, source(f"{site.url}/part-0001"))
    assert len(result.texts) == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl.gz", b'{"text": "plain"}', "is named .gz but holds something else"),
        ("part-0001", gzip.compress(rows(1))[:-9], "the gzip data ends early"),
        ("a.jsonl", b'{"body": "x"}', "there is no text_field 'text'"),
    ],
)
def test_an_object_that_cannot_be_read_is_named_by_its_url(
    tmp_path: Path, site: Site, name: str, content: bytes, message: str
) -> None:
    site.serve(f"/{name}", content)
    with pytest.raises(SourceError) as caught:
        run_ingest(tmp_path, source(f"{site.url}/{name}"))
    assert str(caught.value).startswith(f"sources.in: {site.url}/{name}: ")
    assert message in str(caught.value)
    assert "fetched" not in str(caught.value)
