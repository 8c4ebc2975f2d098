"""Rows that the store refuses, told from a store that is away or broken."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from clickhouse_connect.driver.exceptions import ClickHouseError, Error

from topology.dead_letters import Place

Refused = tuple[Place, bytes, str]
"""Where the record stands, its refused part as a record of its own, and the store's reason."""

# What passes by itself, or when somebody makes room; the row is not at fault.
_TRANSIENT = frozenset(
    {
        *(23, 74, 75, 76, 243),  # files: cannot read or write, not enough space
        *(159, 202, 203, 209, 210, 216, 394),  # timeouts, too many queries, network, cancelled
        *(173, 236, 241, 252),  # memory, aborted, too many parts
        *(242, 285, 319, 425, 999),  # read only, replicas, system, keeper
        *(1000, 1001, 1002),  # of the libraries below: a full disk, among others
    }
)

_OUT_OF_MEMORY = 241

_Block = TypeVar("_Block")


def is_transient(error: ClickHouseError) -> bool:
    """Whether the same statement may succeed later; so it is without a code of the engine."""
    code = error.code if isinstance(error, Error) else None
    return code is None or code in _TRANSIENT


def is_out_of_memory(error: Exception) -> bool:
    """Whether the engine's memory did not suffice: half of the work may find enough."""
    return isinstance(error, Error) and error.code == _OUT_OF_MEMORY


def insert_halving(
    insert: Callable[[Sequence[_Block]], None], blocks: Sequence[_Block], first: int = 0
) -> list[tuple[int, str]]:
    """Insert all blocks but those that the store refuses even alone; return their index and why.

    Raises ClickHouseError when the store is away: then all may be inserted again.
    """
    try:
        insert(blocks)
    except ClickHouseError as error:
        if is_transient(error):
            raise
        if len(blocks) == 1:
            return [(first, str(error))]
    else:
        return []
    half = len(blocks) // 2
    refused = insert_halving(insert, blocks[:half], first)
    return refused + insert_halving(insert, blocks[half:], first + half)
