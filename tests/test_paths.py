"""Paths, globs and files of installed packages, as the config writes them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from nightjar.errors import InputError
from nightjar.files.paths import expand, resolve_pattern


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_relative_paths_start_at_the_base_directory(tmp_path: Path) -> None:
    file = write(tmp_path / "data" / "a.txt")
    assert expand("data/a.txt", tmp_path) == [file]
    assert expand("./data/../data/a.txt", tmp_path / ".") == [tmp_path / "data/../data/a.txt"]


def test_absolute_paths_ignore_the_base_directory(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt")
    assert expand(str(file), tmp_path / "elsewhere") == [file]
    assert expand(str(tmp_path / "*.txt"), tmp_path / "elsewhere") == [file]


def test_a_glob_gives_its_files_sorted_and_no_directories(tmp_path: Path) -> None:
    files = [write(tmp_path / name) for name in ("b.txt", "a.txt", "c.txt")]
    (tmp_path / "d.txt").mkdir()
    write(tmp_path / "e.csv")
    assert expand("*.txt", tmp_path) == sorted(files)
    assert expand("[ab].txt", tmp_path) == sorted(files)[:2]
    assert expand("?.csv", tmp_path) == [tmp_path / "e.csv"]


def test_two_stars_match_any_number_of_directories_once(tmp_path: Path) -> None:
    top, deep = write(tmp_path / "a.txt"), write(tmp_path / "x" / "y" / "b.txt")
    assert expand("**/*.txt", tmp_path) == [top, deep]
    assert expand("**/**/*.txt", tmp_path) == [top, deep]


def test_hidden_files_match_only_when_spelt_out(tmp_path: Path) -> None:
    hidden = write(tmp_path / ".a.txt")
    assert expand("*.txt", tmp_path) == []
    assert expand(".*.txt", tmp_path) == [hidden]


def test_an_existing_file_is_taken_literally_though_its_name_is_a_glob(tmp_path: Path) -> None:
    literal = write(tmp_path / "report [1].txt")
    write(tmp_path / "report 1.txt")
    assert expand("report [1].txt", tmp_path) == [literal]


def test_glob_characters_of_the_base_directory_match_only_themselves(tmp_path: Path) -> None:
    file = write(tmp_path / "run[1]" / "a.txt")
    write(tmp_path / "run1" / "a.txt")
    assert expand("*.txt", tmp_path / "run[1]") == [file]


@pytest.mark.parametrize(
    "pattern", ["absent.txt", "*.absent", "", ".", "/", "sub", "a\0b", "[", "*\0"]
)
def test_what_matches_no_file_gives_nothing(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "sub").mkdir()
    assert expand(pattern, tmp_path) == []


def test_a_dangling_link_is_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "link.txt").symlink_to(tmp_path / "gone")
    assert expand("link.txt", tmp_path) == expand("*.txt", tmp_path) == []


@pytest.mark.parametrize("pattern", ["x" * 300, "x" * 300 + "*/a", "d/" * 3000])
def test_a_path_that_the_system_refuses_to_look_up_is_an_input_error(
    tmp_path: Path, pattern: str
) -> None:
    with pytest.raises(InputError, match=r"cannot be looked up .*check the path"):
        expand(pattern, tmp_path)


def test_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home[1]"
    file = write(home / "data" / "a.txt")
    monkeypatch.setenv("HOME", str(home))
    assert resolve_pattern("~/data/a.txt", tmp_path) == file
    assert expand("~/data/*.txt", tmp_path) == [file]
    with pytest.raises(InputError, match="no home directory ~no-such-user"):
        expand("~no-such-user/a.txt", tmp_path)


def test_a_tilde_inside_a_relative_path_is_a_name(tmp_path: Path) -> None:
    file = write(tmp_path / "~" / "a.txt")
    assert expand("./~/a.txt", tmp_path) == [file]


def test_a_file_of_an_installed_package_is_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "shipping" / "__init__.py", "raise RuntimeError('imported')")
    file = write(tmp_path / "shipping" / "data" / "a.txt")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert expand("package:shipping/data/a.txt", tmp_path / "base") == [file]
    assert expand("package:shipping/**/*.txt", tmp_path / "base") == [file]
    assert resolve_pattern("package:shipping/new.txt", tmp_path) == tmp_path / "shipping/new.txt"
    assert "shipping" not in sys.modules


def test_a_namespace_package_is_searched_in_each_of_its_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write(tmp_path / "one" / "spread" / "a.txt")
    second = write(tmp_path / "two" / "spread" / "b.txt")
    monkeypatch.syspath_prepend(str(tmp_path / "two"))
    monkeypatch.syspath_prepend(str(tmp_path / "one"))
    assert expand("package:spread/a.txt", tmp_path) == [first]
    assert expand("package:spread/b.txt", tmp_path) == [second]


@pytest.mark.parametrize(
    "pattern",
    [
        "package:not_installed/a",
        "package:",
        "package:/a",
        "package:sys/a",
        "package:__main__/a",
        "package:os.path/a",
        "package:../a",
        "package:not installed/a",
    ],
)
def test_a_package_that_is_not_installed_is_named(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(InputError, match="there is no installed package"):
        expand(pattern, tmp_path)


def test_a_module_that_was_not_imported_from_anywhere_is_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "specless", ModuleType("specless"))
    with pytest.raises(InputError, match="there is no installed package 'specless'"):
        expand("package:specless/a", tmp_path)


@pytest.mark.parametrize("inside", ["../secret", "test/../../secret", "..", "*/../../x"])
def test_a_package_path_cannot_leave_its_package(tmp_path: Path, inside: str) -> None:
    with pytest.raises(InputError, match=r"'\.\.' would leave the package"):
        expand(f"package:pytest/{inside}", tmp_path)
    with pytest.raises(InputError, match=r"'\.\.' would leave the package"):
        resolve_pattern(f"package:pytest/{inside}", tmp_path)


def test_an_absolute_path_within_a_package_stays_within_it(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret")
    assert expand(f"package:pytest/{secret}", tmp_path) == []
    assert not resolve_pattern(f"package:pytest/{secret}", tmp_path).is_relative_to(tmp_path)
