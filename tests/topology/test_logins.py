"""Bursts of refused logins are told once a minute and address."""

from topology.logins import BURST, MAX_ADDRESSES, WINDOW_MS, RefusedLogins

NOW_MS = 1_800_000_000_000


def test_a_burst_is_told_once_when_its_minute_is_over() -> None:
    logins = RefusedLogins()
    logins.take(NOW_MS)
    for _ in range(BURST):
        logins.add("10.0.0.1", "unknown API key")
    for _ in range(BURST - 1):
        logins.add("10.0.0.2", "no key")

    early = logins.take(NOW_MS + WINDOW_MS - 1)
    (burst,) = logins.take(NOW_MS + WINDOW_MS)

    assert early == []
    assert (burst.action, burst.address) == ("login.refused", "10.0.0.1")
    assert "10 requests refused within a minute" in burst.details
    assert "unknown API key" in burst.details
    assert logins.take(NOW_MS + 2 * WINDOW_MS) == []


def test_many_addresses_take_bounded_memory_and_are_told_together() -> None:
    logins = RefusedLogins()
    logins.take(NOW_MS)
    for number in range(MAX_ADDRESSES + BURST):
        logins.add(str(number), "no key")

    (burst,) = logins.take(NOW_MS + WINDOW_MS)

    assert len(logins._counts) == 0
    assert burst.address == "others"
