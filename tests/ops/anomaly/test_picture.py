"""The picture of a backtest."""

import numpy as np

from ops.anomaly.picture import PLAIN, Track, draw

NAN = float("nan")


def track(values: list[float], alarm_at: int) -> Track:
    n = len(values)
    alarms = np.zeros(n, dtype=np.float32)
    alarms[alarm_at] = 2
    return Track(np.array(values), np.full(n, 0.0), np.full(n, 2.0), alarms, alarms)


def test_values_bands_alarms_and_scores_have_their_places() -> None:
    shown = draw(track([1, 1, 10, NAN, 1], 2), 5, 5, PLAIN)

    assert shown == [
        "     10.45 |  X  ",
        "           |     ",
        "           |     ",
        "           |.....",
        "      0.55 |oo..o",
        "     score |  !  ",
    ]


def test_many_windows_share_a_column() -> None:
    shown = draw(track([1.0] * 50 + [10.0] + [1.0] * 49, 50), 10, 5, PLAIN)

    assert {len(line) for line in shown} == {11 + 1 + 10}
    assert shown[0].endswith("|     X    ")


def test_a_series_without_numbers_has_no_picture() -> None:
    assert draw(track([NAN, NAN], 0), 10, 5, PLAIN) == []
