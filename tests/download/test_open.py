"""What `open` makes of statuses, redirects and certificates."""

from __future__ import annotations

import datetime as dt
import ssl
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from worker.download import Downloader
from worker.errors import Gone, Permanent, Temporary

from .helpers import downloader, policy, read_all
from .origin import Line, Origin, Request, Script, head, reply

SIX_HOURS = 6 * 60 * 60


def to(location: str, status: str = "302 Found") -> Script:
    return reply(b"", status, Location=location)


def from_now(seconds: float) -> str:
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    return format_datetime(moment, usegmt=True)


@pytest.mark.parametrize("status", [403, 404, 410, 451])
def test_what_the_provider_does_not_give_is_gone(status: int) -> None:
    with Origin(reply(b"x", f"{status} No")) as origin, pytest.raises(Gone, match=str(status)):
        downloader().open(origin.url())


@pytest.mark.parametrize("status", [202, 408, 425, 429, 500, 502, 503, 504, 599])
def test_what_may_pass_is_temporary(status: int) -> None:
    with (
        Origin(reply(b"x", f"{status} No")) as origin,
        pytest.raises(Temporary, match=str(status)) as raised,
    ):
        downloader().open(origin.url())
    assert raised.value.retry_after is None


@pytest.mark.parametrize("status", [201, 206, 300, 302, 304, 400, 401, 405, 416, 418])
def test_other_statuses_are_permanent(status: int) -> None:
    with Origin(reply(b"x", f"{status} No")) as origin, pytest.raises(Permanent) as raised:
        downloader().open(origin.url())
    assert not isinstance(raised.value, Gone)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("7", 7.0),
        (" 120 ", 120.0),
        ("999999999", SIX_HOURS),
        ("9" * 5000, SIX_HOURS),
        ("-5", None),
        ("soon", None),
        ("²", None),
        ("", None),
    ],
)
def test_retry_after_in_seconds_is_kept_within_bounds(told: str, seconds: float | None) -> None:
    with (
        Origin(reply(b"", "503 No", Retry_After=told)) as origin,
        pytest.raises(Temporary) as raised,
    ):
        downloader().open(origin.url())
    assert raised.value.retry_after == seconds


@pytest.mark.parametrize(("ahead", "seconds"), [(90, 90), (-90, 0), (10**7, SIX_HOURS)])
def test_retry_after_may_be_a_date(ahead: float, seconds: float) -> None:
    with (
        Origin(reply(b"", "429 No", Retry_After=from_now(ahead))) as origin,
        pytest.raises(Temporary) as raised,
    ):
        downloader().open(origin.url())
    assert raised.value.retry_after == pytest.approx(seconds, abs=5)


@pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "307 T", "308 P"])
def test_redirect_is_followed(status: str) -> None:
    with Origin(to("../b/c.mp3?x=1", status), reply(b"data")) as origin:
        assert read_all(downloader().open(origin.url("/a/d/e.mp3"))) == b"data"
    assert [request.path for request in origin.requests] == ["/a/d/e.mp3", "/a/b/c.mp3?x=1"]


def test_redirect_leads_to_another_host_without_taking_anything_along() -> None:
    with Origin(reply(b"data")) as second:
        redirect = reply(b"", "302 F", Location=second.url("/é"), Set_Cookie="a=b")
        with Origin(redirect) as first, downloader().open(first.url()) as body:
            assert body.peek(4) == b"data"
    assert second.requests[0].path == "/%EF%BF%BD"
    assert "cookie" not in second.requests[0].headers


