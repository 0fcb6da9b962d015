"""What was fetched and is not needed any more: when it goes, whatever the disk says of times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from remote_support import Site, request_of, running_site

from nightjar.progress import SILENT
from nightjar.sources.remote import (
    FetchedFile,
    fetch_files,
    fetching,
    known_files,
    surplus_downloads,
)
from nightjar.sources.remote.fetched_index import locked
from nightjar.store import delete

DAY = 86_400


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site() as found:
        yield found


@pytest.fixture
def fetched(tmp_path: Path) -> Path:
    return tmp_path / "fetched"


def fetch(fetched: Path, url: str) -> FetchedFile:
    (file,) = fetch_files(request_of(url), fetched, SILENT)
    return file


def tidied(fetched: Path, now: float, *, is_quiet: bool = True) -> list[Path]:
    """What is surplus; it is deleted."""
    return [path for path in surplus_downloads(fetched, now, is_quiet=is_quiet) if delete(path)]


def test_what_no_index_names_any_more_goes(fetched: Path, site: Site) -> None:
    url = site.serve("/a.txt", b"one")
    before = fetch(fetched, url)
    assert tidied(fetched, 0) == []
    site.serve("/a.txt", b"two")
    after = fetch(fetched, url)
    assert tidied(fetched, 0) == [before.path.parent]
    assert not before.path.exists()
    assert after.path.read_bytes() == b"two"
    assert tidied(fetched, 0) == []


def test_while_others_are_at_work_it_stays(fetched: Path, site: Site) -> None:
    url = site.serve("/a.txt", b"one")
    before = fetch(fetched, url)
    site.serve("/a.txt", b"two")
    fetch(fetched, url)
    assert tidied(fetched, 0, is_quiet=False) == []
    (index,) = (fetched / "index").glob("[!.]*.json")
    with locked(index):
        assert tidied(fetched, 0) == []
    assert tidied(fetched, 0) == [before.path.parent]


def test_a_download_that_has_not_grown_for_a_week_is_removed(fetched: Path) -> None:
    given_up, goes_on = (fetched / "partial" / name for name in ("given-up", "goes-on"))
    given_up.parent.mkdir(parents=True)
    given_up.write_bytes(b"half")
    goes_on.write_bytes(b"half")
    assert tidied(fetched, 0) == []
    goes_on.write_bytes(b"half and more")
    assert tidied(fetched, 4 * DAY) == []
    assert tidied(fetched, 8 * DAY) == [given_up]
    assert goes_on.read_bytes() == b"half and more"


def test_an_index_that_was_not_used_for_90_days_is_removed_and_later_what_it_names(
    fetched: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, other = site.serve("/a.txt", b"a"), site.serve("/b.txt", b"b")
    used, unused = fetch(fetched, url), fetch(fetched, other)
    assert tidied(fetched, 0) == []
    monkeypatch.setattr(fetching, "today", lambda: "2999-01-01")
    assert fetch(fetched, url) == used
    assert tidied(fetched, 80 * DAY) == []
    (index,) = tidied(fetched, 91 * DAY)
    assert index.parent == fetched / "index"
    assert tidied(fetched, 91 * DAY) == [unused.path.parent]
    assert known_files(request_of(url), fetched) == [used]


def test_there_may_be_nothing(fetched: Path) -> None:
    assert tidied(fetched, 0) == []
    assert not fetched.exists()
