"""Parts that a full disk has left without content, though the engine took them for written.

chDB 4.4.0 now and then calls an insert or a merge done whose files have no bytes, when the disk was
full and then not any more. Nothing is lost if the process ends at once and hard: the offsets of the
insert are not committed yet, and at its next start the engine puts such parts aside and takes up
those that they were merged of. An orderly close would have deleted these.
"""

import os
from collections.abc import Iterator
from pathlib import Path

# Written last, and never empty in a part that is whole.
_CHECKSUMS = "checksums.txt"
# Of clocks of the file system and of the process.
_SLACK_S = 1.0


def empty_parts(folder: Path, since_s: float = 0.0) -> list[str]:
    """Return the names of empty parts of the engine in a folder, those changed since a time.

    since_s: seconds since the Unix epoch.
    """
    return [
        part.name
        for table in folder.glob("store/*/*")
        for part in _parts(table, since_s - _SLACK_S)
        if _size(Path(part.path, _CHECKSUMS)) == 0
    ]


def _parts(table: Path, since_s: float) -> Iterator[os.DirEntry[str]]:
    """Yield a table's parts; what is being written or removed has a name of another kind."""
    try:
        with os.scandir(table) as entries:
            for entry in entries:
                if entry.name[0].isdigit() and entry.stat().st_mtime >= since_s:
                    yield entry
    except FileNotFoundError:
        return


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return None
