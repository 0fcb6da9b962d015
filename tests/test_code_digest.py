"""The hash of code: what a result hangs on changes it, and nothing else."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import nightjar
from nightjar.kernels import code_digest as digests
from nightjar.kernels.code_digest import code_digest, shaping_modules
from nightjar.stages.train import engines
from nightjar.stages.train.engines import ENGINES

PACKAGE = Path(nightjar.__file__).parent
NATIVE = [ENGINES[trainer, "native"] for trainer in ("word2vec", "fasttext", "glove")]
COUNTING = "nightjar.stages.train.cooccurrence"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the package, free to change."""
    shutil.copytree(PACKAGE, tmp_path / "nightjar", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def all_digests(root: Path) -> dict[str, str]:
    """Of the native trainers, of counting and of what travels with a model."""
    of_trainers = {
        engine.module.rpartition(".")[2]: code_digest(
            engine.module, without=engines.NOT_SHAPING, root=root
        )
        for engine in NATIVE
    }
    return of_trainers | {
        "counting": code_digest(COUNTING, root=root),
        "model": code_digest("nightjar.model.lookup", "nightjar.model.tokenization", root=root),
    }


def edit(root: Path, name: str, change: Callable[[str], str]) -> None:
    path = root / "nightjar" / name
    before = path.read_text(encoding="utf-8")
    after = change(before)
    assert after != before, f"nothing changed in {name}"
    path.write_text(after, encoding="utf-8")


def replaced(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, 1)


def test_a_copy_of_the_package_has_the_digests_of_the_package(root: Path) -> None:
    assert all_digests(root) == all_digests(PACKAGE.parent)
    assert ENGINES["glove", "native"].code()["code"] == all_digests(root)["glove"]
    assert len(set(all_digests(root).values())) == 5


def test_layout_and_comments_of_no_module_count(root: Path) -> None:
    """All that a module looks like, but not what it does, is lost on the way through its tree."""
    before = all_digests(root)
    for path in (root / "nightjar").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        path.write_text(f"# anew\n\n\n{ast.unparse(tree)}\n\n\n# end", encoding="utf-8")
    assert all_digests(root) == before


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("kernels/windows.py", lambda text: f"# a comment\n{text}"),
        ("kernels/windows.py", replaced('"""', '"""Well: ')),
        ("kernels/logistic_rows.py", replaced("\n\n\n", "\n\n\n\n")),
        (
            "stages/train/window_learner.py",
            replaced("_STRETCH_ROWS = 64", "_STRETCH_ROWS = ( 64 )"),
        ),
        ("stages/train/window_learner.py", replaced("Initial rows that are drawn", "Rows drawn")),
        ("stages/train/output_layers.py", replaced("counts: NDArray[np.int64]", "counts: object")),
        ("stages/train/spans.py", replaced("-> Iterator[Span]:", "-> Iterator[object]:")),
        (
            "stages/train/word2vec.py",
            replaced(
                "import numpy as np\nfrom numpy.typing import NDArray\n",
                "from numpy.typing import NDArray\nimport numpy as np\n",
            ),
        ),
        ("stages/train/cooccurrence.py", replaced("co-occurrences in %d cells", "pairs in %d")),
        ("stages/train/checkpoints.py", replaced(".checkpoint-", ".half-way-")),
        ("stages/train/estimates.py", lambda text: f"{text}\nANYTHING = 1\n"),
        ("config/trainers.py", replaced("learning rate", "rate of learning")),
        ("errors.py", lambda text: f"{text}\nANYTHING = 1\n"),
        ("kernels/machine_code.py", replaced("_KEPT_DIRECTORIES = 3", "_KEPT_DIRECTORIES = 4")),
        ("model/lookup/nearest.py", lambda text: f"{text}\n\n# the end\n"),
        ("model/tokenization/character_classes.py", lambda text: f'{text}\n"The end."\n'),
    ],
)
def test_what_shapes_nothing_leaves_all_digests(
    root: Path, name: str, change: Callable[[str], str]
) -> None:
    before = all_digests(root)
    edit(root, name, change)
    assert all_digests(root) == before


WINDOWS = {"word2vec", "fasttext"}
TRAINERS = {*WINDOWS, "glove"}


