"""Files on web servers: what is fetched, what is not, and servers that break off or lie."""

from __future__ import annotations

import logging
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath

import pytest
from remote_support import Fault, Site, request_of, running_site

from nightjar.config import StorageConfig
from nightjar.errors import SourceError, SourceUnavailable, StoreNotWritable
from nightjar.files import urls
from nightjar.progress import SILENT
from nightjar.sources.remote import (
    FetchedFile,
    fetch_files,
    fetching,
    http,
    known_files,
    object_storage,
)
from nightjar.sources.remote.object_storage import ObjectVersion, RemoteObject, Rest

LONG = os.urandom(1 << 16) * 48  # 3 MiB
OLD = "Mon, 02 Jan 2023 03:04:05 GMT"


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site() as found:
        yield found


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_storage, "DELAYS", (0.01, 0.01, 0.01, 0.01))


def fetch(tmp_path: Path, *patterns: str, **settings: object) -> list[FetchedFile]:
    return fetch_files(request_of(*patterns, **settings), tmp_path / "fetched", SILENT)


def content(tmp_path: Path, *patterns: str, **settings: object) -> list[bytes]:
    return [file.path.read_bytes() for file in fetch(tmp_path, *patterns, **settings)]


def left_over(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "fetched" / "partial").iterdir()]


def test_an_object_is_fetched_once_and_asked_for_afterwards(tmp_path: Path, site: Site) -> None:
    url = site.serve("/data/a%20b.txt", b"one")
    (file,) = fetch(tmp_path, url)
    assert file.path.read_bytes() == b"one"
    assert file.path.name == "a b.txt"
    assert str(file.place) == "127.0.0.1/data/a b.txt"
    assert fetch(tmp_path, url) == [file]
    assert site.statuses("/data/a%20b.txt") == [200, 304]
    assert site.sent("/data/a%20b.txt") == [3, 0]
    assert left_over(tmp_path) == []


def test_a_changed_object_is_fetched_again_and_the_old_one_stays(
    tmp_path: Path, site: Site
) -> None:
    url = site.serve("/a.txt", b"one")
    (before,) = fetch(tmp_path, url)
    site.serve("/a.txt", b"two")
    (after,) = fetch(tmp_path, url)
    assert (before.path.read_bytes(), after.path.read_bytes()) == (b"one", b"two")


def test_an_object_that_a_server_sends_in_spite_of_the_condition_is_not_read(
    tmp_path: Path, site: Site
) -> None:
    url = site.serve("/a.txt", LONG, ignores_conditions=True)
    (before,) = fetch(tmp_path, url)
    os.utime(before.path, (1, 1))
    (after,) = fetch(tmp_path, url)
    assert after.path.stat().st_mtime == 1


def test_the_time_of_the_last_change_counts_where_there_is_no_etag(
    tmp_path: Path, site: Site
) -> None:
    url = site.serve("/a.txt", b"one", etag=None, modified=OLD)
    fetch(tmp_path, url)
    fetch(tmp_path, url)
    assert site.statuses("/a.txt") == [200, 304]


def test_without_any_mark_an_object_is_fetched_each_time_and_its_content_decides(
    tmp_path: Path, site: Site
) -> None:
    url = site.serve("/a.txt", b"one", etag=None)
    before = fetch(tmp_path, url)
    assert fetch(tmp_path, url) == before
    site.serve("/a.txt", b"two", etag=None)
    assert content(tmp_path, url) == [b"two"]
    assert site.sent("/a.txt") == [3, 3, 3]


def test_a_time_within_the_second_of_the_answer_is_no_mark(tmp_path: Path, site: Site) -> None:
    now = "Fri, 31 Dec 2100 00:00:00 GMT"  # later than the server's clock
    url = site.serve("/a.txt", b"one", etag=None, modified=now)
    fetch(tmp_path, url)
    site.serve("/a.txt", b"two", etag=None, modified=now)
    assert content(tmp_path, url) == [b"two"]


