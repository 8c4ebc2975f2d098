"""Caches of kernels are dropped when what was compiled into them has changed."""

from pathlib import Path

import pytest

from ops.kernels import drop_stale

SOURCES = {
    "top/__init__.py": "",
    "top/wire.py": "WIDTH = 1",
    "top/walk.py": "from top.wire import WIDTH",
    "top/deep/__init__.py": "",
    "top/deep/decode.py": "from top import walk",
    "top/other.py": "import low.types",
    "low/__init__.py": "",
    "low/types.py": "",
}
KERNELS = {"top.walk", "top.deep.decode", "top.other"}


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, ...]:
    """Folders of two packages, with caches of three modules."""
    for name, text in SOURCES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = (tmp_path / "top", tmp_path / "low")
    drop_stale(found)
    for module in KERNELS:
        _caches(tmp_path, module)[0].parent.mkdir(exist_ok=True)
        for cache in _caches(tmp_path, module):
            cache.touch()
    return found


def _caches(folder: Path, module: str) -> list[Path]:
    *packages, stem = module.split(".")
    names = [f"{stem}.kernel-3.py311.nbi", f"{stem}.kernel-3.py311.1.nbc"]
    return [folder.joinpath(*packages, "__pycache__", name) for name in names]


@pytest.mark.parametrize(
    ("changed", "dropped"),
    [
        (None, set[str]()),
        ("top/deep/decode.py", {"top.deep.decode"}),
        ("top/walk.py", {"top.deep.decode", "top.walk"}),
        ("top/wire.py", {"top.deep.decode", "top.walk"}),
        ("low/types.py", {"top.other"}),
    ],
)
def test_caches_of_what_imports_a_changed_module_go(
    roots: tuple[Path, ...], changed: str | None, dropped: set[str]
) -> None:
    """However far the import goes, into another package, or of a module by its package."""
    folder = roots[0].parent
    if changed:
        with (folder / changed).open("a") as source:
            source.write("\n# changed\n")

    assert set(drop_stale(roots)) == dropped

    left = {one for one in KERNELS if all(cache.exists() for cache in _caches(folder, one))}
    assert left == KERNELS - dropped
    assert drop_stale(roots) == []
