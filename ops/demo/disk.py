"""How much disk the embedded store's tables take."""

import re
from collections import defaultdict
from pathlib import Path

_PART = re.compile(r"(?P<partition>.+)_(?P<first>\d+)_(?P<last>\d+)_(?P<level>\d+)")


def table_bytes(chdb: Path) -> dict[str, int]:
    """Return the bytes of each table's live parts.

    Read from the folders, because no tenant sees the engine's own tables. Parts that a merge
    has replaced stay on disk for some minutes and do not count.
    """
    sizes = {}
    for table in sorted((chdb / "data").glob("*/*")):
        folders = [folder for folder in table.resolve().iterdir() if folder.is_dir()]
        sizes[table.name] = sum(map(_size, live_parts(folders)))
    return sizes


def live_parts(folders: list[Path]) -> list[Path]:
    """Return the folders of parts that no other part covers.

    A part is named PARTITION_FIRST_LAST_LEVEL after the inserts in it, and a merged one spans
    those of the parts that it was made from.
    """
    spans = defaultdict(list)
    for folder in folders:
        if part := _PART.fullmatch(folder.name):
            first, last, level = (int(part[name]) for name in ("first", "last", "level"))
            spans[part["partition"]].append((first, -last, -level, folder))
    live = []
    for parts in spans.values():
        newest = -1
        # The widest comes first of those that begin with one insert.
        for _, last, _, folder in sorted(parts):
            if -last > newest:
                newest = -last
                live.append(folder)
    return live


def _size(folder: Path) -> int:
    try:
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    except FileNotFoundError:  # a merge has just removed it
        return 0
