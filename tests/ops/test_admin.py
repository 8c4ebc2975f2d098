"""Limits as they are given on the command line."""

import pytest

from ops.admin import LimitError, parse_limits


def test_limits_are_numbers_words_of_their_own_or_names_of_labels() -> None:
    given = ["max_labels=1_000", "sketches=false", "active_series=none", "ha_cluster_label=cluster"]

    assert parse_limits(given) == {
        "max_labels": 1000,
        "sketches": False,
        "active_series": None,
        "ha_cluster_label": "cluster",
    }


@pytest.mark.parametrize("text", ["max_labels=many", "ha_cluster_label=a b", "ha_cluster_label"])
def test_what_is_none_of_them_is_refused(text: str) -> None:
    with pytest.raises(LimitError, match="give NAME=VALUE"):
        parse_limits([text])
