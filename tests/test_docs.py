"""Docs that name a setting, metric, topic or command tell the truth."""

import re
from pathlib import Path

import msgspec
import pytest
import typer.main

from ops.cli.app import app
from schemas.topics import Topic
from topology.metrics import Metrics
from topology.settings import ENV_PREFIX, PLUMBING_ENVS, Settings
from topology.tenants import LIMIT_NAMES, Tenant, built_in_tiers

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
DOCS = {path.name: path.read_text() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))}


def settings_table() -> list[str]:
    """Return the rows of the settings table as the model gives them."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.default if field.default_factory is None else "~/.cache/observai"
        shown = "" if default is None else f"`{default}`"
        rows.append(f"| `{ENV_PREFIX}{name.upper()}` | {shown} | {field.description} |")
    return rows


def limits_table() -> list[str]:
    """Return the rows of the limits table as tiers and tenants give them."""
    tiers = [built_in_tiers()[name] for name in ("free", "pro", "team", "enterprise")]
    shown = []
    for field in msgspec.inspect.type_info(Tenant).fields[2:]:  # type: ignore[attr-defined] # a struct
        values = [tier.limits.get(field.name, field.default) for tier in tiers]
        cells = " | ".join("" if value is None else str(value).lower() for value in values)
        schema = msgspec.json.schema(Tenant)["$defs"]["Tenant"]["properties"][field.name]
        shown.append(f"| `{field.name}` | {cells} | {schema['description']} |")
    return shown


def metric_names() -> set[str]:
    families = Metrics().registry.collect()
    return {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in families
        if family.name.startswith("observai_")
    }


def test_the_settings_table_is_that_of_the_model() -> None:
    shown = [line for line in README.splitlines() if line.startswith(f"| `{ENV_PREFIX}")]

    assert shown == settings_table()


@pytest.mark.parametrize("name", sorted(DOCS))
def test_every_setting_that_a_text_names_exists(name: str) -> None:
    known = {ENV_PREFIX + field.upper() for field in Settings.model_fields} | PLUMBING_ENVS

    assert set(re.findall(r"\bOBSERVAI_[A-Z_]+", DOCS[name])) <= known


def test_the_limits_table_is_that_of_the_tiers() -> None:
    names = "|".join(LIMIT_NAMES)
    shown = [line for line in README.splitlines() if re.match(rf"\| `({names})` \|", line)]

    assert shown == limits_table()


def test_metrics_are_documented_and_exist() -> None:
    documented = set(re.findall(r"\bobservai_[a-z_]+", README))

    assert documented == metric_names()


def test_topics_are_documented() -> None:
    for topic in Topic:
        assert f"`{topic}`" in README, topic


def test_every_command_that_the_readme_shows_exists() -> None:
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]

    shown = set(re.findall(r"(?:^|[`\s/])observai ([a-z-]+)", README))

    assert shown <= commands
    assert {"up", "demo", "sql", "edge", "worker", "store", "notifier", "migrate"} <= shown


def test_make_targets_that_the_readme_shows_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"\bmake ([a-z]+)\b", README)) <= targets
