"""Tenants: what each may use, by its tier, its own overrides and the deployment's settings."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from pipeline.token_bucket import Rate
from schemas.config import LimitValue, TenantRecord, TierRecord
from schemas.errors import InvalidRecord
from schemas.samples import FINE_WINDOWS, SKETCHES
from topology.settings import Settings, SettingsError

DEFAULT_TENANT = "default"
DEFAULT_TIER = "enterprise"
# What a tenant is held to whose tier is not known: one that was published by a newer build.
_LEAST_TIER = "free"
_BURST_S = 10
_BUILT_IN = Path(__file__).parent / "tiers.toml"


Positive = Annotated[int, Meta(ge=1)]
LabelName = Annotated[str, Meta(min_length=1, max_length=200)]


class Tenant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An organisation whose data nobody else sees, and what it may use.

    Fields after the tier are the limits, by the names that tiers and overrides use. None: no
    limit, or that of the settings.
    """

    name: str
    tier: str
    retention_days: Annotated[
        int,
        Meta(
            ge=1,
            le=3650,
            description="days that samples and windows are kept; a change applies to new rows",
        ),
    ]
    sketches: Annotated[bool, Meta(description="quantiles")] = True
    fine_windows: Annotated[bool, Meta(description="windows of 10 s, too")] = False
    max_labels: Annotated[
        Positive | None, Meta(description="labels of a series, its name included")
    ] = None
    max_label_bytes: Annotated[
        Positive | None, Meta(description="bytes of a label's name or value")
    ] = None
    samples_per_s: Annotated[
        Positive | None, Meta(description="samples a second in the long run")
    ] = None
    samples_burst: Annotated[
        Positive | None,
        Meta(description="samples at once after a silence; left out: those of ten seconds"),
    ] = None
    active_series: Annotated[
        Positive | None, Meta(description="series with a sample within about an hour")
    ] = None
    new_series_per_hour: Annotated[
        Positive | None, Meta(description="series that were not active before")
    ] = None

    query_timeout_s: Annotated[
        Positive | None, Meta(description="longest run of one SQL query")
    ] = None
    query_memory_bytes: Annotated[
        Annotated[int, Meta(ge=1 << 20)] | None, Meta(description="memory of one SQL query")
    ] = None
    query_max_rows: Annotated[Positive | None, Meta(description="rows of one SQL result")] = None
    ha_cluster_label: Annotated[
        LabelName | None, Meta(description="label of what sends in several replicas")
    ] = None
    ha_replica_label: Annotated[
        LabelName | None,
        Meta(description="label of a replica: one of a cluster is taken, and the label dropped"),
    ] = None

    @property
    def has_pairs(self) -> bool:
        """Whether replicas that send the same are told apart."""
        return self.ha_cluster_label is not None and self.ha_replica_label is not None

    @property
    def sample_flags(self) -> int:
        """What the window stage is told with each block of its samples."""
        return SKETCHES * self.sketches | FINE_WINDOWS * self.fine_windows

    @property
    def rate(self) -> Rate | None:
        """How many samples it may send, over all edges."""
        if self.samples_per_s is None:
            return None
        return Rate(self.samples_per_s, self.samples_burst or _BURST_S * self.samples_per_s)

    @property
    def limits(self) -> dict[str, LimitValue]:
        """All limits by name."""
        return {name: getattr(self, name) for name in LIMIT_NAMES}


LIMIT_NAMES = Tenant.__struct_fields__[2:]
# Limits that a setting bounds, each by its own name.
_SETTING_NAMES = (
    *("max_labels", "max_label_bytes", "retention_days"),
    *("query_timeout_s", "query_memory_bytes", "query_max_rows"),
)


class WrongLimits(ValueError):
    """Limits that no tenant can have; the text names the limit and what is possible."""


def tenant_of(
    record: TenantRecord, tiers: Mapping[str, TierRecord], caps: Mapping[str, int]
) -> Tenant:
    """Return a tenant with what holds for it; caps: the most that the settings allow, by name.

    Raises WrongLimits.
    """
    tier = tiers.get(record.tier) or tiers[_LEAST_TIER]
    given = tier.limits | record.defaults | record.overrides
    # What a newer build has published beside them means nothing here.
    limits: dict[str, LimitValue] = {k: v for k, v in given.items() if k in LIMIT_NAMES}
    for name, most in caps.items():
        limit = limits.get(name)
        limits[name] = min(limit, most) if isinstance(limit, int) else most
    return check_limits(record.name, record.tier, limits)


def check_limits(name: str, tier: str, limits: Mapping[str, LimitValue]) -> Tenant:
    """Return the tenant that has these limits. Raises WrongLimits."""
    unknown = sorted(set(limits) - set(LIMIT_NAMES))
    if unknown:
        raise WrongLimits(f"{unknown[0]}: no such limit; there are {', '.join(LIMIT_NAMES)}")
    try:
        return msgspec.convert({"name": name, "tier": tier, **limits}, Tenant)
    except msgspec.ValidationError as error:
        raise WrongLimits(str(error).replace("`$.", "`")) from None


def caps_of(settings: Settings) -> dict[str, int]:
    """Return the most that the settings allow any tenant, by the limits' names."""
    return {name: getattr(settings, name) for name in _SETTING_NAMES}


def tenant_entry(tenant: Tenant) -> TenantRecord:
    """Return an entry that gives exactly this tenant, whatever its tier says."""
    return TenantRecord(tenant.name, tenant.tier, tenant.limits)


def default_tenant(settings: Settings) -> TenantRecord:
    """Return the tenant that a first start makes."""
    given: dict[str, LimitValue] = {
        "sketches": settings.sketches,
        "fine_windows": settings.fine_windows,
    }
    return TenantRecord(DEFAULT_TENANT, DEFAULT_TIER, defaults=given)


def built_in_tiers() -> dict[str, TierRecord]:
    """Return the tiers that come with this build."""
    return parse_tiers(_BUILT_IN.read_text())


def load_tiers(settings: Settings) -> dict[str, TierRecord]:
    """Return the deployment's tiers: of its file, else the built-in ones. Raises SettingsError."""
    if settings.tiers is None:
        return built_in_tiers()
    try:
        return parse_tiers(settings.tiers.read_text())
    except (OSError, InvalidRecord) as error:
        raise SettingsError(f"tiers={settings.tiers}: {error}") from None


def parse_tiers(text: str) -> dict[str, TierRecord]:
    """Read tiers from TOML, a table each. Raises InvalidRecord that names tier and limit."""
    try:
        tables: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidRecord(f"not TOML: {error}") from None
    for needed in (_LEAST_TIER, DEFAULT_TIER):
        if needed not in tables:
            raise InvalidRecord(f"no tier [{needed}]: it is needed, others may be left out")
    for name, limits in tables.items():
        if not isinstance(limits, dict):
            raise InvalidRecord(f"{name} = {limits!r}: limits stand in a table, like [{name}]")
        try:
            check_limits("tenant", name, limits)
        except WrongLimits as error:
            raise InvalidRecord(f"tier [{name}]: {error}") from None
    return {name: TierRecord(name, limits) for name, limits in tables.items()}
