"""Configuration files of the embedded engine: small pools and caches, and the row policies."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self
from xml.sax.saxutils import escape

from topology.budget import StoreBudget
from topology.settings import Settings

# Whoever reads through a handle that carries a tenant's name as log_comment sees its rows only;
# a handle without (the operator's own) sees all. The comment is the only setting of free text
# that a read-only handle keeps for life and a policy can read.
TENANT_SETTING = "log_comment"
ROW_FILTER = f"getSetting('{TENANT_SETTING}') = '' OR tenant = getSetting('{TENANT_SETTING}')"
OPERATOR_FILTER = f"getSetting('{TENANT_SETTING}') = ''"

TENANT_TABLES = (
    "stored_series",
    "stored_samples",
    "stored_rollups",
    "stored_scores",
    "stored_anomalous",
    "stored_anomalies",
    "stored_audit",
    "stored_rejections",
)
OPERATOR_TABLES = ("migrations", "stored_key_uses")

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Bounds:
    """Memory of the engine and of a large cache in it, and what merges leave free on the disk."""

    memory_bytes: int = 1 << 30
    cache_bytes: int = 64 * _MIB
    keep_free_bytes: int = 0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the bounds of a store's engine."""
        budget = StoreBudget.of(settings.memory_bytes)
        # As much as the gate leaves free is too much for a merge to need: half of it.
        return cls(budget.engine_bytes, budget.cache_bytes, settings.min_free_bytes // 2)

    def settings(self) -> dict[str, int]:
        """Return the server's settings."""
        return {
            # Of queries, inserts and merges together; the largest query fails first.
            "max_server_memory_usage": self.memory_bytes,
            "mark_cache_size": self.cache_bytes,
            "primary_index_cache_size": self.cache_bytes,
            "storage_configuration/disks/default/keep_free_space_bytes": self.keep_free_bytes,
        }


# One machine, shared with Kafka and four Python processes: what an idle engine need not hold
# is not held. Two merges at a time keep up with several hundred thousand rows a second.
_SERVER: dict[str, int | str] = {
    "logger/level": "fatal",
    "background_pool_size": 2,
    "background_merges_mutations_concurrency_ratio": 2,
    "background_common_pool_size": 2,
    "background_schedule_pool_size": 2,
    "max_thread_pool_size": 500,
    "max_thread_pool_free_size": 4,
    "asynchronous_metrics_update_period_s": 3600,
    # 50 ms by default: a fifth of the idle engine's CPU; memory limits count by themselves.
    "memory_worker_period_ms": 500,
    "index_mark_cache_size": 8 * _MIB,
    "uncompressed_cache_size": 0,
    "query_condition_cache_size": 8 * _MIB,
    "compiled_expression_cache_size": 16 * _MIB,
    "merge_tree/number_of_free_entries_in_pool_to_execute_mutation": 1,
}


def write_engine_config(folder: Path, database: str, bounds: Bounds) -> Path:
    """Write config.xml and users.xml into the folder; return the path of config.xml."""
    folder.mkdir(parents=True, exist_ok=True)
    users = folder.absolute() / "users.xml"
    users.write_text(_users_xml(database))
    config = folder.absolute() / "config.xml"
    config.write_text(_config_xml(users, bounds))
    return config


def _config_xml(users: Path, bounds: Bounds) -> str:
    lines = [f"  <users_config>{escape(str(users))}</users_config>"]
    for path, value in (_SERVER | bounds.settings()).items():
        *parents, name = path.split("/")
        opened = "".join(f"<{parent}>" for parent in parents)
        closed = "".join(f"</{parent}>" for parent in reversed(parents))
        lines.append(f"  {opened}<{name}>{value}</{name}>{closed}")
    return "\n".join(["<clickhouse>", *lines, "</clickhouse>", ""])


def _users_xml(database: str) -> str:
    filters = dict.fromkeys(TENANT_TABLES, ROW_FILTER)
    filters |= dict.fromkeys(OPERATOR_TABLES, OPERATOR_FILTER)
    policies = "\n".join(
        f"        <{table}><filter>{escape(condition)}</filter></{table}>"
        for table, condition in filters.items()
    )
    return f"""<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <password></password>
      <networks><ip>::/0</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <databases>
        <{database}>
{policies}
        </{database}>
      </databases>
    </default>
  </users>
</clickhouse>
"""