@pytest.mark.parametrize(
    ("name", "change", "shaped"),
    [
        ("kernels/compilation.py", replaced('"contract", ', ""), {*TRAINERS, "counting"}),
        ("kernels/compilation.py", replaced('"numpy",', '"python",'), {*TRAINERS, "counting"}),
        (
            "kernels/adagrad.py",
            replaced("@compiled()", "@compiled(has_fast_sums=True)"),
            {"glove"},
        ),
        ("kernels/random_bits.py", replaced("return state", "return -state"), TRAINERS),
        ("stages/train/window_learner.py", replaced("_ROWS = 64", "_ROWS = 32"), WINDOWS),
        ("stages/train/window_learner.py", replaced("drawn -= 1.0", "drawn -= 1.5"), WINDOWS),
        ("stages/train/spans.py", replaced("TOKENS = 10_000", "TOKENS = 1_000"), WINDOWS),
        ("stages/train/output_layers.py", replaced("WORDS = 1 << 22", "WORDS = 1 << 21"), WINDOWS),
        ("stages/train/spans.py", replaced("np.sqrt", "np.cbrt"), WINDOWS),
        (
            "stages/train/output_layers.py",
            replaced("self.count < other", "self.count <= other"),
            WINDOWS,
        ),
        (
            "stages/train/model_corpus.py",
            replaced("n_kept < 2", "n_kept < 1"),
            {*TRAINERS, "counting"},
        ),
        ("stages/train/word2vec.py", replaced("import numpy as np", "import jax as np"), WINDOWS),
        ("model/lookup/nearest.py", lambda text: f"{text}\nMORE = 1\n", {"model"}),
        ("model/tokenization/character_classes.py", lambda text: f"{text}\nMORE = 1\n", {"model"}),
    ],
)
def test_what_shapes_a_result_changes_the_digests_of_those_whom_it_shapes(
    root: Path, name: str, change: Callable[[str], str], shaped: set[str]
) -> None:
    before = all_digests(root)
    edit(root, name, change)
    after = all_digests(root)
    assert {key for key in before if before[key] != after[key]} == shaped


def full_name(name: str) -> str:
    """Kernels lie in a package of their own."""
    return f"nightjar.{name}" if name.startswith("kernels.") else f"nightjar.stages.train.{name}"


def test_the_modules_that_shape_vectors_are_those() -> None:
    """Whoever imports another one into them learns here that it shapes their vectors now."""
    shared = "model_corpus trainer"
    native = f"{shared} epochs starting_point kernels.random_bits kernels.vector_code"
    windows = (
        f"{native} output_layers spans window_learner word2vec "
        "kernels.logistic_rows kernels.whole_rows kernels.windows"
    )
    expected = {
        ("word2vec", "gensim"): f"{shared} gensim_engine line_sentences",
        ("fasttext", "gensim"): f"{shared} gensim_engine line_sentences",
        ("word2vec", "native"): windows,
        ("fasttext", "native"): f"{windows} fasttext kernels.ngrams kernels.subword_steps",
        ("glove", "native"): (
            f"{native} glove kernels.adagrad kernels.adagrad_rows kernels.cooccurrence_counts"
        ),
    }
    for key, names in expected.items():
        found = set(ENGINES[key].modules())
        outside = {"nightjar.formats.embeddings"}
        if key[1] == "native":
            outside.add("nightjar.kernels.compilation")
        assert found == {full_name(name) for name in names.split()} | outside
    counting = "cooccurrence kernels.cooccurrence_counts model_corpus pair_counting sorted_runs"
    assert set(shaping_modules(COUNTING)) == {
        "nightjar.kernels.compilation",
        *(full_name(name) for name in counting.split()),
    }
    travelling = shaping_modules("nightjar.model.lookup", "nightjar.model.tokenization")
    assert {".".join(name.split(".")[:2]) for name in travelling} == {"nightjar.model"}
    assert "nightjar.model.lookup.requests" in travelling


def write_package(root: Path, modules: Mapping[str, str]) -> None:
    for name, source in modules.items():
        path = root / "toy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")


START = """
from toy.a import f
from toy import b
import toy.c as c
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toy.types_only import T


def g():
    from toy.inner import h
    return h
"""


