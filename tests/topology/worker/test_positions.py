"""Where a partition begins."""

import pytest

from topology.worker.positions import Found, Start, start_of


@pytest.mark.parametrize(
    ("found", "checkpoint", "rewound", "start"),
    [
        # The log            0         1         2
        #                    0123456789012345678901
        # new                ......................
        (Found(0, 22, None), None, 0, Start(0)),
        # checkpoint at 9    ---------.............  whatever the group has committed
        (Found(0, 22, 9), 9, 0, Start(9)),
        (Found(0, 22, 5), 9, 0, Start(9)),
        (Found(0, 22, 20), 9, 0, Start(9)),
        (Found(9, 22, 9), 9, 9, Start(9)),
        # gone up to 15      ---------xxxxxx.......
        (Found(15, 22, 9), 9, 15, Start(15, n_lost=6, is_blind=True)),
        # no checkpoint      ---------------.......  committed 15, its open windows begin at 8
        (Found(0, 22, 15), None, 8, Start(8, is_blind=True)),
        (Found(10, 22, 15), None, 8, Start(10, is_blind=True)),
        (Found(0, 22, 15), None, 0, Start(0)),
        (Found(18, 22, 15), None, 18, Start(18, n_lost=3, is_blind=True)),
        # no checkpoint, nothing committed, and the log does not begin at 0
        (Found(18, 22, None), None, 18, Start(18, n_lost=18, is_blind=True)),
        # the log ends before the checkpoint: it is another one
        (Found(0, 4, 9), 9, 0, Start(0, n_lost=5, is_blind=True, keeps_state=False)),
    ],
)
def test_a_partition_begins_where_its_state_ends(
    found: Found, checkpoint: int | None, rewound: int, start: Start
) -> None:
    assert start_of(found, checkpoint, rewound) == start
