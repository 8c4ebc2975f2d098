"""What a worker follows of topic `config`: rules for scores, and records to be passed over."""

from schemas.config import Kind, decode_entry, decode_key, encode_entry
from schemas.errors import InvalidRecord
from topology.anomaly_rules import TenantRules
from topology.skips import Skips


class WorkerConfig:
    """Takes rules and skips from topic `config`, and nothing else; for FollowingFeed."""

    def __init__(self) -> None:
        self.is_loaded = False
        self.problem: str | None = None
        self.rules = TenantRules()
        self.skips = Skips()

    def apply(self, key: bytes, value: bytes | None) -> None:
        """Apply one record of topic `config`. Raises InvalidRecord."""
        kind, name = decode_key(key)
        if kind not in {Kind.SCORE_RULES, Kind.SKIP}:
            return
        entry = None if value is None else decode_entry(Kind(kind), value)
        if entry is not None and encode_entry(entry)[0] != key:
            raise InvalidRecord(f"config record {key!r} is about {encode_entry(entry)[0]!r}")
        if kind == Kind.SCORE_RULES:
            self.rules.apply(name, entry)
        else:
            self.skips.apply(name, entry)