@pytest.mark.parametrize("mark", ['"\xe9\xff"', '"\xc3\xa9"', '"a\tb"', "\x85"])
def test_a_mark_that_no_request_can_carry_is_none(tmp_path: Path, site: Site, mark: str) -> None:
    url = site.serve("/a.txt", b"one", etag=mark, modified=OLD)
    fetch(tmp_path, url)
    fetch(tmp_path, url)
    assert site.statuses("/a.txt") == [200, 304]  # by the time of the last change
    url = site.serve("/b.txt", b"one", etag=mark, modified=mark)
    before = fetch(tmp_path, url)
    assert fetch(tmp_path, url) == before
    assert site.statuses("/b.txt") == [200, 200]


def test_such_a_mark_in_what_an_earlier_version_wrote_is_not_sent(
    site: Site,
) -> None:
    known = ObjectVersion({"etag": '"\xe9\xff"'}, 3)
    found = RemoteObject(site.serve("/a.txt", b"one"), PurePosixPath("a.txt"))
    storage = http.HttpStorage(StorageConfig())
    with closing(storage), storage.open(found, known, Rest(known, 1)) as body:
        assert body is not None
        assert (body.start, b"".join(body.pieces)) == (0, b"one")
    assert {"if-none-match", "if-range", "range"}.isdisjoint(site.seen[0].headers)


