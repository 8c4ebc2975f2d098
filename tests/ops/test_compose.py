"""docker-compose.yml and the Dockerfile, against the code."""

import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.broker.config import MESSAGE_MAX_BYTES
from ops.broker.files import KAFKA_VERSION
from ops.cli.app import app
from topology.settings import ENV_PREFIX, ROLE_PORTS, Settings, load_settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
COMMANDS = {
    command.name or command.callback.__name__  # type: ignore[union-attr] # all have callbacks
    for command in app.registered_commands
}


def test_the_services_are_kafka_clickhouse_and_the_roles() -> None:
    """One container per role, from one image."""
    assert set(SERVICES) == {"kafka", "clickhouse", *ROLE_PORTS}
    assert {SERVICES[role]["image"] for role in ROLE_PORTS} == {"observai-hub"}


def test_the_engines_have_the_versions_that_the_tests_run() -> None:
    """Kafka as embedded; ClickHouse as inside chDB, by year and month."""
    chdb = metadata.version("chdb-core").rsplit(".", 1)[0]

    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"
    assert SERVICES["clickhouse"]["image"] == f"clickhouse/clickhouse-server:{chdb}"


def test_the_broker_takes_as_large_records_as_the_embedded_one() -> None:
    """One limit in both."""
    assert SERVICES["kafka"]["environment"]["KAFKA_MESSAGE_MAX_BYTES"] == MESSAGE_MAX_BYTES


@pytest.mark.parametrize("role", ROLE_PORTS)
def test_a_role_runs_its_command_with_known_settings(
    role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command exists, and the environment makes valid settings."""
    service = SERVICES[role]
    for name, value in service["environment"].items():
        given = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", value)
        monkeypatch.setenv(name, re.sub(r"\$\{\w+:\?[^}]+\}", "x" * 64, given))

    settings = load_settings()

    assert service["command"] == [role]
    assert role in COMMANDS
    assert settings.kafka == "kafka:9092"
    assert settings.store_url == "clickhouse://observai:observai@clickhouse:8123/observai"
    assert {name.removeprefix(ENV_PREFIX).lower() for name in service["environment"]} <= set(
        Settings.model_fields
    )


@pytest.mark.parametrize("role", ROLE_PORTS)
def test_a_role_is_asked_for_its_health_on_its_port(role: str) -> None:
    """Health checks and published ports follow from the base port."""
    service = SERVICES[role]
    base = int(service["environment"]["OBSERVAI_PORT"])

    port = base + ROLE_PORTS[role]
    assert f"http://127.0.0.1:{port}/readyz" in service["healthcheck"]["test"][-1]
    assert service.get("ports", []) in ([], [f"{port}:{port}"])


def test_state_lies_on_declared_volumes() -> None:
    """A removed container takes no data along."""
    used = [volume.split(":")[0] for service in SERVICES.values() for volume in service["volumes"]]

    assert sorted(used) == sorted(COMPOSE["volumes"])


def test_every_part_waits_for_what_it_needs() -> None:
    """Roles start when Kafka answers, the store also when ClickHouse does."""
    for role in ROLE_PORTS:
        waits = {name: rule["condition"] for name, rule in SERVICES[role]["depends_on"].items()}
        needed = {"kafka", "clickhouse"} if role == "store" else {"kafka"}
        assert waits == dict.fromkeys(needed, "service_healthy")
    assert all("healthcheck" in service for service in SERVICES.values())


def test_the_image_runs_the_command_as_an_unprivileged_user() -> None:
    """The last stage names the user, the entry point and the data directory of compose."""
    last_stage = (ROOT / "Dockerfile").read_text().split("FROM ")[-1]

    assert "USER observai" in last_stage
    assert 'ENTRYPOINT ["observai"]' in last_stage
    assert "VOLUME /data" in last_stage
    assert {SERVICES[role]["environment"]["OBSERVAI_DATA_DIR"] for role in ROLE_PORTS} == {"/data"}
