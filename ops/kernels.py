"""Keeps numba's caches true to the sources: a kernel holds code of the modules that it imports.

Numba looks only at a kernel's own file, so after an update of another one it would go on running
what was compiled of the old one.
"""

import ast
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pipeline
import schemas

ROOTS = tuple(Path(package.__path__[0]) for package in (pipeline, schemas))
_NOTE = "kernels.json"

# By module, as imported.
Digests = dict[str, str]


def drop_stale(roots: tuple[Path, ...] = ROOTS) -> list[str]:
    """Delete caches of modules that have changed or import, however far, one that has.

    roots: folders of packages, the first has a note of the sources as they were at the last call.
    Returns the modules whose caches were deleted; costs 3 ms where nothing has changed. Folders
    that cannot be written are left as they are: their sources do not change either.
    """
    sources = {_module(root, file): file for root in roots for file in sorted(root.rglob("*.py"))}
    now = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in sources.items()}
    note = roots[0] / "__pycache__" / _NOTE
    before = _read(note)
    if now == before:
        return []
    stale = _with_importers({name for name in now if now[name] != before.get(name)}, sources)
    try:
        dropped = [name for name in sorted(stale) if _drop_caches(sources[name])]
        note.parent.mkdir(exist_ok=True)
        note.write_text(json.dumps(now))
    except OSError:
        return []
    return dropped


def _read(note: Path) -> Digests:
    try:
        read: Digests = json.loads(note.read_text())
    except (OSError, ValueError):
        return {}
    return read


def _module(root: Path, file: Path) -> str:
    parts = file.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _with_importers(changed: set[str], sources: dict[str, Path]) -> set[str]:
    imports = {name: set(_imports(file)) for name, file in sources.items()}
    found: set[str] = set()
    new = changed
    while new:
        found |= new
        new = {name for name in imports if imports[name] & new} - found
    return found


def _imports(file: Path) -> Iterator[str]:
    """Yield the modules that a file may import, and names in them that may be modules."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names)


def _drop_caches(file: Path) -> int:
    caches = list((file.parent / "__pycache__").glob(f"{file.stem}.*.nb[ic]"))
    for cache in caches:
        cache.unlink(missing_ok=True)
    return len(caches)