def test_imports_are_followed_wherever_they_stand_but_not_those_for_types(tmp_path: Path) -> None:
    modules = {
        "start.py": START,
        "a.py": "from .below.deep import x\nf = x\n",
        "b.py": "from . import e\n",
        "below/__init__.py": "from .. import top\nz = 1\n",
        "below/deep.py": "x = 1\n",
        "c.py": "",
        "e.py": "from .below import z\n",
        "inner.py": "",
        "top.py": "",
        "types_only.py": "",
        "unused.py": "",
    }
    write_package(tmp_path, modules)
    names = ("a", "b", "below", "below.deep", "c", "e", "inner", "start", "top")
    assert shaping_modules("toy.start", root=tmp_path) == tuple(f"toy.{name}" for name in names)
    without_e = shaping_modules("toy.start", without=["toy.e"], root=tmp_path)
    assert set(names) - {name.removeprefix("toy.") for name in without_e} == {"below", "e", "top"}
    assert shaping_modules("toy.below", root=tmp_path) == ("toy.below", "toy.below.deep", "toy.top")
    with pytest.raises(ValueError, match=r"toy\.nothing is no module below"):
        code_digest("toy.nothing", root=tmp_path)


SOURCE = '''
"""A module."""
from __future__ import annotations
import math, re as regex
from a.b import c as d
X: float = 1.50
@decorated(flag=True)
class A(Base, metaclass=M):
    """Of fields."""
    x: int = 0x10
    y: str
async def f(a: int, /, b=1, *args: str, k, **kw) -> None:
    logger.info("said %s", a)
    global G
    try:
        async with a as b, c: pass
        x = [i async for i in b if i] or {**kw, "a": 1e-3} or {1, 2}
        n: int = 3
        m: int
    except* (E, ValueError) as error:
        raise X(f"{a!r:>{b:02}}{b=} {'' if a else 'ä'}\\n") from error
    else:
        del x, n
    finally:
        assert not (-x ** 2 @ y << 3 is not None), "no"
    match a:
        case [1, *_, {"k": v, **r}] | Point(x=0) as p if p: return (yield)
        case None: ...
    while (w := next(b)) and (lambda: 1 < w <= 2 != 3): break
    for i, *j in ((1,), b[1:2, ::3], 2j, b"\\xff", ...): continue
    return x if y else await z
'''


def test_the_digest_is_the_same_under_every_version_of_python(tmp_path: Path) -> None:
    """Of all kinds of nodes; the figure was found with Python 3.11, and 3.12 and 3.13 agree."""
    write_package(tmp_path, {"module.py": SOURCE})
    digest = code_digest("toy.module", root=tmp_path)
    assert digest[:16] == "1e6785252fc07340"
    write_package(tmp_path, {"module.py": SOURCE.replace("1.50", "1.5").replace("0x10", "16")})
    assert code_digest("toy.module", root=tmp_path) == digest
    for old, new in [("1.50", "1.51"), ("y: str", "y: int"), ("'ä'", "'a'"), ("1:2", "1:")]:
        write_package(tmp_path, {"module.py": SOURCE.replace(old, new)})
        assert code_digest("toy.module", root=tmp_path) != digest


_DIGESTS = """
from nightjar.kernels import code_digest
if {is_blind}:
    def refuse(source, package):
        raise AssertionError("analysed again")
    code_digest._analysed = refuse
print(code_digest.code_digest("nightjar.stages.train.glove", "nightjar.model.lookup"))
"""


def digest_of_a_new_process(cache: Path, *, is_blind: bool = False) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _DIGESTS.format(is_blind=is_blind)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"XDG_CACHE_HOME": str(cache)},
    )
    return done.stdout.strip()


def test_what_was_found_is_kept_for_the_next_process(tmp_path: Path) -> None:
    expected = code_digest("nightjar.stages.train.glove", "nightjar.model.lookup")
    assert digest_of_a_new_process(tmp_path) == expected
    kept = tmp_path / "nightjar" / "code.json"
    assert [path.name for path in kept.parent.iterdir()] == ["code.json"]
    assert digest_of_a_new_process(tmp_path, is_blind=True) == expected
    for damage in (b"", b"{", b"[]", b'{"a": 1}', b'{"a": ["b", [["c"]]]}', b"\xff"):
        kept.write_bytes(damage)
        assert digest_of_a_new_process(tmp_path) == expected
        assert len(json.loads(kept.read_bytes())) > 10
    kept.unlink()
    kept.parent.rmdir()
    kept.parent.touch()  # nothing can be written below a file
    assert digest_of_a_new_process(tmp_path) == expected


def test_no_more_is_kept_than_a_few_versions_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "_MAX_KEPT", 3)
    digests._known.cache_clear()
    for number in range(5):
        write_package(tmp_path, {"module.py": f"x = {number}\n"})
        code_digest("toy.module", root=tmp_path)
    digests._known.cache_clear()
    assert len(digests._known()) == 3
    digests._known.cache_clear()
