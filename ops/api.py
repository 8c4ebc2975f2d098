"""Calls to a running deployment's HTTP servers, and how a command finds them."""

import http.client
import json
import ssl
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from topology.settings import Settings

TIMEOUT_S = 60.0


class ApiError(Exception):
    """A server did not answer, or refused; the text is for the user."""


class TooMuch(ApiError):
    """What was asked for takes more time or memory than one request may have."""


# By host: contexts that take this deployment's own certificate and no other.
_pinned: dict[str, ssl.SSLContext] = {}


def trust_own_certificate(settings: Settings) -> None:
    """Let requests to this deployment's own address expect its certificate, whatever its name."""
    if settings.tls_cert is None or not settings.tls_cert.is_file():
        return
    context = ssl.create_default_context(cafile=str(settings.tls_cert))
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    host = urllib.parse.urlsplit(settings.role_url("edge")).hostname
    _pinned[host or "127.0.0.1"] = context


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body of an HTTP answer."""

    status: int
    body: bytes


def request(  # noqa: PLR0913 - an HTTP request has that many parts
    method: str,
    url: str,
    *,
    key: str | None = None,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Answer:
    """Send one request; raises OSError or http.client.HTTPException when nobody answers."""
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or "127.0.0.1"
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = _pinned.get(host)
        connection = http.client.HTTPSConnection(
            host, parts.port, timeout=timeout_s, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
    authorization = {"Authorization": f"Bearer {key}"} if key else {}
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(method, target or "/", body, authorization | (headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.read())
    finally:
        connection.close()


def not_ready(url: str, timeout_s: float = 2.0, *, but_started: bool = False) -> str | None:
    """Ask a role's /readyz; return None when it is ready, else the reason.

    but_started: parts that stand still for good count as ready, as nothing comes of waiting.
    """
    try:
        answer = request("GET", f"{url}/readyz", timeout_s=timeout_s)
        body = json.loads(answer.body)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"no answer from {url}: {error}"
    if answer.status == http.HTTPStatus.OK or (but_started and not body.get("may_recover", True)):
        return None
    reasons = body.get("reasons", {})
    return "; ".join(f"{part}: {reason}" for part, reason in reasons.items()) or "not ready"


def metric_values(url: str, name: str, timeout_s: float = 5.0) -> Iterator[float]:
    """Yield the value of each series of one of a role's metrics. Raises OSError, HTTPException."""
    answer = request("GET", f"{url}/metrics", timeout_s=timeout_s)
    for line in answer.body.decode().splitlines():
        series, _, value = line.rpartition(" ")
        if series.partition("{")[0] == name:
            yield float(value)


def read_key(settings: Settings, key: str | None) -> str:
    """Return the key given, or that of the default tenant in the data directory."""
    if key:
        return key
    try:
        return settings.key_file.read_text().strip()
    except OSError as error:
        raise ApiError(
            f"no key: {settings.key_file} cannot be read ({error.strerror}). Is this the "
            "--data-dir of a running `observai up`? Or give --url and --key"
        ) from None


def read_run(data_dir: Path) -> dict[str, object] | None:
    """Return what the running `up` of this data directory wrote about itself, or None."""
    try:
        run: dict[str, object] = json.loads((data_dir / "run.json").read_text())
    except (OSError, ValueError):
        return None
    return run
