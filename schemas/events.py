"""Records of topic `events`: what edges and stores tell of themselves, for the store to keep.

A record is a JSON list of events, each with its kind. Every event is stored under a key of its own,
so one that is read twice changes nothing.
"""

from collections.abc import Sequence

import msgspec

from schemas.errors import InvalidRecord


class Audited(msgspec.Struct, frozen=True, tag_field="kind", tag="audit"):
    """Something that an administrator did, or somebody tried.

    id: unique. tenant: whom it is about. actor: id of the key that was used, or "system";
    actor_tenant: the key's. address: where it came from. action: such as tenant.add; target:
    what it was done to. details: words for people.
    """

    id: str
    time_ms: int
    tenant: str
    actor: str
    actor_tenant: str
    address: str
    action: str
    target: str
    details: str = ""


class KeyUsed(msgspec.Struct, frozen=True, tag_field="kind", tag="key_used"):
    """When a key was used last, as far as one process knows."""

    tenant: str
    key_id: str
    time_ms: int


class Rejected(msgspec.Struct, frozen=True, tag_field="kind", tag="rejected"):
    """Samples that an edge refused in an hour for one reason, under the metric of an example.

    source: a run of a process. count: so far in this hour, by this source, so the highest counts.
    labels, message: of the first one.
    """

    tenant: str
    hour_ms: int
    reason: str
    metric: str
    source: str
    labels: dict[str, str]
    message: str
    count: int


Event = Audited | KeyUsed | Rejected


def encode_events(events: Sequence[Event]) -> bytes:
    """Encode events as one record."""
    return msgspec.json.encode(events)


def decode_events(payload: bytes) -> list[Event]:
    """Decode a record. Raises InvalidRecord."""
    try:
        return msgspec.json.decode(payload, type=list[Event])
    except msgspec.DecodeError as error:
        raise InvalidRecord(f"events: {error}") from None
