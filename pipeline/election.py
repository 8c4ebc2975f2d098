"""Which replica of a pair is taken: one per cluster, another when it has fallen silent."""

from typing import NamedTuple

FAILOVER_MS = 30_000
_FORGET_MS = 3_600_000
_MAX_CLUSTERS = 10_000


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
    Beyond some thousand clusters, replicas of further ones are all taken.
    """

    def __init__(self) -> None:
        self._leaders: dict[Cluster, Leader] = {}
        # Elected or heard since the last `take`, here and not at another edge.
        self._news: set[Cluster] = set()
        self._has_elected = False

    def accepts(self, cluster: Cluster, replica: str, now_ms: int) -> bool:
        """Return whether samples of a replica are taken now; it may get elected by that."""
        leader = self._leaders.get(cluster)
        if leader is not None and leader.replica != replica:
            if now_ms - leader.heard_ms <= FAILOVER_MS:
                return False
            leader = None
        if leader is None:
            if not self._has_room(cluster, now_ms):
                return True
            self._has_elected = True
        since_ms = leader.since_ms if leader else now_ms
        heard_ms = max(now_ms, leader.heard_ms) if leader else now_ms
        self._leaders[cluster] = Leader(replica, since_ms, heard_ms)
        self._news.add(cluster)
        return True

    def hear(self, cluster: Cluster, theirs: Leader, now_ms: int) -> None:
        """Take in what another edge says of a cluster."""
        ours = self._leaders.get(cluster)
        if ours is None:
            if self._has_room(cluster, now_ms):
                self._leaders[cluster] = theirs
        elif ours.replica == theirs.replica:
            self._leaders[cluster] = Leader(
                ours.replica,
                min(ours.since_ms, theirs.since_ms),
                max(ours.heard_ms, theirs.heard_ms),
            )
        elif _stays(theirs, ours):
            self._leaders[cluster] = theirs

    def take(self) -> list[tuple[Cluster, Leader]]:
        """Return what to tell other edges: leaders that were heard here since the last call."""
        told = [
            (cluster, self._leaders[cluster]) for cluster in self._news if cluster in self._leaders
        ]
        self._news.clear()
        self._has_elected = False
        return told

    @property
    def has_elected(self) -> bool:
        """Whether there is an election that others should be told of at once."""
        return self._has_elected

    def _has_room(self, cluster: Cluster, now_ms: int) -> bool:
        if len(self._leaders) >= _MAX_CLUSTERS and cluster not in self._leaders:
            since_ms = now_ms - _FORGET_MS
            kept = {name: one for name, one in self._leaders.items() if one.heard_ms > since_ms}
            self._leaders = kept
        return len(self._leaders) < _MAX_CLUSTERS or cluster in self._leaders


def _stays(one: Leader, other: Leader) -> bool:
    """Whether a leader stays against another: one that is silent does not, else the first one."""
    if abs(one.heard_ms - other.heard_ms) > FAILOVER_MS:
        return one.heard_ms > other.heard_ms
    return (one.since_ms, one.replica) < (other.since_ms, other.replica)
