"""Tiers and limits, from files and from administrators."""

from pathlib import Path

import pytest

from schemas.errors import InvalidRecord
from topology.settings import Settings, SettingsError
from topology.tenants import LIMIT_NAMES, built_in_tiers, load_tiers, parse_tiers

NEEDED = "[free]\nretention_days = 1\n[enterprise]\nretention_days = 2\n"


def test_the_built_in_tiers_grow_in_every_limit() -> None:
    """A larger tier never has less than a smaller one."""
    tiers = built_in_tiers()
    order = [tiers[name].limits for name in ("free", "pro", "team", "enterprise")]

    assert set(tiers) == {"free", "pro", "team", "enterprise"}
    for name in LIMIT_NAMES:
        values = [limits.get(name) for limits in order]
        known = [value for value in values if value is not None]
        assert known == sorted(known), name


def test_a_file_of_ones_own_takes_the_place_of_the_built_in_tiers(tmp_path: Path) -> None:
    file = tmp_path / "tiers.toml"
    file.write_text(NEEDED + "[gold]\nretention_days = 3\nmax_labels = 5\n")

    tiers = load_tiers(Settings(tiers=file))

    assert set(tiers) == {"free", "enterprise", "gold"}
    assert tiers["gold"].limits == {"retention_days": 3, "max_labels": 5}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[free", "not TOML"),
        ("[free]\nretention_days = 1", r"no tier \[enterprise\]"),
        (NEEDED + "[pro]\nretention = 1", r"tier \[pro\]: retention: no such limit"),
        (NEEDED + "[pro]\nmax_labels = 3", "retention_days"),
        (NEEDED + "[pro]\nretention_days = 0", "retention_days"),
        (NEEDED.replace("[free]", "pro = 1\n[free]"), "limits stand in a table"),
    ],
)
def test_a_wrong_file_is_refused_with_the_tier_and_the_limit(text: str, words: str) -> None:
    with pytest.raises(InvalidRecord, match=words):
        parse_tiers(text)


def test_a_file_that_is_missing_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"tiers=.*nowhere.toml"):
        load_tiers(Settings(tiers=tmp_path / "nowhere.toml"))
