"""Record of topic `dead-letters`: a record that no stage could read, and why."""

import msgspec


class DeadLetter(msgspec.Struct, frozen=True):
    """A refused record as it came (base64 in JSON), its place, the stage that refused it, and why.

    topic: name without the deployment's prefix. Each stage that reads the topic sends its own.
    """

    stage: str
    topic: str
    partition: int
    offset: int
    reason: str
    record: bytes


def encode_dead_letter(letter: DeadLetter) -> bytes:
    """Encode as JSON."""
    return msgspec.json.encode(letter)


def decode_dead_letter(payload: bytes) -> DeadLetter:
    """Decode JSON. Raises msgspec.ValidationError or msgspec.DecodeError."""
    return msgspec.json.decode(payload, type=DeadLetter)
