"""TLS by certificate files, which are read again when they have changed."""

import asyncio
import ssl
from pathlib import Path

import structlog

from topology.settings import Settings, SettingsError

_LOOK_S = 5.0

_Stamp = tuple[int, int, int, int]


class Tls:
    """A server's context; new connections get the newest certificate that could be read."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read the files. Raises SettingsError."""
        self._files = (certificate, key)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            self._stamp = self._look()
            self.context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"tls_cert={certificate}, tls_key={key}: {error}; give a certificate chain and "
                "its key, both as PEM"
            ) from None

    def reload(self) -> str | None:
        """Read the files if they have changed; return why they could not be, if so."""
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return None
            # Tried apart: a half of a pair would be left in the context that is in use.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self._files)
            self.context.load_cert_chain(*self._files)
        except (OSError, ssl.SSLError) as error:
            return str(error)
        self._stamp = stamp
        return None

    async def watch(self, log: structlog.stdlib.BoundLogger) -> None:
        """Look at the files every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            before = self._stamp
            problem = self.reload()
            if problem is not None:
                log.error("certificate not read, the one before stays", error=problem)
            elif self._stamp != before:
                log.info("certificate read", file=str(self._files[0]))

    def _look(self) -> _Stamp:
        certificate, key = (file.stat() for file in self._files)
        return (certificate.st_mtime_ns, certificate.st_ino, key.st_mtime_ns, key.st_ino)


def tls_of(settings: Settings) -> Tls | None:
    """Return the TLS that the settings ask for. Raises SettingsError."""
    if settings.tls_cert is None and settings.tls_key is None:
        return None
    if settings.tls_cert is None or settings.tls_key is None:
        raise SettingsError("tls_cert and tls_key: give both, or none of them")
    return Tls(settings.tls_cert, settings.tls_key)
