"""Secrets in files that only their owner reads, and the one under which API keys are digested."""

import hashlib
import os
import secrets
from pathlib import Path

from topology.settings import Settings

_SECRET_BYTES = 32


def load_key_secret(settings: Settings) -> bytes:
    """Return the secret, 64 bytes of what the setting or the file says; makes the file if missing.

    Of several processes that begin at once on one data directory, the first makes it.
    """
    text = settings.key_secret or _read_or_make(settings.key_secret_file)
    return hashlib.blake2b(text.encode(), person=b"observai-secret").digest()


def fingerprint_of(secret: bytes) -> str:
    """Return what may be published of a secret, to compare it."""
    return hashlib.blake2b(b"fingerprint", key=secret, digest_size=16).hexdigest()


def write_secret(path: Path, text: str) -> None:
    """Write a file of mode 0600, whole or not at all."""
    partial = _write_beside(path, text)
    partial.rename(path)


def _read_or_make(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        partial = _write_beside(path, secrets.token_hex(_SECRET_BYTES))
    try:
        # Unlike a rename, a link does not replace what another process has put there.
        os.link(partial, path)
    except FileExistsError:
        pass
    finally:
        partial.unlink()
    return path.read_text().strip()


def _write_beside(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    return partial
