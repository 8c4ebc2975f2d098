"""The settings of every process: one frozen model, made once at the start."""

import os
import tomllib
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.topics import Topic

ENV_PREFIX = "OBSERVAI_"
# Set by `--config`, so that children of the supervisor read the same file.
CONFIG_FILE_ENV = "OBSERVAI_CONFIG"
# Process plumbing, no settings: see topology/runtime.py.
PLUMBING_ENVS = frozenset({CONFIG_FILE_ENV, "OBSERVAI_PARENT_PID"})

ROLE_PORTS = {"edge": 0, "store": 1, "worker": 2, "notifier": 3}
BROKER_PORT, CONTROLLER_PORT = 11, 12
FIRST_SLOT = "0"

MIB = 1 << 20


class SettingsError(Exception):
    """A setting is unknown or malformed; the text names it and a valid example."""


class Settings(BaseSettings):
    """Settings by environment `OBSERVAI_<NAME>` or a TOML file with the lower-case names."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid")

    data_dir: Path = Field(Path("observai-data"), description="folder of all state and logs")
    host: str = Field("127.0.0.1", description="address that the HTTP servers listen on")
    port: int = Field(8080, ge=1, le=65_000, description="base port; the edge's own")
    listen_port: int | None = Field(
        None, ge=1, le=65_535, description="port of this process; unset: by role from the base port"
    )
    edges: int = Field(1, ge=1, le=16, description="edges that `observai up` runs")
    workers: int = Field(1, ge=1, le=16, description="workers that `observai up` runs")
    kafka: str | None = Field(None, description="`host:port` of a broker; unset: embedded")
    kafka_heap: str = Field("512m", description="heap of the embedded broker")
    store: str | None = Field(
        None,
        description="`chdb://PATH` or `clickhouse://user:pw@host:port/db`; unset: embedded",
    )
    cache_dir: Path = Field(
        default_factory=lambda: (
            Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "observai"
        ),
        description="where the embedded broker's files are kept",
    )
    key_secret: str | None = Field(
        None,
        min_length=32,
        repr=False,
        description="under which API keys are digested, the same in all processes; unset: "
        "`DATA_DIR/key.secret`, made at the first start",
    )
    tiers: Path | None = Field(
        None,
        description="TOML file of the tiers that the store publishes; unset: built-in ones",
    )
    topic_prefix: str = Field("observai.", description="put before each topic's name")
    partitions: int = Field(
        4, ge=1, le=1024, description="of a topic at its creation; `observai partitions` grows them"
    )
    topic_retention_hours: int = Field(48, ge=1, description="how long Kafka keeps samples")
    retention_days: int = Field(
        30, ge=1, le=3650, description="most days that any tenant's samples are kept"
    )
    sketches: bool = Field(
        default=True,
        description="whether the default tenant's windows carry quantile sketches: p50, p90, p99",
    )
    fine_windows: bool = Field(
        default=False, description="whether the default tenant has windows of 10 s, too"
    )
    lateness_s: int = Field(
        10, ge=0, le=3600, description="how long a window waits for late samples"
    )
    slot: str = Field(
        FIRST_SLOT,
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="name of this process among those of its role, the same after a restart",
    )
    scores: bool = Field(default=True, description="whether workers score windows for anomalies")
    scores_stored_from: float = Field(
        0.0, ge=0, description="least score that is stored; 0: every window of every series"
    )
    scores_forget_hours: int = Field(
        72, ge=1, description="a series silent for so long is learned anew"
    )
    anomaly_rules: Path | None = Field(
        None, description="TOML file: which series are scored, and which deviations count"
    )
    checkpoint_s: int = Field(10, ge=1, le=600, description="seconds between two checkpoints")
    min_free_bytes: int = Field(
        512 * MIB,
        ge=0,
        description="with less free on its disk the embedded store pauses; with less than half, "
        "edges of an embedded broker answer 503",
    )
    max_future_s: int = Field(600, ge=0, description="a sample further ahead is refused")
    max_labels: int = Field(64, ge=1, le=1000, description="labels of a series, its name included")
    max_label_bytes: int = Field(
        4096, ge=1, le=65_535, description="bytes of a label's name or value"
    )
    max_body_bytes: int = Field(32 * MIB, ge=1024, description="HTTP body as received")
    max_decoded_bytes: int = Field(
        128 * MIB, ge=1024, le=1024 * MIB, description="HTTP body after decompression"
    )
    body_timeout_s: int = Field(
        60, ge=1, le=3600, description="an HTTP body that takes longer to arrive is cut off"
    )
    max_connections: int = Field(
        2000, ge=10, description="HTTP connections of a process; more get 503, many more are cut"
    )
    tls_cert: Path | None = Field(
        None, description="certificate chain as PEM, read again when it changes; unset: no TLS"
    )
    tls_key: Path | None = Field(None, description="its key as PEM")
    cors_origins: str | None = Field(
        None,
        description="origins that browsers may call from, such as `https://app.example.com`, with "
        "commas between them, or `*`",
    )
    trusted_proxies: str | None = Field(
        None,
        description="addresses or networks of proxies whose `X-Forwarded-For` says where a request "
        "comes from, such as `10.0.0.0/8`, with commas between them; unset: none",
    )
    access_log: bool = Field(
        default=False, description="a line for each HTTP request, without its query and headers"
    )
    memory_bytes: int = Field(
        2048 * MIB,
        ge=256 * MIB,
        description="memory that each process of a role plans with; good for 1,000,000 series, "
        "the least for 300,000",
    )
    otlp_raw_names: bool = Field(
        default=False, description="whether OTLP names stay as sent, dots and all, without units"
    )
    otlp_scope_labels: bool = Field(
        default=False, description="whether OTLP scopes become labels `otel_scope_*`"
    )
    otlp_resource_attributes: str | None = Field(
        None,
        description="OTLP resource attributes that every series gets as labels: keys, with commas",
    )
    flush_ms: int = Field(
        5, ge=0, le=1000, description="how long an edge gathers requests for one flush"
    )
    query_timeout_s: int = Field(30, ge=1, description="longest run of one SQL query")
    query_memory_bytes: int = Field(1024 * MIB, ge=MIB, description="memory of one SQL query")
    query_max_rows: int = Field(1_000_000, ge=1, description="rows of one SQL result")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")

    @field_validator("kafka")
    @classmethod
    def _is_host_and_port(cls, value: str | None) -> str | None:
        if value and not value.rpartition(":")[2].isdecimal():
            raise ValueError(f"{value!r} is not HOST:PORT, for example 127.0.0.1:9092")
        return value or None

    @field_validator("store")
    @classmethod
    def _is_store_url(cls, value: str | None) -> str | None:
        if value and not value.startswith(("chdb://", "clickhouse://")):
            raise ValueError(
                f"{value!r} is neither chdb://PATH nor clickhouse://user:pw@host:port/db"
            )
        return value or None

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, value: str | None) -> str | None:
        for one in _listed(value):
            try:
                ip_network(one)
            except ValueError as error:
                raise ValueError(f"{error}; for example 127.0.0.1 or 10.0.0.0/8") from None
        return value

    @field_validator("anomaly_rules")
    @classmethod
    def _are_rules(cls, value: Path | None) -> Path | None:
        if value is not None:
            # Compiled code and Arrow: no process without rules should pay for them.
            from topology.anomaly_rules import read_rules  # noqa: PLC0415

            read_rules(value)
        return value

    @field_validator("log_level")
    @classmethod
    def _is_level(cls, value: str) -> str:
        if value.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError(f"{value!r} is none of DEBUG, INFO, WARNING, ERROR")
        return value.upper()

    @property
    def kafka_bootstrap(self) -> str:
        """`host:port` of the broker, embedded or external."""
        return self.kafka or f"127.0.0.1:{self.port + BROKER_PORT}"

    @property
    def store_url(self) -> str:
        """Where the store role opens its engine."""
        return self.store or f"chdb://{self.data_dir.absolute() / 'chdb'}"

    @property
    def key_secret_file(self) -> Path:
        """File that holds the secret under which keys are digested, where no setting gives it."""
        return self.data_dir / "key.secret"

    @property
    def key_file(self) -> Path:
        """File that holds the default tenant's key."""
        return self.data_dir / "default.key"

    def topic(self, topic: Topic) -> str:
        """Full name of a topic in this deployment."""
        return self.topic_prefix + topic

    def role_port(self, role: str) -> int:
        """Port of a role's HTTP server, of its first process where there are several."""
        return self.port + ROLE_PORTS[role]

    def process_name(self, role: str) -> str:
        """Name of this process in logs: its role, and its slot where it is not the first."""
        return role if self.slot == FIRST_SLOT else f"{role}-{self.slot}"

    def role_url(self, role: str) -> str:
        """URL of a role's HTTP server as clients on this machine reach it."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 - compared
        scheme = "http" if self.tls_cert is None else "https"
        return f"{scheme}://{host}:{self.role_port(role)}"

    @property
    def origins(self) -> list[str]:
        """The allow-list of origins."""
        return _listed(self.cors_origins)

    @property
    def proxies(self) -> list[str]:
        """The addresses and networks whose word is taken for where a request comes from."""
        return _listed(self.trusted_proxies)


def _listed(value: str | None) -> list[str]:
    return [one.strip() for one in (value or "").split(",") if one.strip()]


def load_settings(config_file: Path | None = None, **overrides: Any) -> Settings:
    """Build the settings: overrides win over the environment, that over the TOML file.

    Raises SettingsError with the key's name and what is valid.
    """
    _refuse_unknown_environment()
    named = config_file or os.environ.get(CONFIG_FILE_ENV)
    from_file = _read_toml(Path(named)) if named else {}
    from_environment = {
        name: value
        for name in Settings.model_fields
        if (value := os.environ.get(ENV_PREFIX + name.upper())) is not None
    }
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**(from_file | from_environment | given))
    except ValidationError as error:
        raise SettingsError("; ".join(_explain(item) for item in error.errors())) from None


def _refuse_unknown_environment() -> None:
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields} | PLUMBING_ENVS
    for name in os.environ:
        if name.startswith(ENV_PREFIX) and name not in known:
            raise SettingsError(
                f"{name}: no such setting; known are {', '.join(sorted(known - PLUMBING_ENVS))}"
            )


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsError(f"config file {path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"config file {path} is not TOML: {error}") from None


def _explain(item: Any) -> str:
    name = str(item["loc"][0])
    if name not in Settings.model_fields:
        return f"{name}: no such setting; known are {', '.join(sorted(Settings.model_fields))}"
    if not Settings.model_fields[name].repr:
        return f"{name}: {item['msg']} (the value is not shown; for example: openssl rand -hex 32)"
    default = Settings.model_fields[name].get_default(call_default_factory=True)
    example = default if default is not None else "see its description"
    return f"{name}={item['input']!r}: {item['msg']} (default: {example})"
