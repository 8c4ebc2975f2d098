"""Migrations of the store: numbered SQL files, each applied once and recorded."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

MIGRATIONS = Path(__file__).parent / "migrations"
_FILE_NAME = re.compile(r"\d{4}_[a-z0-9_]+\.sql")
_STATEMENT_END = re.compile(r";[ \t]*$", re.MULTILINE)


class Store(Protocol):
    """What migrations need of a client: its database, commands and queries."""

    @property
    def database(self) -> str | None:
        """Name of the database that the client works in."""

    def command(self, cmd: str) -> object:
        """Run a statement without result."""

    def raw_query(self, query: str, *, fmt: str) -> bytes:
        """Run a query and return its result in the format."""


class MigrationError(Exception):
    """The migrations and what the store has recorded contradict each other."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its name orders it, its hash tells whether it was edited after being applied."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Hash of the file as it stands."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def statements(self, database: str) -> Iterator[str]:
        """Yield the statements; each ends with a semicolon at the end of a line."""
        for part in _STATEMENT_END.split(self.text.replace("{database}", database)):
            if _without_comments(part):
                yield part.strip()


def apply(client: Store, folder: Path = MIGRATIONS) -> list[str]:
    """Apply the migrations that are not recorded yet, in order; return their names.

    Each file's statements can be run again (IF NOT EXISTS), and a file is recorded after its
    last one: interrupted half-way, the next start does the file again.
    Raises MigrationError if an applied file was edited or is missing, or the store is newer.
    """
    database = client.database or "default"
    client.command(
        f"CREATE TABLE IF NOT EXISTS {database}.migrations "
        "(name String, sha256 String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) "
        "ENGINE = ReplacingMergeTree ORDER BY name"
    )
    recorded = _recorded(client, database)
    migrations = read_migrations(folder)
    check(migrations, recorded)
    pending = [migration for migration in migrations if migration.name not in recorded]
    for migration in pending:
        for statement in migration.statements(database):
            client.command(statement)
        client.command(
            f"INSERT INTO {database}.migrations (name, sha256) "  # noqa: S608 - checked names
            f"VALUES ('{migration.name}', '{migration.sha256}')"
        )
    return [migration.name for migration in pending]


def read_migrations(folder: Path) -> list[Migration]:
    """Read the files of the folder in order. Raises MigrationError for a misnamed one."""
    paths = sorted(folder.glob("*.sql"))
    for path in paths:
        if not _FILE_NAME.fullmatch(path.name):
            raise MigrationError(f"{path}: a migration is named like 0001_series.sql")
    return [Migration(path.stem, path.read_text()) for path in paths]


def check(migrations: list[Migration], recorded: dict[str, str]) -> None:
    """Raise MigrationError unless the recorded ones are the first of the files, unedited."""
    known = {migration.name: migration.sha256 for migration in migrations}
    for name, sha256 in sorted(recorded.items()):
        if name not in known:
            raise MigrationError(
                f"the store has migration {name}, this build has not: "
                "it was written by a newer build; use that one"
            )
        if known[name] != sha256:
            raise MigrationError(
                f"migration {name} was edited after it had been applied "
                f"(recorded {sha256[:12]}, file {known[name][:12]}): "
                "restore the file and write the change as a new migration"
            )
    newest = max(recorded, default="")
    for migration in migrations:
        if migration.name < newest and migration.name not in recorded:
            raise MigrationError(
                f"migration {migration.name} comes before {newest}, which is already applied: "
                "give it a higher number"
            )


def _recorded(client: Store, database: str) -> dict[str, str]:
    rows = client.raw_query(
        f"SELECT name, sha256 FROM {database}.migrations FINAL ORDER BY name",  # noqa: S608 - own name
        fmt="TabSeparated",
    )
    return dict(line.split("\t") for line in rows.decode().splitlines())


def _without_comments(sql: str) -> str:
    return re.sub(r"--[^\n]*", "", sql).strip()
