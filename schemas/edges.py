"""Record of topic `edges`: an edge says that it is alive, or that it leaves, as JSON."""

import msgspec

from schemas.errors import InvalidRecord


class LeaderHeard(msgspec.Struct, frozen=True, array_like=True):
    """The elected replica of a tenant's cluster, since when, and when an edge heard it last."""

    tenant: str
    cluster: str
    replica: str
    since_ms: int
    heard_ms: int


class FamiliesTold(msgspec.Struct, frozen=True, array_like=True):
    """Families of a tenant's metrics, each with name, MetricType and unit, as its senders tell."""

    tenant: str
    families: list[tuple[str, int, str]]


class EdgeAlive(msgspec.Struct, frozen=True):
    """name: of the edge, the same after a restart. leaves: it is the last that is heard of it.

    leaders: replicas that it has heard since its record before. families: that are new, or were
    last told of some minutes ago.
    """

    name: str
    leaves: bool = False
    leaders: list[LeaderHeard] = []
    families: list[FamiliesTold] = []


def encode_alive(alive: EdgeAlive) -> bytes:
    """Encode as JSON."""
    return msgspec.json.encode(alive)


def decode_alive(payload: bytes) -> EdgeAlive:
    """Decode JSON. Raises InvalidRecord."""
    try:
        return msgspec.json.decode(payload, type=EdgeAlive)
    except msgspec.DecodeError as error:
        raise InvalidRecord(f"edges: {error}") from None