def test_a_connection_that_breaks_goes_on_where_it_ended(
    tmp_path: Path, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    third = len(LONG) // 3
    url = site.serve("/a.bin", LONG, faults=[Fault(drop_after=third), Fault(drop_after=third)])
    with caplog.at_level(logging.INFO):
        assert content(tmp_path, url) == [LONG]
    assert sum(site.sent("/a.bin")) == len(LONG)
    assert [seen.headers.get("range") for seen in site.seen] == [
        None,
        f"bytes={third}-",
        f"bytes={2 * third}-",
    ]
    assert "trying again in" in caplog.text


class Listener:
    """What progress is told, and by which thread."""

    def __init__(self) -> None:
        self.totals: list[float | None] = []
        self.amount = 0.0
        self.threads: set[int] = set()

    def start(self, label: str, total: float | None, unit: str) -> None:
        self.totals.append(total)

    def advance(self, amount: float, note: str = "") -> None:
        self.amount += amount
        self.threads.add(threading.get_ident())


def test_progress_is_told_by_the_thread_that_asked(tmp_path: Path, site: Site) -> None:
    urls = [site.serve(f"/{number}.bin", LONG) for number in range(3)]
    listener = Listener()
    fetch_files(request_of(*urls), tmp_path / "fetched", listener)
    assert listener.totals == [None, 3 * len(LONG)]  # known once all answers have begun
    assert listener.amount >= 3 * len(LONG)  # what had come by then is told again
    assert listener.threads == {threading.get_ident()}


def test_a_server_that_knows_no_ranges_sends_everything_again(tmp_path: Path, site: Site) -> None:
    url = site.serve("/a.bin", LONG, ignores_ranges=True, faults=[Fault(drop_after=1000)])
    assert content(tmp_path, url) == [LONG]
    assert site.sent("/a.bin") == [1000, len(LONG)]


def test_what_breaks_off_without_a_mark_starts_over(tmp_path: Path, site: Site) -> None:
    url = site.serve("/a.bin", LONG, etag=None, faults=[Fault(drop_after=1000)])
    assert content(tmp_path, url) == [LONG]
    assert site.seen[1].headers.get("range") is None


def test_an_object_that_changes_while_it_is_fetched_starts_over(tmp_path: Path, site: Site) -> None:
    other = os.urandom(100_000)
    url = site.serve("/a.bin", LONG, faults=[Fault(drop_after=50_000, then=other)])
    assert content(tmp_path, url) == [other]
    assert site.statuses("/a.bin") == [200, 200]


def test_a_part_of_another_version_is_refused(tmp_path: Path, site: Site) -> None:
    """A server that honours Range but not If-Range, and says so in the ETag alone."""
    other = os.urandom(len(LONG))
    fault = Fault(drop_after=50_000, then=other)
    url = site.serve("/a.bin", LONG, faults=[fault], ignores_if_range=True)
    assert content(tmp_path, url) == [other]
    assert site.statuses("/a.bin") == [200, 206, 200]


def test_a_busy_server_is_asked_again_and_a_broken_one_in_the_end_given_up(
    tmp_path: Path, site: Site
) -> None:
    url = site.serve("/a.txt", b"one", faults=[Fault(500), Fault(503)])
    assert content(tmp_path, url) == [b"one"]
    url = site.serve("/b.txt", b"one", faults=[Fault(500)] * 9)
    message = r"sources\.in\.path: http://.*/b\.txt: the server answers 500.*tried 5 times"
    with pytest.raises(SourceUnavailable, match=message):
        fetch(tmp_path, url)
    assert len(site.statuses("/b.txt")) == 5


def test_a_try_that_brought_more_counts_as_none(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_storage, "PROGRESS_BYTES", 100_000)
    drops = [Fault(drop_after=300_000) for _ in range(9)]
    assert content(tmp_path, site.serve("/a.bin", LONG, faults=drops)) == [LONG]
    drops = [Fault(drop_after=10_000) for _ in range(9)]
    with pytest.raises(SourceUnavailable, match=r"tried 5 times"):
        fetch(tmp_path, site.serve("/b.bin", LONG, faults=drops))


def test_as_long_as_a_server_asks_for_is_waited(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_storage, "MAX_WAIT_SECONDS", 0.3)
    fault = Fault(429, headers={"Retry-After": "3600"})
    url = site.serve("/a.txt", b"one", faults=[fault])
    waited: list[float] = []
    wait = threading.Event.wait

    def recorded(event: threading.Event, timeout: float | None = None) -> bool:
        waited.append(timeout or 0)
        return wait(event, timeout)

    monkeypatch.setattr(threading.Event, "wait", recorded)
    assert content(tmp_path, url) == [b"one"]
    assert 0.3 in waited


def test_a_length_that_lies_is_never_published(tmp_path: Path, site: Site) -> None:
    url = site.serve("/a.txt", b"short", extra_length=10)
    with pytest.raises(SourceUnavailable, match=r"a\.txt: .*tried 5 times"):
        fetch(tmp_path, url)
    assert list((tmp_path / "fetched" / "objects").iterdir()) == []
    url = site.serve("/b.txt", b"longer than it says", extra_length=-12)
    assert content(tmp_path, url) == [b"longer "]  # HTTP ends there


def test_a_body_without_length_ends_with_the_connection(tmp_path: Path, site: Site) -> None:
    url = site.serve("/a.txt", LONG, has_length=False)
    assert content(tmp_path, url) == [LONG]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, r"there is no such object \(404\); check the URL"),
        (403, r"the server refuses access \(403\); .*storage\.headers_env"),
        (418, r"the server answers 418"),
    ],
)
def test_what_will_not_mend_is_said_at_once(
    tmp_path: Path, site: Site, status: int, message: str
) -> None:
    url = site.serve("/a.txt", b"one", faults=[Fault(status)])
    with pytest.raises(SourceError, match=rf"sources\.in\.path: http.*a\.txt: {message}"):
        fetch(tmp_path, url)
    assert len(site.seen) == 1


def test_redirects_are_followed_but_not_in_circles(tmp_path: Path, site: Site) -> None:
    site.serve("/there.txt", b"one")
    url = site.serve("/here.txt", location="/there.txt")
    (file,) = fetch(tmp_path, url)
    assert (file.path.name, file.path.read_bytes()) == ("here.txt", b"one")
    url = site.serve("/round", location="/round")
    with pytest.raises(SourceError, match="redirected more than 10 times"):
        fetch(tmp_path, url)
    url = site.serve("/odd", location="file:///etc/passwd")
    with pytest.raises(SourceError, match=r"redirected to file://.*not followed"):
        fetch(tmp_path, url)