def test_redirect_loop_has_an_end() -> None:
    with Origin(to("/again")) as origin, pytest.raises(Permanent, match="more than 3 redirects"):
        downloader(max_redirects=3).open(origin.url())
    assert len(origin.requests) == 4


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://example.com/a",
        "gopher://127.0.0.1/",
        "javascript:alert(1)",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "//192.168.0.1/x",
        "http://0x0a.1/",
        "http://user@127.0.0.1/",
        "http://[",
        "http://127.0.0.1:22/",
        "http://\\evil/",
    ],
)
def test_redirect_to_where_nothing_may_be_fetched_is_refused(location: str) -> None:
    with Origin(to(location)) as origin, pytest.raises(Permanent):
        downloader().open(origin.url())
    assert len(origin.requests) == 1


def test_redirect_must_stay_among_the_allowed_hosts() -> None:
    def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    with Origin(reply(b"data")) as other, Origin(to(other.url(host="evil.test"))) as origin:
        found = Downloader(policy(allowed_hosts=("*.good.test",)), resolve=resolve)
        with pytest.raises(Permanent, match=r"evil\.test is not among the allowed hosts"):
            found.open(origin.url(host="cdn.good.test"))
    assert not other.requests


def test_continue_is_passed_over() -> None:
    def script(line: Line, request: Request) -> None:
        line.send(head("100 Continue"), head(Content_Length="1"), b"x")

    with Origin(script) as origin:
        assert read_all(downloader().open(origin.url())) == b"x"


def test_other_interim_answer_is_not_taken_for_the_file() -> None:
    with Origin(reply(b"x", "103 Early Hints")) as origin, pytest.raises(Temporary, match="103"):
        downloader().open(origin.url())


def certificate(folder: Path, name: x509.GeneralName) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test")])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "cert.pem", folder / "key.pem"
    pem.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pem, secret


def tls_server(pem: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    return context


def test_tls_verifies_the_name_that_was_asked_for(tmp_path: Path) -> None:
    pem, key = certificate(tmp_path, x509.DNSName("cdn.test"))
    trusting = ssl.create_default_context(cafile=str(pem))
    names: list[str | None] = []
    server = tls_server(pem, key)
    server.sni_callback = lambda _socket, name, _context: names.append(name)
    found = Downloader(policy(), resolve=lambda host, port: ["127.0.0.1"], tls=trusting)
    with Origin(reply(b"x" * 100_000), tls=server) as origin:
        assert len(read_all(found.open(origin.url(host="cdn.test")))) == 100_000
        with pytest.raises(Temporary, match="certificate is not valid"):
            found.open(origin.url(host="other.test"))
    assert names[:1] == ["cdn.test"]


def test_certificate_for_an_address_is_verified_too(tmp_path: Path) -> None:
    pem, key = certificate(tmp_path, x509.IPAddress(ip_address("127.0.0.1")))
    trusting = ssl.create_default_context(cafile=str(pem))
    with Origin(reply(b"x"), tls=tls_server(pem, key)) as origin:
        assert read_all(Downloader(policy(), tls=trusting).open(origin.url())) == b"x"


def test_unknown_authority_is_temporary(tmp_path: Path) -> None:
    pem, key = certificate(tmp_path, x509.DNSName("cdn.test"))
    with (
        Origin(reply(b"x"), tls=tls_server(pem, key)) as origin,
        pytest.raises(Temporary, match="certificate is not valid"),
    ):
        downloader().open(origin.url())
    assert not origin.requests


def test_tls_to_a_plain_port_is_temporary() -> None:
    with Origin(reply(b"x")) as origin, pytest.raises(Temporary, match="TLS"):
        downloader(connect_timeout=0.3).open(origin.url().replace("http:", "https:"))


def test_redirect_from_https_to_http_is_refused(tmp_path: Path) -> None:
    pem, key = certificate(tmp_path, x509.IPAddress(ip_address("127.0.0.1")))
    trusting = ssl.create_default_context(cafile=str(pem))
    with (
        Origin(reply(b"x")) as plain,
        Origin(to(plain.url()), tls=tls_server(pem, key)) as origin,
        pytest.raises(Permanent, match="from https to http"),
    ):
        Downloader(policy(), tls=trusting).open(origin.url())
    assert not plain.requests
