"""Parts with fewer bytes than they should have are found, and nothing else."""

import shutil
from pathlib import Path

import pytest

from topology.store.broken_parts import PartsOnDisk, sizes
from topology.store.client import Engine

TABLE = Path("store", "6ea", "6eaf26ba")


@pytest.fixture(scope="module")
def part(engine: Engine) -> Path:
    """A part as the engine writes it."""
    engine.writer.command(
        "CREATE TABLE whole (n UInt64, text String) ENGINE = MergeTree ORDER BY n"
    )
    engine.writer.command("INSERT INTO whole SELECT number, toString(number) FROM numbers(1000)")
    path = engine.writer.command("SELECT path FROM system.parts WHERE table = 'whole' AND active")
    return Path(str(path))


@pytest.fixture
def folder(part: Path, tmp_path: Path) -> Path:
    """A table with two whole parts, one without a partition key, and what does not count."""
    for name in (
        "30-20261123_1_1_0",
        "all_4_4_0",
        "tmp_merge_30-20261123_1_9_2",
        "tmp_insert_all_9_9_0",
        "delete_tmp_30-20261123_3_3_0",
        "detached/broken-on-start_30-20261123_4_4_0",
    ):
        shutil.copytree(part, tmp_path / TABLE / name)
    for beside in (tmp_path / TABLE).glob("*/data.bin"):
        if beside.parent.name[:3] in {"tmp", "del"}:
            beside.write_bytes(b"")
    (tmp_path / TABLE / "30-20261123_5_5_0").mkdir()  # being removed: no file any more
    (tmp_path / TABLE / "format_version.txt").touch()
    return tmp_path


def test_sizes_are_those_of_the_files(part: Path) -> None:
    found = sizes((part / "checksums.txt").read_bytes())

    assert "data.bin" in found
    assert "columns.txt" not in found or (part / "columns.txt").exists()
    assert found == {name: (part / name).stat().st_size for name in found}


def test_what_is_whole_or_unfinished_is_not_broken(folder: Path) -> None:
    assert PartsOnDisk(folder).broken() == []


@pytest.mark.parametrize("name", ["30-20261123_1_1_0", "all_4_4_0"])
@pytest.mark.parametrize(
    ("file", "n_bytes"), [("checksums.txt", 0), ("data.bin", 0), ("data.bin", 99)]
)
def test_missing_bytes_are_found(folder: Path, name: str, file: str, n_bytes: int) -> None:
    broken = folder / TABLE / name
    with (broken / file).open("r+b") as opened:
        opened.truncate(n_bytes)

    parts = PartsOnDisk(folder)

    assert parts.broken() == [str(broken)]
    assert parts.broken() == [str(broken)]


def test_a_cut_checksums_file_is_found(folder: Path) -> None:
    broken = folder / TABLE / "all_4_4_0"
    (broken / "checksums.txt").write_bytes((broken / "checksums.txt").read_bytes()[:-7])

    assert PartsOnDisk(folder).broken() == [str(broken)]


def test_new_parts_are_looked_at(folder: Path, part: Path) -> None:
    parts = PartsOnDisk(folder)
    assert parts.broken() == []
    new = folder / TABLE / "all_5_5_0"
    shutil.copytree(part, new)
    (new / "data.bin").write_bytes(b"")

    assert parts.broken() == [str(new)]


def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert PartsOnDisk(tmp_path / "chdb").broken() == []
