"""Gives memory back to the machine that only a start or a burst needed."""

import ctypes
import re
from pathlib import Path

import pyarrow as pa

_LIBRARY = "_chdb.abi3.so"
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+\s*(.*)")
_MADV_DONTNEED = 4
# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 64 << 20


def keep_freed_memory() -> None:
    """Let the allocator keep the arrays of one batch for the next, until `release_memory`.

    By default each array of a megabyte is mapped anew: clearing its pages took a fifteenth of
    the store's time.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def release_memory() -> None:
    """Give back what the allocators keep for later and what the engine's library does not use."""
    pa.default_memory_pool().release_unused()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    if Path("/proc/self/smaps").exists():
        release_library_pages()


def release_library_pages() -> int:
    """Drop the resident pages of the engine's read-only mappings; return the bytes asked for.

    Loading a library of 550 MB leaves some 160 MB of it mapped, of which a running store uses
    a third. The pages are clean copies of the file, so the ones in use come back from the page
    cache at the next touch. Mappings that are writable or hold changed pages are left alone.
    """
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    released = 0
    for start, end in _clean_mappings(Path("/proc/self/smaps").read_text()):
        if libc.madvise(start, end - start, _MADV_DONTNEED) == 0:
            released += end - start
    return released


def _clean_mappings(smaps: str) -> list[tuple[int, int]]:
    """Return bounds of the library's mappings without write access and without own pages."""
    clean = []
    mapping: re.Match[str] | None = None
    for line in smaps.splitlines():
        if (match := _MAPPING.fullmatch(line)) is not None:
            mapping = match
        elif line.startswith("Anonymous:") and mapping is not None:
            is_ours = mapping[4].endswith(_LIBRARY) and "w" not in mapping[3]
            if is_ours and int(line.split()[1]) == 0:
                clean.append((int(mapping[1], 16), int(mapping[2], 16)))
    return clean