@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://127.0.0.1:9/a.txt",
        "http://localhost/a.txt",
        "http://[::1]:9/a.txt",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/a.txt",
        "https://example.invalid/a.txt",
        "//example.invalid/a.txt",
        "http://2130706433/a.txt",
        "http://me:s3cret@127.0.0.1.example.invalid/a.txt",
    ],
)
def test_a_redirect_to_another_server_is_refused(
    tmp_path: Path, site: Site, elsewhere: str
) -> None:
    url = site.serve("/a.txt", location=elsewhere)
    with pytest.raises(SourceError, match=r"is redirected to .*redirect_hosts") as refused:
        fetch(tmp_path, url)
    assert "s3cret" not in str(refused.value)
    url = site.serve("/first.txt", location="/a.txt")  # nor by a way round
    with pytest.raises(SourceError, match=r"is redirected to .*redirect_hosts"):
        fetch(tmp_path, url)


@pytest.mark.parametrize("location", ["http://xn--/", "http://a..b/", f"http://{'a' * 64}.org/"])
@pytest.mark.parametrize("allowed", [[], ["a..b", f"{'a' * 64}.org"]])
def test_a_redirect_to_what_can_be_no_host_is_refused(
    tmp_path: Path, site: Site, location: str, allowed: list[str]
) -> None:
    url = site.serve("/a.txt", location=location)
    with pytest.raises(SourceError, match=r"a\.txt: is .*redirected to"):
        fetch(tmp_path, url, redirect_hosts=allowed)


@pytest.mark.parametrize("host", ["xn--", "a..b", "1.2.3.999", f"{'a' * 64}.org", "-é.org"])
def test_a_url_whose_host_can_be_none_is_refused_in_the_config_and_when_it_is_asked(
    tmp_path: Path, host: str
) -> None:
    url = f"http://{host}/a.txt"
    with pytest.raises(ValueError, match="this is no URL"):
        urls.check_url(url)
    with pytest.raises(SourceError, match="is no URL"):
        fetch(tmp_path, url)


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "[::1]", "a.org.", "x_y.org", "bücher.de", "xn--fiqs8s.org"]
)
def test_hosts_of_every_kind_are_taken(host: str) -> None:
    urls.check_url(f"http://{host}:80/a.txt")


def test_a_server_is_allowed_by_its_name_or_by_name_and_port(tmp_path: Path, site: Site) -> None:
    with running_site() as other:
        url = site.serve("/a.txt", location=other.serve("/b.txt", b"one"))
        port = other.url.rpartition(":")[2]
        for hosts in (["127.0.0.1"], [f"127.0.0.1:{port}"]):
            assert content(tmp_path, url, redirect_hosts=hosts) == [b"one"]
        with pytest.raises(SourceError, match=rf"redirected to 127\.0\.0\.1:{port}, another"):
            fetch(tmp_path / "again", url, redirect_hosts=["127.0.0.1:1", "localhost"])


