"""No URL in any disguise leads to an address that is not public."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import ip_network

import pytest

from worker.download import Downloader, DownloadPolicy
from worker.download.addresses import checked_addresses
from worker.download.target import parse_target
from worker.errors import Permanent, Temporary

from .helpers import policy, read_all
from .origin import Origin, reply

PRIVATE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.1.2.3",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.0.9",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.0.10",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
PUBLIC = [
    "8.8.8.8",
    "172.32.0.1",
    "100.128.0.1",
    "223.255.255.254",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]


def must_not_resolve(host: str, port: int) -> Sequence[str]:
    raise AssertionError(f"{host} was resolved")


def addresses(url: str, *found: str, **limits: object) -> list[str]:
    chosen = DownloadPolicy(**limits)  # type: ignore[arg-type]
    target = parse_target(url, policy=chosen)
    resolve = (lambda host, port: found) if found else must_not_resolve
    return [str(a) for a in checked_addresses(target, policy=chosen, resolve=resolve)]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_address_is_refused_by_name_and_in_the_url(address: str) -> None:
    with pytest.raises(Permanent, match="not a public address"):
        addresses("http://cdn.test/", address)
    literal = f"[{address}]" if ":" in address else address
    with pytest.raises(Permanent, match="not a public address"):
        addresses(f"http://{literal}/")


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_may_be_reached(address: str) -> None:
    assert len(addresses("http://cdn.test/", address)) == 1


def test_one_private_address_among_public_ones_refuses_the_host() -> None:
    with pytest.raises(Permanent):
        addresses("http://cdn.test/", "8.8.8.8", "10.0.0.1")


def test_allowed_network_may_be_reached() -> None:
    nets = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1"):
        assert addresses("http://cdn.test/", address, allow_networks=nets)
    with pytest.raises(Permanent):
        addresses("http://cdn.test/", "192.168.0.1", allow_networks=nets)


ODD = [
    "127.1",
    "127.0.1",
    "0x7f.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "127.0.0.01",
    "0X7F.0.0.1",
    "127.1.",
    "%31%32%37.1",
    "127%2e1",
    "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
    "127\u30020\u30020\u30021",
    "\u2460\u2461\u2466.0.0.1",
    "1.2.3.4.5",
    "0x.1",
    "256.1.1.1",
    "8.8.2056",
    "134744072",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "[::ffff:7f00:1]",
    "[v1.x]",
    "[::1",
    "::1",
]


@pytest.mark.parametrize("host", ODD)
def test_address_in_disguise_is_refused(host: str) -> None:
    with pytest.raises(Permanent):
        addresses(f"http://{host}/")


@pytest.mark.parametrize("host", ["127.1", "0x7f.1", "2130706433", "0177.0.0.1"])
def test_odd_form_inside_an_allowed_network_is_read_as_the_system_does(host: str) -> None:
    nets = (ip_network("127.0.0.0/8"),)
    assert addresses(f"http://{host}/", allow_networks=nets) == ["127.0.0.1"]


@pytest.mark.parametrize("answer", ["fe80::1%eth0", "2606:4700::1%2"])
def test_address_with_a_zone_is_refused(answer: str) -> None:
    with pytest.raises(Permanent):
        addresses("http://cdn.test/", answer)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "track.mp3",
        "/track.mp3",
        "//cdn.test/a",
        "http:",
        "http://",
        "http:///a",
        "http://?a",
        "http://.",
        "http://..",
        "http://a..b/",
        "http://.a/",
        "http://a b/",
        "http://a\\b/",
        "http://good.test\\@evil.test/",
        "http://user:password@cdn.test/",
        "http://@cdn.test/",
        "http://cdn.test:0/",
        "http://cdn.test:22/",
        "http://cdn.test:65536/",
        "http://cdn.test:x/",
        "http://cdn.test/a\r\nX: y",
        "http://cdn\t.test/",
        "http://cdn.test/\x00",
        "http://cdn.test<x>/",
        "http://" + "a" * 64 + ".test/",
        "http://" + "a." * 140 + "test/",
        "ftp://cdn.test/",
        "file:///etc/passwd",
        "data:audio/mpeg;base64,AAAA",
        "s3://bucket/key",
        "http://[2606:4700::1]x/",
        "http://\ud800.test/",
        "http://cdn.test/\ud800",
    ],
)
def test_url_that_is_none_of_the_web_is_refused(url: str) -> None:
    with pytest.raises(Permanent):
        addresses(url)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("cdn.example.com", True),
        ("a.b.example.com", True),
        ("CDN.EXAMPLE.COM.", True),
        ("other.test", True),
        ("example.com", False),
        ("evilexample.com", False),
        ("cdn.example.com.evil.test", False),
        ("sub.other.test", False),
    ],
)
def test_allowed_hosts_are_patterns(host: str, allowed: bool) -> None:
    chosen = DownloadPolicy(allowed_hosts=("*.Example.com", "other.test"))
    if allowed:
        assert parse_target(f"https://{host}/", policy=chosen).host == host.lower().rstrip(".")
    else:
        with pytest.raises(Permanent, match="not among the allowed hosts"):
            parse_target(f"https://{host}/", policy=chosen)


def test_target_does_not_show_its_query() -> None:
    target = parse_target("https://cdn.test/a?signature=SECRET", policy=DownloadPolicy())
    assert "SECRET" not in repr(target)
    assert target.path == "/a?signature=SECRET"


def test_international_host_is_asked_for_in_ascii() -> None:
    assert parse_target("http://bücher.test/", policy=DownloadPolicy()).host == "xn--bcher-kva.test"


def test_name_is_resolved_once_and_its_first_answer_is_used() -> None:
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    cut = reply(b"ab", length=4, ETag='"v1"')
    rest = reply(b"cd", "206 OK", ETag='"v1"', Content_Range="bytes 2-3/4")
    with Origin(cut, rest) as origin:
        body = Downloader(policy(), resolve=rebinding).open(origin.url(host="cdn.test"))
        assert read_all(body) == b"abcd"
    assert asked == ["cdn.test"]
    assert origin.requests[0].headers["host"] == f"cdn.test:{origin.port}"


def test_every_hop_is_resolved_and_checked_anew() -> None:
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    with (
        Origin(reply(b"", "302 F", Location="/again")) as origin,
        pytest.raises(Permanent, match="not a public address"),
    ):
        Downloader(policy(), resolve=rebinding).open(origin.url(host="cdn.test"))
    assert asked == ["cdn.test", "cdn.test"]


@pytest.mark.parametrize("failure", [socket.gaierror(-2, "Name or service not known"), None])
def test_name_without_address_is_temporary(failure: OSError | None) -> None:
    def resolve(host: str, port: int) -> list[str]:
        if failure:
            raise failure
        return []

    with pytest.raises(Temporary, match=r"cdn\.test: its name"):
        Downloader(DownloadPolicy(), resolve=resolve).open("http://cdn.test/")


def test_system_resolver_is_asked_by_default() -> None:
    with Origin(reply(b"data")) as origin:
        limits = policy(allow_networks=(ip_network("127.0.0.0/8"), ip_network("::1/128")))
        assert read_all(Downloader(limits).open(origin.url(host="localhost"))) == b"data"
