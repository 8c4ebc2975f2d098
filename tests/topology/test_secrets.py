"""The secret of the keys' digests: of a setting, or of a file that is made once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from topology.secrets import fingerprint_of, load_key_secret
from topology.settings import Settings, SettingsError, load_settings


def test_processes_that_begin_at_once_agree_on_one_secret(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: load_key_secret(settings), range(32)))

    assert len(set(found)) == 1
    assert len(found[0]) == 64
    assert settings.key_secret_file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in settings.data_dir.iterdir()] == ["key.secret"]


def test_a_setting_goes_before_the_file_and_makes_none(tmp_path: Path) -> None:
    given = Settings(data_dir=tmp_path / "data", key_secret="s" * 32)

    assert load_key_secret(given) != load_key_secret(given.model_copy(update={"key_secret": "t"}))
    assert not given.data_dir.exists()
    assert "ssss" not in repr(given)


def test_a_short_secret_is_refused_without_being_shown() -> None:
    with pytest.raises(SettingsError, match=r"key_secret: .* at least 32 characters") as refused:
        load_settings(key_secret="hunter2")

    assert "hunter2" not in str(refused.value)


def test_a_fingerprint_tells_nothing_but_equality() -> None:
    assert fingerprint_of(b"a") == fingerprint_of(b"a")
    assert fingerprint_of(b"a") != fingerprint_of(b"b")
