"""The embedded broker's jars: fetched once into the user's cache, checked against jars.lock."""

import contextlib
import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

KAFKA_VERSION = "4.4.0"
LOCK_FILE = Path(__file__).with_name("jars.lock")
ATTEMPTS = 3
PARALLEL_DOWNLOADS = 6
TIMEOUT_S = 60


class BrokerFilesError(Exception):
    """The broker's files are not there and cannot be had; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of jars.lock; the coordinate is Maven's group:artifact:version."""

    sha256: str
    size: int
    name: str
    coordinate: str


# Puts the jar somewhere below the folder and returns its path.
Download = Callable[[Jar, Path], Path]
# Is told the bytes done and the bytes to do, from any thread.
Report = Callable[[int, int], None]


def locked_jars(lock_file: Path = LOCK_FILE) -> list[Jar]:
    """Return the committed list, in the order of the class path."""
    lines = lock_file.read_text().splitlines()
    rows = (line.split() for line in lines if not line.startswith("#"))
    return [Jar(sha256, int(size), name, coordinate) for sha256, size, name, coordinate in rows]


def broker_home(cache_dir: Path) -> Path:
    """Folder of this Kafka version in the cache."""
    return cache_dir / f"kafka-{KAFKA_VERSION}"


def class_path(cache_dir: Path) -> list[Path]:
    """Jars by name, never by wildcard: a stray file in the cache must not be loaded."""
    return [broker_home(cache_dir) / "libs" / jar.name for jar in locked_jars()]


def ensure_files(
    cache_dir: Path,
    report: Report = lambda done, total: None,
    download: Download | None = None,
) -> list[Path]:
    """Return the class path; fetch what is missing or damaged, by one process at a time.

    When names, sizes and times equal those of the last full check, nothing is hashed.
    Raises BrokerFilesError.
    """
    home = broker_home(cache_dir)
    if not _is_as_stamped(home):
        with _exclusive(home):
            _mend(home, report, download or download_jar)
    return class_path(cache_dir)


def is_complete(cache_dir: Path) -> bool:
    """Whether a start needs no network, by the same quick look that a start takes."""
    return _is_as_stamped(broker_home(cache_dir))


def download_jar(jar: Jar, folder: Path) -> Path:
    """Download a jar by jgo, with its repository below the folder instead of ~/.m2."""
    # Imported here because only a first start downloads, and the import takes 0.3 s.
    from jgo.maven import MavenContext  # noqa: PLC0415 - see above

    context = MavenContext(repo_cache=folder / "repository", timeout=TIMEOUT_S)
    group, artifact, version = jar.coordinate.split(":")
    path: Path = context.project(group, artifact).at_version(version).artifact().resolve()
    return path


def _mend(home: Path, report: Report, download: Download) -> None:
    libs = home / "libs"
    libs.mkdir(exist_ok=True)
    bad = [jar for jar in locked_jars() if not _is_intact(libs / jar.name, jar)]
    total, done = sum(jar.size for jar in bad), 0
    with (
        tempfile.TemporaryDirectory(prefix="fetch-", dir=home) as folder,
        ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool,
    ):
        for jar, path in zip(
            bad, pool.map(lambda jar: _fetch(jar, Path(folder), download), bad), strict=True
        ):
            path.replace(libs / jar.name)
            done += jar.size
            report(done, total)
    _write_stamp(home)


def _fetch(jar: Jar, folder: Path, download: Download) -> Path:
    """Download until the hash is right; each attempt has a folder of its own."""
    problem = ""
    for attempt in range(ATTEMPTS):
        try:
            path = download(jar, folder / f"{jar.name}.{attempt}")
        # jgo raises RuntimeError for a refusal and requests' errors (OSError) for the network.
        except (OSError, RuntimeError) as error:
            problem = str(error)
            continue
        if _is_intact(path, jar):
            return path
        problem = "its SHA-256 is not that of ops/broker/jars.lock"
    raise BrokerFilesError(
        f"cannot fetch {jar.name} ({jar.coordinate}) from Maven Central: {problem}. "
        "Start again with a network, or name a running broker by OBSERVAI_KAFKA=host:port"
    )


def _is_intact(path: Path, jar: Jar) -> bool:
    if not path.is_file() or path.stat().st_size != jar.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256


def _is_as_stamped(home: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return bool(json.loads((home / "checked.json").read_text()) == _state(home))
    return False


def _state(home: Path) -> dict[str, object]:
    """Return what the stamp holds: the list checked against, size and times of each file."""
    stats = {jar.name: (home / "libs" / jar.name).stat() for jar in locked_jars()}
    return {
        "lock": hashlib.sha256(LOCK_FILE.read_bytes()).hexdigest(),
        "files": {
            name: [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns] for name, stat in stats.items()
        },
    }


def _write_stamp(home: Path) -> None:
    new = home / "checked.json.new"
    new.write_text(json.dumps(_state(home)))
    new.replace(home / "checked.json")


@contextlib.contextmanager
def _exclusive(home: Path) -> Iterator[None]:
    home.mkdir(parents=True, exist_ok=True)
    with (home / "fetch.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        # What a killed fetch left behind; nobody else fetches now.
        for stale in home.glob("fetch-*"):
            shutil.rmtree(stale, ignore_errors=True)
        yield
