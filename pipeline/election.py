"""Which replica of a pair is taken: one per cluster, another when it has fallen silent."""

from typing import NamedTuple

FAILOVER_MS = 30_000
FORGET_MS = 3_600_000
# Of a tenant; those that other edges tell of have half of it.
MAX_CLUSTERS = 2_000
_LOOK_AGAIN_MS = 60_000


class Cluster(NamedTuple):
    """What sends in several replicas."""

    tenant: str
    name: str


class Leader(NamedTuple):
    """The elected replica, since when, and when something of it came last."""

    replica: str
    since_ms: int
    heard_ms: int


class Election:
    """The leaders of all clusters, as far as this edge knows; others tell it of theirs.

    Of two that are alive the one that was elected first stays, so all edges come to the same.
    Of a tenant's clusters beyond MAX_CLUSTERS all replicas are taken.
    """

    def __init__(self) -> None:
        self._tenants: dict[str, _Leaders] = {}
        # Elected or heard since the last `take`, here and not at another edge.
        self._news: set[Cluster] = set()
        self._has_elected = False

    def accepts(self, cluster: Cluster, replica: str, now_ms: int) -> bool:
        """Return whether samples of a replica are taken now; it may get elected by that."""
        leaders = self._of(cluster)
        leader = leaders.by_name.get(cluster.name)
        if leader is not None and leader.replica != replica:
            if now_ms - leader.heard_ms <= FAILOVER_MS:
                return False
            leader = None
        if leader is None:
            if not leaders.has_room(cluster.name, now_ms, MAX_CLUSTERS):
                return True
            self._has_elected = True
        since_ms = leader.since_ms if leader else now_ms
        heard_ms = max(now_ms, leader.heard_ms) if leader else now_ms
        leaders.by_name[cluster.name] = Leader(replica, since_ms, heard_ms)
        self._news.add(cluster)
        return True

    def hear(self, cluster: Cluster, theirs: Leader, now_ms: int) -> None:
        """Take in what another edge says of a cluster."""
        leaders = self._of(cluster)
        ours = leaders.by_name.get(cluster.name)
        if ours is None:
            if leaders.has_room(cluster.name, now_ms, MAX_CLUSTERS // 2):
                leaders.by_name[cluster.name] = theirs
        elif ours.replica == theirs.replica:
            leaders.by_name[cluster.name] = Leader(
                ours.replica,
                min(ours.since_ms, theirs.since_ms),
                max(ours.heard_ms, theirs.heard_ms),
            )
        elif _stays(theirs, ours):
            leaders.by_name[cluster.name] = theirs

    def take(self) -> list[tuple[Cluster, Leader]]:
        """Return what to tell other edges: leaders that were heard here since the last call."""
        told = [
            (cluster, leader)
            for cluster in self._news
            if (leader := self._of(cluster).by_name.get(cluster.name)) is not None
        ]
        self._news.clear()
        self._has_elected = False
        return told

    @property
    def has_elected(self) -> bool:
        """Whether there is an election that others should be told of at once."""
        return self._has_elected

    def _of(self, cluster: Cluster) -> "_Leaders":
        leaders = self._tenants.get(cluster.tenant)
        if leaders is None:
            leaders = self._tenants[cluster.tenant] = _Leaders()
        return leaders


class _Leaders:
    """The leaders of one tenant's clusters."""

    def __init__(self) -> None:
        self.by_name: dict[str, Leader] = {}
        self._look_ms = 0

    def has_room(self, name: str, now_ms: int, most: int) -> bool:
        """Whether a cluster may have a leader; where room is needed, silent ones are forgotten."""
        if name in self.by_name or len(self.by_name) < most:
            return True
        if now_ms >= self._look_ms:
            self._look_ms = now_ms + _LOOK_AGAIN_MS
            since_ms = now_ms - FORGET_MS
            self.by_name = {
                other: one for other, one in self.by_name.items() if one.heard_ms > since_ms
            }
        return len(self.by_name) < most


def _stays(one: Leader, other: Leader) -> bool:
    """Whether a leader stays against another: one that is silent does not, else the first one."""
    if abs(one.heard_ms - other.heard_ms) > FAILOVER_MS:
        return one.heard_ms > other.heard_ms
    return (one.since_ms, one.replica) < (other.since_ms, other.replica)
