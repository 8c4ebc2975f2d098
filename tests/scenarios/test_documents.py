"""Every role does what its OpenAPI document says, whatever schemathesis makes of it."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from ops.faults.running import Up
from ops.ports import free_base_port

pytestmark = [pytest.mark.broker, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "tests" / "openapi" / "schemathesis.toml"
HOOKS = "tests.openapi.hooks"


def test_roles_do_what_their_documents_say(tmp_path: Path) -> None:
    """All checks but those that the configuration names, in all phases: some 2,000 requests."""
    up = Up(tmp_path, free_base_port())
    try:
        found = {role: schemathesis(up, role, tmp_path) for role in up.names()}
    finally:
        up.close()

    assert {role: done.returncode for role, done in found.items()} == dict.fromkeys(found, 0), (
        "\n".join(done.stdout for done in found.values() if done.returncode)
    )
    assert set(found) == {"edge", "store", "worker", "notifier"}
    assert all("generated" in done.stdout for done in found.values())


def schemathesis(up: Up, role: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run it against a role, with an operator's key that it leaves alone."""
    key = {"Authorization": f"Bearer {up.key()}"}
    ((own, *_),) = [httpx.get(f"{up.url('store')}/api/v1/admin/keys", headers=key).json()]
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"]
    command += [f"{up.url(role)}/openapi.json", "--header", f"Authorization: Bearer {up.key()}"]
    command += ["--max-examples", "10", "--seed", "1", "--no-color"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    more = {"SCHEMATHESIS_HOOKS": HOOKS, "OWN_KEY_ID": own["id"], "PYTHONPATH": path}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=os.environ | more, check=False
    )
