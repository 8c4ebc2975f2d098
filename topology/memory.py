"""How a process takes memory from the machine: what it frees is soon the machine's again."""

import ctypes

# Of glibc's malloc.h.
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
_MAPPED_FROM_BYTES = 4 << 20


def give_back_large_arrays() -> None:
    """Let threads share two heaps, and arrays of 4 MiB and more be mapped each by itself.

    By default the threshold grows to 32 MiB and each thread has a heap of its own, in which small
    objects keep the space of large arrays.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 2)
        libc.mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM_BYTES)
