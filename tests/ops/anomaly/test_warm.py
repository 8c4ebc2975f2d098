"""By which rules models are learned anew: those that the workers follow."""

import json
from typing import Any

from ops.anomaly.warm import rules_of
from ops.query import Service
from ops.replay.live import Live
from pipeline.scoring.rules import SeriesRules, parse_rules_of_tenant

QUIET = {"metric": "queue_depth", "direction": "above"}
FILE = SeriesRules.parse(
    {
        "rule": [
            {"metric": "cpu.*", "exclude": True},
            {"metric": "cpu.*", "tenant": "acme", "least_absolute": 2},
        ],
        "widths": {"default": [60], "acme": [60, 300]},
    }
)


class MemoryService(Service):
    """Has two tenants, one of them with a rule of its own, and rules in its file."""

    def ask(self, method: str, target: str, body: bytes | None = None) -> bytes:
        assert (method, body) == ("GET", None)
        answers: dict[str, dict[str, Any]] = {
            "/api/v1/admin/score-rules": FILE.document(),
            "/api/v1/admin/tenants/acme/score-rules": {"rule": [QUIET]},
            "/api/v1/admin/tenants/default/score-rules": {"rule": []},
        }
        return json.dumps(answers[target]).encode()

    def post(self, target: str, body: bytes) -> bytes:
        assert (target.partition("?")[0], body) == ("/api/v1/admin/stored/tenants", b"")
        return b'["acme", "default"]'


def test_rules_are_the_stores_whatever_the_settings_of_who_asks() -> None:
    """With the very texts and widths by which a worker knows them; tenants' own go first."""
    found = rules_of(Live(MemoryService("http://store", "key")))

    workers = FILE.beside({"acme": parse_rules_of_tenant([QUIET])})
    assert found.specs_of("acme") == workers.specs_of("acme")
    assert len(found.specs_of("acme")) == 3
    assert set(found.index_of) == set(workers.index_of)
    assert found.widths_digest == workers.widths_digest
