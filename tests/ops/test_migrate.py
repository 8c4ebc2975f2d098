"""Migrations: applied once, recorded, refused when edited, safe to repeat."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.migrate import MIGRATIONS, Migration, MigrationError, apply, read_migrations


class FakeStore:
    """Remembers statements and the records of migrations; fails where told."""

    database = "hub"

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.recorded: dict[str, str] = {}
        self.fails: Callable[[str], bool] = lambda _: False

    def command(self, cmd: str) -> None:
        if self.fails(cmd):
            raise ConnectionError("killed")
        if (
            match := re.match(r"INSERT INTO hub\.migrations .*\('(.*)', '(.*)'\)", cmd)
        ) is not None:
            self.recorded[match[1]] = match[2]
        else:
            self.statements.append(cmd)

    def raw_query(self, query: str, *, fmt: str) -> bytes:
        assert fmt == "TabSeparated"
        assert "FROM hub.migrations" in query
        return "".join(f"{name}\t{sha}\n" for name, sha in self.recorded.items()).encode()


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_a.sql").write_text("-- first; table\nCREATE a IN {database};\nCREATE b;\n")
    (tmp_path / "0002_b.sql").write_text("CREATE c;\n")
    return tmp_path


def test_pending_files_are_applied_in_order_and_only_once(store: FakeStore, folder: Path) -> None:
    """The names applied are returned."""
    assert apply(store, folder) == ["0001_a", "0002_b"]
    assert apply(store, folder) == []
    assert store.statements[1:4] == ["-- first; table\nCREATE a IN hub", "CREATE b", "CREATE c"]


def test_an_edited_file_is_refused_by_name(store: FakeStore, folder: Path) -> None:
    """Nothing runs, and the remedy is named."""
    apply(store, folder)
    (folder / "0001_a.sql").write_text("CREATE other;\n")
    (folder / "0003_c.sql").write_text("CREATE d;\n")

    with pytest.raises(MigrationError, match=r"0001_a was edited .* as a new migration"):
        apply(store, folder)

    assert "CREATE d" not in store.statements


def test_an_interrupted_file_is_applied_again(store: FakeStore, folder: Path) -> None:
    """A file is recorded after its last statement, so half of it is never taken for all."""
    store.fails = lambda statement: statement == "CREATE b"
    with pytest.raises(ConnectionError):
        apply(store, folder)
    store.fails = lambda _: False

    assert apply(store, folder) == ["0001_a", "0002_b"]


def test_a_newer_store_and_a_late_number_are_refused(store: FakeStore, folder: Path) -> None:
    """Order is what the numbers promise."""
    apply(store, folder)
    (folder / "0001_z.sql").write_text("CREATE late;\n")
    with pytest.raises(MigrationError, match="0001_z comes before 0002_b"):
        apply(store, folder)

    (folder / "0001_z.sql").unlink()
    (folder / "0002_b.sql").unlink()
    with pytest.raises(MigrationError, match="the store has migration 0002_b, this build has not"):
        apply(store, folder)


def test_a_misnamed_file_is_refused(folder: Path) -> None:
    """It would run in an order that nobody sees."""
    (folder / "next.sql").write_text("CREATE e;\n")

    with pytest.raises(MigrationError, match=r"named like 0001_series.sql"):
        read_migrations(folder)


@pytest.mark.parametrize("migration", read_migrations(MIGRATIONS), ids=lambda one: one.name)
def test_each_statement_of_ours_can_be_repeated(migration: Migration) -> None:
    """So that an interrupted start does no harm."""
    for statement in migration.statements("hub"):
        code = re.sub(r"--[^\n]*", "", statement).strip()
        made = re.match(r"CREATE ((TABLE|VIEW) IF NOT EXISTS|OR REPLACE VIEW) hub\.\w+", code)
        changed = re.match(
            r"ALTER TABLE hub\.\w+\s+"
            r"(MODIFY (COLUMN \w+ CODEC|SETTING)|ADD (COLUMN|INDEX) IF NOT EXISTS)",
            code,
        )
        assert made or changed, statement
