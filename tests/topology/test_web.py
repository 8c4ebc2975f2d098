"""What every HTTP answer has: ids, security headers, CORS by list, TLS, and a log without keys."""

import contextlib
import shutil
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from ops import api
from ops.ports import free_base_port
from tests.topology.test_http_server import served
from topology.openapi import Documented, Spec, make_document, number
from topology.settings import Settings, SettingsError, load_settings
from topology.tls import Tls, tls_of

ORIGIN = "https://app.example.com"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path, port=free_base_port())


def client_of(settings: Settings, **arguments: object) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=settings.role_url("edge"), **arguments)  # type: ignore[arg-type]


async def test_answers_have_an_id_and_security_headers(settings: Settings) -> None:
    async with served(settings), client_of(settings) as client:
        own = await client.get("/livez", headers={"X-Request-Id": "abc-1"})
        bad = await client.get("/livez", headers={"X-Request-Id": "a b<script>"})
        missing = await client.get("/nothing")

    assert own.headers["X-Request-Id"] == "abc-1"
    assert len(bad.headers["X-Request-Id"]) == 16
    assert missing.status_code == 404
    for answer in (own, missing):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Strict-Transport-Security" not in answer.headers
        assert "server" not in answer.headers


async def test_browsers_may_call_from_listed_origins_only(settings: Settings) -> None:
    listed = settings.model_copy(update={"cors_origins": f"{ORIGIN}, https://other.example.com"})
    ask = {"Access-Control-Request-Method": "POST"}
    async with served(listed), client_of(settings) as client:
        good = await client.options("/echo", headers={"Origin": ORIGIN} | ask)
        answered = await client.get("/livez", headers={"Origin": ORIGIN})
        evil = await client.options("/echo", headers={"Origin": "https://evil.example.com"} | ask)
        plain = await client.options("/echo")
        missing = await client.options("/nothing")

    assert good.status_code == 204
    assert good.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert good.headers["Access-Control-Allow-Methods"] == "OPTIONS, POST"
    assert "Authorization" in good.headers["Access-Control-Allow-Headers"]
    assert answered.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert answered.headers["Vary"] == "Origin"
    assert not [name for name in evil.headers if name.startswith("access-control")]
    assert (plain.status_code, plain.headers["Allow"]) == (204, "OPTIONS, POST")
    assert missing.status_code == 404


async def test_the_access_log_has_no_query_and_no_key(settings: Settings) -> None:
    logged = settings.model_copy(update={"access_log": True})
    with capture_logs() as lines:
        async with served(logged), client_of(settings) as client:
            headers = {"Authorization": "Bearer oai_secret", "X-Request-Id": "r1"}
            await client.post("/echo?p=oai_secret", content=b"12", headers=headers)
            await client.get("/livez")
            await client.get("/echo/job/oai_se-cr_et/x", headers={"X-Request-Id": "r2"})

    line, other = [one for one in lines if one["event"] == "request"]
    assert other["path"] == "/echo/job/oai_.../x"
    assert (line["method"], line["path"], line["status"]) == ("POST", "/echo", 200)
    assert (line["request_id"], line["client"]) == ("r1", "127.0.0.1")
    assert "oai_s" not in str(lines)


@pytest.mark.parametrize(
    ("trusted", "expected"), [(None, "127.0.0.1"), ("10.0.0.0/8, 127.0.0.1", "6.6.6.6")]
)
async def test_a_header_says_where_a_request_is_from_only_if_a_trusted_proxy_sends_it(
    settings: Settings, trusted: str | None, expected: str
) -> None:
    """What the audit and bursts of refused logins name is that address."""
    behind = settings.model_copy(update={"access_log": True, "trusted_proxies": trusted})
    with capture_logs() as lines:
        async with served(behind), client_of(settings) as client:
            forwarded = {"X-Forwarded-For": "9.9.9.9, 6.6.6.6, 10.1.2.3"}
            await client.post("/echo", content=b"12", headers=forwarded)

    assert [one["client"] for one in lines if one["event"] == "request"] == [expected]


@pytest.mark.parametrize("value", ["*", "proxy.example.com", "10.0.0.1/8"])
def test_a_proxy_that_is_no_address_or_network_is_refused(value: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"trusted_proxies=.*for example 127\.0\.0\.1"):
        load_settings(data_dir=tmp_path, trusted_proxies=value)


async def test_what_no_route_answers_is_said_as_json(settings: Settings) -> None:
    async with served(settings), client_of(settings) as client:
        path, method = await client.get("/nothing"), await client.get("/echo")
        options = await client.options("/nothing")

    for answer in (path, options):
        assert (answer.status_code, answer.json()) == (
            404,
            {"error": "no such path; /openapi.json lists all of this role"},
        )
    assert (method.status_code, method.headers["Allow"]) == (405, "OPTIONS, POST")
    assert method.json() == {"error": "GET is not for this path; it takes OPTIONS, POST"}


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate that signs itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on this machine")
    certificate, key = folder / "tls.crt", folder / "tls.key"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", f"/CN={name}"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


async def test_tls_by_files_and_the_command_line_expects_that_certificate(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = make_certificate(tmp_path, "first")
    secure = settings.model_copy(update={"tls_cert": certificate, "tls_key": key})
    monkeypatch.setattr(api, "_pinned", {})
    api.trust_own_certificate(secure)
    trusted = api._pinned["127.0.0.1"]

    async with served(secure), client_of(secure, verify=trusted) as client:
        answer = await client.get("/livez")
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            async with client_of(secure) as stranger:
                await stranger.get("/livez")

    assert (answer.status_code, answer.url.scheme) == (200, "https")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_a_certificate_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    """A half-written one leaves the one before in use."""
    tls = Tls(*make_certificate(tmp_path, "first"))
    assert tls.reload() is None
    first = subject(tls)

    (tmp_path / "tls.crt").write_text("half of a certif")
    assert tls.reload() is not None
    assert subject(tls) == first
    make_certificate(tmp_path, "second")
    assert tls.reload() is None
    assert subject(tls) == "second"


def subject(tls: Tls) -> str:
    """Return the name in the certificate that a client is shown."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = tls.context.wrap_bio(incoming, outgoing, server_side=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    back, forth = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(back, forth)
    for _ in range(4):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
            incoming.write(forth.read())
            back.write(outgoing.read())
    der = client.getpeercert(binary_form=True)
    assert der is not None
    return "second" if b"second" in der else "first"


def test_half_of_the_tls_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="give both"):
        tls_of(Settings(tls_cert=tmp_path / "x"))
    with pytest.raises(SettingsError, match="give a certificate chain and its key"):
        tls_of(Settings(tls_cert=tmp_path / "x", tls_key=tmp_path / "y"))


def test_the_document_says_paths_parameters_and_security() -> None:
    async def nothing(_: object) -> None:
        """Do nothing."""

    spec = Spec("shows it", query=(number("limit", "so many"),))
    route = Documented("/things/{name}", nothing, ["GET"], spec)  # type: ignore[arg-type]

    document = make_document("edge", "1.0", [route])

    operation = document["paths"]["/things/{name}"]["get"]
    assert document["openapi"] == "3.1.0"
    assert [(one["name"], one["in"]) for one in operation["parameters"]] == [
        ("name", "path"),
        ("limit", "query"),
    ]
    assert operation["security"] == [{"key": []}]
    assert set(operation["responses"]) >= {"200", "401", "429", "503"}
    assert operation["parameters"][1]["schema"]["type"] == "integer"
    content = operation["responses"]["400"]["content"]["application/json"]
    assert content == {"schema": {"$ref": "#/components/schemas/Error"}}
