"""Elections of replicas: one is taken, another after half a minute, and all edges agree."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.election import (
    FAILOVER_MS,
    FORGET_MS,
    MAX_CLUSTERS,
    Cluster,
    Election,
    Leader,
)

C = Cluster("acme", "eu")


def test_the_first_replica_stays_until_it_is_silent_for_half_a_minute() -> None:
    """
    s     0   10   30        41        71     72
    a     x        x                          x: too late
    b         -         30 s -  taken: x
    """
    election = Election()
    steps = [
        *(("a", 0, True), ("b", 10, False), ("a", 30, True)),
        *(("b", 60, False), ("b", 61, True), ("a", 72, False), ("b", 80, True)),
    ]
    for replica, at_s, taken in steps:
        assert election.accepts(C, replica, at_s * 1000) is taken, (replica, at_s)


def test_clusters_and_tenants_elect_for_themselves() -> None:
    election = Election()
    election.accepts(C, "a", 0)

    assert election.accepts(Cluster("acme", "us"), "b", 0)
    assert election.accepts(Cluster("other", "eu"), "b", 0)
    assert not election.accepts(C, "b", 0)


def test_what_another_edge_has_elected_holds_here() -> None:
    """The other one hears a, here comes only b: it waits until a is silent there, too."""
    here, there = Election(), Election()
    there.accepts(C, "a", 0)
    exchange(there, here, 0)
    assert not here.accepts(C, "b", FAILOVER_MS)

    there.accepts(C, "a", 20_000)
    exchange(there, here, 20_000)
    assert not here.accepts(C, "b", 20_000 + FAILOVER_MS)
    assert here.accepts(C, "b", 20_001 + FAILOVER_MS)
    exchange(here, there, 20_001 + FAILOVER_MS)
    assert not there.accepts(C, "a", 20_002 + FAILOVER_MS)


def test_of_two_elections_at_once_the_first_one_holds_at_both() -> None:
    one, two = Election(), Election()
    one.accepts(C, "a", 5)
    two.accepts(C, "b", 4)
    exchange(one, two, 10)
    exchange(two, one, 10)

    assert (one.accepts(C, "a", 11), two.accepts(C, "a", 11)) == (False, False)
    assert (one.accepts(C, "b", 11), two.accepts(C, "b", 11)) == (True, True)


def test_memory_is_bounded() -> None:
    election = Election()
    for at in range(MAX_CLUSTERS):
        election.accepts(Cluster("acme", str(at)), "a", 0)
    other = Cluster("other", "eu")

    assert election.accepts(C, "a", 0)
    assert election.accepts(C, "b", 0), "no room, so nothing is left out"
    assert (election.accepts(other, "a", 0), election.accepts(other, "b", 0)) == (True, False)
    assert election.accepts(C, "a", FORGET_MS)
    assert not election.accepts(C, "b", FORGET_MS)


def test_what_other_edges_tell_takes_half_of_the_room() -> None:
    election = Election()
    for at in range(MAX_CLUSTERS):
        election.hear(Cluster("acme", str(at)), Leader("x", 0, 0), 0)

    taken = [election.accepts(Cluster("acme", f"own {at}"), "a", 0) for at in range(1_000)]
    doubled = [election.accepts(Cluster("acme", f"own {at}"), "b", 0) for at in range(1_000)]

    assert (all(taken), any(doubled)) == (True, False)


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from("ab"), st.integers(0, 20_000)), max_size=40
    )
)
def test_edges_that_have_told_each_other_agree(steps: list[tuple[int, str, int]]) -> None:
    """Whatever came where: after an exchange each edge takes the same replica."""
    edges = [Election() for _ in range(3)]
    now_ms = 0
    for at, replica, pause_ms in steps:
        now_ms += pause_ms
        edges[at].accepts(C, replica, now_ms)
        news = [(edge, edge.take()) for edge in edges]
        for (edge, told), other in itertools.product(news, edges):
            if edge is not other:
                for cluster, leader in told:
                    other.hear(cluster, leader, now_ms)
        taken = {tuple(one.accepts(C, name, now_ms) for name in "ab") for one in edges}
        assert len(taken) == 1


def exchange(of: Election, to: Election, now_ms: int) -> None:
    for cluster, leader in of.take():
        assert isinstance(leader, Leader)
        to.hear(cluster, leader, now_ms)