def test_headers_from_the_environment_go_to_that_server_alone(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_TOKEN", "Bearer s3cret")
    with running_site() as other:
        target = other.serve("/b.txt", b"one")
        url = site.serve("/a.txt", location=target)
        headers = {"X-Token": "DATA_TOKEN"}
        allowed = ["127.0.0.1"]
        assert content(tmp_path, url, headers_env=headers, redirect_hosts=allowed) == [b"one"]
        assert site.seen[0].headers["x-token"] == "Bearer s3cret"
        assert "x-token" not in other.seen[0].headers
    monkeypatch.delenv("DATA_TOKEN")
    with pytest.raises(SourceError, match=r"variable DATA_TOKEN, which storage\.headers_env names"):
        fetch(tmp_path, url, headers_env=headers)


def test_netrc_is_used_where_it_knows_the_server(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password s3cret\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    fetch(tmp_path, site.serve("/a.txt", b"one"))
    assert site.seen[0].headers["authorization"].startswith("Basic ")


def test_settings_of_the_environment_that_cannot_be_used_are_named(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = site.serve("/a.txt", b"one")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me\npassword is s3cret\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    with pytest.raises(
        SourceError, match=r"netrc: cannot be read \(something near line 3.*\)"
    ) as refused:
        fetch(tmp_path, url)
    assert "s3cret" not in str(refused.value)
    monkeypatch.delenv("NETRC")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(SourceError, match=r"certificates \(SSL_CERT_FILE\)"):
        fetch(tmp_path, url)


def test_a_larger_object_than_allowed_is_refused_before_and_while_it_comes(
    tmp_path: Path, site: Site
) -> None:
    url = site.serve("/a.bin", LONG)
    with pytest.raises(SourceError, match=r"more than 1,000 bytes.*max_fetch_bytes"):
        fetch(tmp_path, url, max_bytes=1000)
    assert left_over(tmp_path) == []
    url = site.serve("/b.bin", LONG, has_length=False)
    with pytest.raises(SourceError, match=r"more than 100,000 bytes"):
        fetch(tmp_path, url, max_bytes=100_000)
    assert list((tmp_path / "fetched" / "objects").iterdir()) == []


def test_what_broke_off_for_good_goes_on_the_next_night(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_storage, "DELAYS", ())
    url = site.serve("/a.bin", LONG, faults=[Fault(drop_after=2_000_000)])
    with pytest.raises(SourceUnavailable):
        fetch(tmp_path, url)
    assert content(tmp_path, url) == [LONG]
    assert site.sent("/a.bin") == [2_000_000, len(LONG) - 2_000_000]
    assert left_over(tmp_path) == []


def test_what_came_before_a_failure_is_not_fetched_again(tmp_path: Path, site: Site) -> None:
    urls = [site.serve(f"/{number}.txt", b"%d" % number) for number in range(20)]
    with pytest.raises(SourceError, match="404"):
        fetch(tmp_path, *urls, f"{site.url}/missing.txt")
    assert content(tmp_path, *urls) == [b"%d" % number for number in range(20)]
    n_again = sum(site.statuses(f"/{number}.txt").count(200) == 2 for number in range(20))
    assert n_again < fetching.N_AT_ONCE  # what was under way


def test_a_glob_is_matched_with_the_links_of_the_folders_page(tmp_path: Path, site: Site) -> None:
    page = (
        b'<a href="../">up</a> <A class=x HREF="b%20c.txt">b</A> <a href="a.txt">a</a> '
        b"<a href=\"a.txt\">again</a> <a href='/data/d.txt?C=N'>sort</a> <a href='e.csv'>e</a> "
        b'<a href="https://elsewhere.example/data/f.txt">f</a> <a href=".hidden.txt">h</a>'
    )
    site.serve("/data/", page)
    site.serve("/data/a.txt", b"a")
    site.serve("/data/b%20c.txt", b"b")
    files = fetch(tmp_path, f"{site.url}/data/*.txt")
    assert sorted(file.path.name for file in files) == ["a.txt", "b c.txt"]
    with pytest.raises(SourceError, match=r"links to no such file"):
        fetch(tmp_path, f"{site.url}/data/*.xml")
    with pytest.raises(SourceError, match=r"cannot be listed.*404.*name the URLs one by one"):
        fetch(tmp_path, f"{site.url}/nowhere/*.txt")
    with pytest.raises(SourceError, match=r"only the last part of a path may be a glob"):
        fetch(tmp_path, f"{site.url}/*/a.txt")


def test_urls_that_differ_in_their_query_alone_are_different_files(
    tmp_path: Path, site: Site
) -> None:
    urls = [site.serve(f"/export?page={number}", b"%d" % number) for number in range(2)]
    files = fetch(tmp_path, *urls)
    assert [str(file.place) for file in files] == [
        f"127.0.0.1/?page={number}/export" for number in range(2)
    ]
    assert [file.path.read_bytes() for file in files] == [b"0", b"1"]


def test_compression_on_the_way_is_refused_but_for_files_that_are_compressed(
    tmp_path: Path, site: Site
) -> None:
    encoded = {"Content-Encoding": "gzip"}
    assert content(tmp_path, site.serve("/a.txt.gz", b"gz", headers=encoded)) == [b"gz"]
    with pytest.raises(SourceError, match="compresses what it sends"):
        fetch(tmp_path, site.serve("/a.txt", b"gz", headers=encoded))


def test_a_file_that_is_gone_here_is_fetched_again(tmp_path: Path, site: Site) -> None:
    url = site.serve("/a.txt", b"one")
    (file,) = fetch(tmp_path, url)
    file.path.unlink()
    with pytest.raises(SourceError, match="not fetched; run 'nightjar plan'"):
        known_files(request_of(url), tmp_path / "fetched")
    assert content(tmp_path, url) == [b"one"]
    assert known_files(request_of(url), tmp_path / "fetched") == [file]


def test_a_damaged_index_costs_a_download_and_nothing_else(tmp_path: Path, site: Site) -> None:
    url = site.serve("/a.txt", b"one")
    fetch(tmp_path, url)
    (index,) = (tmp_path / "fetched" / "index").glob("in-*.json")
    index.write_bytes(index.read_bytes()[:40])
    assert content(tmp_path, url) == [b"one"]
    assert site.statuses("/a.txt") == [200, 200]


def test_more_urls_do_not_fetch_the_known_ones_again(tmp_path: Path, site: Site) -> None:
    first, second = site.serve("/a.txt", b"one"), site.serve("/b.txt", b"two")
    fetch(tmp_path, first)
    assert content(tmp_path, first, second) == [b"one", b"two"]
    assert site.sent("/a.txt") == [3, 0]


def test_two_at_once_fetch_once(
    tmp_path: Path, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    waits = threading.Event()
    url = site.serve("/a.bin", LONG, faults=[Fault(until=waits)])
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.extend(content(tmp_path, url))) for _ in range(2)
    ]
    with caplog.at_level(logging.INFO):
        for thread in threads:
            thread.start()
        while "another run fetches the same URLs: waiting" not in caplog.text:
            assert all(thread.is_alive() for thread in threads)
        waits.set()
        for thread in threads:
            thread.join(60)
    assert found == [LONG] * 2
    assert site.statuses("/a.bin") == [200, 304]


KILLED = """
import sys
from pathlib import Path
from remote_support import request_of
from nightjar.sources.remote import fetch_files
from nightjar.progress import SILENT
fetch_files(request_of(sys.argv[1]), Path(sys.argv[2]), SILENT)
"""


def test_a_killed_download_publishes_nothing_and_goes_on_later(tmp_path: Path, site: Site) -> None:
    half = len(LONG) // 2
    out = threading.Event()
    url = site.serve("/a.bin", LONG, faults=[Fault(drop_after=half, hangs=out)])
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, url, str(tmp_path / "fetched")],
        env={**os.environ, "PYTHONPATH": f"{Path(__file__).parents[1]}:{Path(__file__).parent}"},
    )
    try:
        assert out.wait(30)
        partial = tmp_path / "fetched" / "partial"
        while not any(path.stat().st_size == half for path in partial.iterdir()):
            assert child.poll() is None
    finally:
        child.kill()
        child.wait(60)
    assert list((tmp_path / "fetched" / "objects").iterdir()) == []
    assert content(tmp_path, url) == [LONG]
    assert site.sent("/a.bin") == [half, len(LONG) - half]


def test_a_full_disk_is_said_and_nothing_is_half_published(tmp_path: Path, site: Site) -> None:
    url = site.serve("/a.bin", LONG)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(StoreNotWritable, match=r"free some space or raise the limit"):
            fetch(tmp_path, url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list((tmp_path / "fetched" / "objects").iterdir()) == []
    assert content(tmp_path, url) == [LONG]
