"""The live store as a replay reads it: by HTTP, with an operator's key, piece by piece."""

import json
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.ipc

from ops import api
from ops.query import Service
from topology.store.client import Engine
from topology.store.export import STATEMENTS, Piece

Read = Callable[[str, Piece], pa.Table]


@dataclass(frozen=True, slots=True)
class Live:
    """A running store role."""

    service: Service

    def tenants(self) -> list[str]:
        """Return the names of all tenants. Raises ApiError."""
        names: list[str] = json.loads(self._ask("tenants", {}))
        return names

    def read(self, what: str, piece: Piece) -> pa.Table:
        """Return the rows of one of the export's statements. Raises ApiError or TooMuch."""
        parameters = {name: str(value) for name, value in piece.parameters().items()}
        return _table(self._ask(what, parameters))

    def _ask(self, what: str, parameters: dict[str, str]) -> bytes:
        query = urllib.parse.urlencode(parameters)
        return self.service.post(f"/api/v1/admin/stored/{what}?{query}", b"")


def read_own(engine: Engine, what: str, piece: Piece) -> pa.Table:
    """Return the same rows of a store that this process has opened."""
    return _table(engine.writer.raw_query(STATEMENTS[what], piece.parameters(), fmt="ArrowStream"))


def pieces(read: Read, what: str, piece: Piece) -> Iterator[tuple[Piece, pa.Table]]:
    """Yield a piece in as many as the limits ask for, by halves of its range of ids.

    Raises TooMuch where one series has too much.
    """
    try:
        table = read(what, piece)
    except api.TooMuch:
        if piece.first_id == piece.last_id:
            raise
        middle = (piece.first_id + piece.last_id) // 2
        yield from pieces(read, what, replace(piece, last_id=middle))
        yield from pieces(read, what, replace(piece, first_id=middle + 1))
    else:
        yield piece, table


def _table(stream: bytes) -> pa.Table:
    """Read an Arrow stream; one of no rows may be empty altogether."""
    with pa.ipc.open_stream(stream) as reader:
        return reader.read_all()
