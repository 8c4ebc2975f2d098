"""Times as people write them on the command line."""

import pytest

from ops.times import TimeError, parse_time_ms, show_time

NOW_MS = 1_800_000_000_123


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("90s", NOW_MS - 90_000),
        ("15m", NOW_MS - 900_000),
        ("2h", NOW_MS - 7_200_000),
        (" 7d ", NOW_MS - 7 * 86_400_000),
        ("2027-01-15T08:00:00Z", 1_800_000_000_000),
        ("2027-01-15T10:00:00.5+02:00", 1_800_000_000_500),
    ],
)
def test_times_are_read(text: str, time_ms: int) -> None:
    assert parse_time_ms(text, NOW_MS) == time_ms


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("yesterday", "RFC 3339"),
        ("2w", "90s, 15m, 2h, 7d"),
        ("", "RFC 3339"),
        ("-2h", "RFC 3339"),
        ("2027-01-15T08:00:00", "no time zone"),
        ("999999999d", "before 1970"),
        ("1969-12-31T23:59:59Z", "before 1970"),
    ],
)
def test_what_is_no_time_is_refused_with_the_forms(text: str, words: str) -> None:
    with pytest.raises(TimeError, match=words):
        parse_time_ms(text, NOW_MS)


def test_a_time_is_shown_as_it_is_read() -> None:
    assert show_time(parse_time_ms("2027-01-15T08:00:00Z", NOW_MS)) == "2027-01-15T08:00:00Z"
