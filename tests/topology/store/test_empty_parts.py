"""Parts whose files have no bytes are found, whatever else lies beside them."""

import os
from pathlib import Path

import pytest

from topology.store.empty_parts import empty_parts

TABLE = Path("store", "6ea", "6eaf26ba")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table with a whole part, an empty one, and what the engine has not finished or put away."""
    for name, size in {
        "30-20261123_1_1_0": 9,
        "30-20261123_2_9_1": 0,
        "tmp_merge_30-20261123_1_9_2": 0,
        "delete_tmp_30-20261123_3_3_0": 0,
        "detached/broken-on-start_30-20261123_4_4_0": 0,
    }.items():
        part = tmp_path / TABLE / name
        part.mkdir(parents=True)
        (part / "checksums.txt").write_bytes(b"x" * size)
    (tmp_path / TABLE / "30-20261123_5_5_0").mkdir()  # being removed: no file any more
    (tmp_path / TABLE / "format_version.txt").touch()
    return tmp_path


def test_empty_parts_are_found(folder: Path) -> None:
    assert empty_parts(folder) == ["30-20261123_2_9_1"]


def test_only_those_changed_since_a_time(folder: Path) -> None:
    os.utime(folder / TABLE / "30-20261123_2_9_1", (1_000, 1_000))

    assert empty_parts(folder, since_s=2_000.0) == []
    assert empty_parts(folder, since_s=1_000.5) == ["30-20261123_2_9_1"]


def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert empty_parts(tmp_path / "chdb") == []
