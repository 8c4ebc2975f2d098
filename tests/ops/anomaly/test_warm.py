"""By which rules models are learned anew: those that the workers follow."""

import json
from pathlib import Path

from ops.anomaly.warm import rules_of
from ops.query import Service
from ops.replay.live import Live
from pipeline.scoring.rules import parse_rules_of_tenant
from topology.anomaly_rules import read_rules
from topology.settings import load_settings

QUIET = {"metric": "queue_depth", "direction": "above"}


class MemoryService(Service):
    """Has two tenants, one of them with a rule of its own."""

    def ask(self, method: str, target: str, body: bytes | None = None) -> bytes:
        assert (method, body) == ("GET", None)
        rules = {"/api/v1/admin/tenants/acme/score-rules": [QUIET]}
        return json.dumps({"rule": rules.get(target, [])}).encode()

    def post(self, target: str, body: bytes) -> bytes:
        assert (target.partition("?")[0], body) == ("/api/v1/admin/stored/tenants", b"")
        return b'["acme", "default"]'


def test_tenants_rules_go_before_those_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text('[[rule]]\nmetric = "cpu.*"\nexclude = true\n')
    live = Live(MemoryService("http://store", "key"))

    found = rules_of(load_settings(anomaly_rules=file), live)

    workers = read_rules(file).beside({"acme": parse_rules_of_tenant([QUIET])})
    assert found.specs_of("acme") == workers.specs_of("acme")
    assert len(found.specs_of("acme")) == 2
    assert len(found.specs_of("default")) == 1
