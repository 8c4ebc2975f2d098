"""Writes jars.lock: run `python -m ops.broker.lock` by hand when the Kafka version changes."""

import hashlib
import tempfile
from pathlib import Path

from jgo.maven import MavenContext

from ops.broker.files import KAFKA_VERSION, LOCK_FILE, TIMEOUT_S

HEADER = "# sha256, bytes, file, Maven coordinate; made by `python -m ops.broker.lock`"


def resolve_jars(folder: Path) -> list[tuple[str, Path]]:
    """Resolve the class path anew by jgo: (coordinate, path) of each jar, sorted.

    Two calls: in one, the log binding's managed versions would replace kafka-clients.
    """
    context = MavenContext(repo_cache=folder, timeout=TIMEOUT_S)
    kafka = _resolve(context, f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}")
    log4j = next(name.rpartition(":")[2] for name in kafka if ":log4j-core:" in name)
    binding = _resolve(context, f"org.apache.logging.log4j:log4j-slf4j-impl:{log4j}")
    return sorted((binding | kafka).items())


def _resolve(context: MavenContext, coordinate: str) -> dict[str, Path]:
    wanted = context.create_dependency(coordinate)
    inputs, transitive = context.resolver.resolve([wanted])
    needed = [*inputs, *(item for item in transitive if item.scope in {"compile", "runtime"})]
    return {
        f"{item.groupId}:{item.artifactId}:{item.version}": item.artifact.resolve()
        for item in needed
    }


def main() -> None:
    """Resolve, download and write the list."""
    with tempfile.TemporaryDirectory() as folder:
        lines = [
            f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_size:>9} "
            f"{path.name} {coordinate}"
            for coordinate, path in resolve_jars(Path(folder))
        ]
    LOCK_FILE.write_text("\n".join([HEADER, *lines, ""]))


if __name__ == "__main__":
    main()
