"""The broker's files: fetched, checked and mended."""

import os
import shutil
import threading
from pathlib import Path

import pytest

from ops.broker.files import (
    BrokerFilesError,
    Jar,
    broker_home,
    class_path,
    ensure_files,
    is_complete,
    locked_jars,
)
from topology.settings import load_settings

pytestmark = pytest.mark.broker


class Shelf:
    """A place of good jars that stands for Maven Central; it counts what was taken."""

    def __init__(self, cache_dir: Path) -> None:
        self._libs = broker_home(cache_dir) / "libs"
        self.taken: list[str] = []

    def __call__(self, jar: Jar, folder: Path) -> Path:
        folder.mkdir(parents=True)
        self.taken.append(jar.name)
        try:
            os.link(self._libs / jar.name, folder / jar.name)
        except OSError:  # another file system
            shutil.copy(self._libs / jar.name, folder)
        return folder / jar.name


@pytest.fixture(scope="session")
def good_cache() -> Path:
    """The user's cache, complete; the only place that may need the network."""
    cache_dir = load_settings().cache_dir
    ensure_files(cache_dir)
    return cache_dir


@pytest.fixture
def shelf(good_cache: Path) -> Shelf:
    return Shelf(good_cache)


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, shelf: Shelf) -> Path:
    """A complete cache of the test's own, of hard links."""
    folder = tmp_path_factory.mktemp("cache")
    ensure_files(folder, download=shelf)
    shelf.taken.clear()
    return folder


def rewrite(path: Path, content: bytes) -> None:
    """Replace a file; writing into it would change the good one that it is linked to."""
    path.unlink()
    path.write_bytes(content)


def test_a_complete_cache_is_left_alone(cache: Path, shelf: Shelf) -> None:
    """A second start fetches nothing and gives the jars in the order of the list."""
    paths = ensure_files(cache, download=shelf)

    assert shelf.taken == []
    assert [path.name for path in paths] == [jar.name for jar in locked_jars()]
    assert all(path.is_file() for path in paths)


def test_a_damaged_jar_is_fetched_again(cache: Path, shelf: Shelf) -> None:
    """One changed byte with the old size is noticed, and only that jar is fetched."""
    damaged = class_path(cache)[7]
    content = bytearray(damaged.read_bytes())
    content[100] ^= 1
    rewrite(damaged, bytes(content))

    assert not is_complete(cache)
    ensure_files(cache, download=shelf)

    assert shelf.taken == [damaged.name]
    assert is_complete(cache)
    assert damaged.read_bytes() != bytes(content)


def test_a_truncated_and_a_missing_jar_are_fetched_again(cache: Path, shelf: Shelf) -> None:
    """What a killed copy or a cleaner left is mended."""
    truncated, missing = class_path(cache)[0], class_path(cache)[1]
    rewrite(truncated, truncated.read_bytes()[:1000])
    missing.unlink()

    ensure_files(cache, download=shelf)

    assert sorted(shelf.taken) == sorted([truncated.name, missing.name])


def test_without_its_stamp_a_good_cache_is_checked_and_kept(cache: Path, shelf: Shelf) -> None:
    """The full check finds every hash right and fetches nothing."""
    (broker_home(cache) / "checked.json").unlink()

    assert not is_complete(cache)
    ensure_files(cache, download=shelf)

    assert shelf.taken == []
    assert is_complete(cache)


def test_a_wrong_download_is_refused(cache: Path) -> None:
    """A jar whose hash is not the committed one never reaches the class path."""
    missing = class_path(cache)[3]
    missing.unlink()

    def evil(_jar: Jar, folder: Path) -> Path:
        folder.mkdir(parents=True)
        (folder / "evil.jar").write_bytes(b"not what was asked for")
        return folder / "evil.jar"

    with pytest.raises(BrokerFilesError, match=f"{missing.name}.*SHA-256.*jars.lock"):
        ensure_files(cache, download=evil)

    assert not missing.exists()


def test_without_a_network_the_error_says_what_to_do(tmp_path: Path) -> None:
    """The message names the file, the cause and the way without Maven Central."""

    def unplugged(_jar: Jar, _folder: Path) -> Path:
        raise ConnectionError("network is unreachable")

    with pytest.raises(BrokerFilesError, match=r"network is unreachable.*OBSERVAI_KAFKA"):
        ensure_files(tmp_path, download=unplugged)


def test_two_fetches_at_once_fetch_each_jar_once(tmp_path: Path, shelf: Shelf) -> None:
    """The second waits for the first and finds all done."""
    threads = [
        threading.Thread(target=ensure_files, args=(tmp_path,), kwargs={"download": shelf})
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(shelf.taken) == sorted(jar.name for jar in locked_jars())
    assert is_complete(tmp_path)


def test_progress_ends_with_everything_done(tmp_path: Path, shelf: Shelf) -> None:
    """Reported bytes rise to the total of the list."""
    reports: list[tuple[int, int]] = []

    ensure_files(tmp_path, lambda done, total: reports.append((done, total)), shelf)

    total = sum(jar.size for jar in locked_jars())
    assert reports[-1] == (total, total)
    assert [done for done, _ in reports] == sorted(done for done, _ in reports)


def test_the_lock_holds_one_kafka_and_a_log_binding() -> None:
    """A resolution that mixed versions (see ops/broker/lock.py) must not be committed."""
    names = {jar.name for jar in locked_jars()}

    kafkas = {name.rsplit("-", 1)[1] for name in names if name.startswith("kafka")}
    assert kafkas == {"4.4.0.jar"}
    core = next(name for name in names if name.startswith("log4j-core"))
    assert core.replace("log4j-core", "log4j-slf4j-impl") in names
