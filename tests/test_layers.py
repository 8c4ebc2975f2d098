"""Imports point down only: schemas <- pipeline <- topology <- ops."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("schemas", "pipeline", "topology", "ops")
# What the lower layers must not touch: the world is topology's business.
WORLD = {
    "schemas": {"asyncio", "socket", "time", "aiokafka", "faust", "starlette", "structlog"},
    "pipeline": {"asyncio", "socket", "time", "aiokafka", "faust", "starlette", "structlog"},
}


def imported(source: str) -> Iterator[str]:
    """Yield the top-level packages that the source imports, wherever the statement stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.split(".")[0]


def forbidden(layer: str) -> set[str]:
    """Return what a layer must not import: the layers above it, the tests, and the world."""
    above = set(LAYERS[LAYERS.index(layer) + 1 :])
    return above | {"tests"} | WORLD.get(layer, set())


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_nothing_from_above(layer: str) -> None:
    """Each file of a layer keeps to itself and to the layers below."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / layer).rglob("*.py"))
        for name in imported(path.read_text())
        if name in forbidden(layer)
    ]

    assert not wrong, "\n".join(wrong)


def test_an_import_that_points_up_is_seen() -> None:
    """The check finds an import in a function and one of a submodule."""
    source = "def f():\n    import ops.cli.app\n\nfrom topology.settings import Settings\n"

    assert set(imported(source)) & forbidden("pipeline") == {"ops", "topology"}
