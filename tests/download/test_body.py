"""Bodies that come whole, cut, too long, too slow, or in pieces."""

from __future__ import annotations

import os
import time
from ipaddress import ip_network

import pytest

from worker.download import Downloader, HostGate
from worker.errors import Busy, Permanent, Temporary

from .helpers import downloader, policy, read_all, read_on
from .origin import Line, Origin, Request, Script, chunks, head, ranged, reply

DATA = os.urandom(300_000)


def cut(data: bytes, at: int, **headers: str) -> Script:
    """Say the whole length, send a part, close."""
    return reply(data[:at], length=len(data), **headers)


def raw(*parts: bytes) -> Script:
    def script(line: Line, request: Request) -> None:
        line.send(*parts)

    return script


def drip(piece: bytes, *, every: float, **headers: str) -> Script:
    def script(line: Line, request: Request) -> None:
        line.send(head(**headers))
        while line.send(piece) and not line.stop.wait(every):
            pass

    return script


def test_whole_body_arrives_as_it_was_sent() -> None:
    with (
        Origin(reply(DATA, Content_Type="Audio/MPEG; q=1")) as origin,
        downloader().open(origin.url()) as body,
    ):
        assert (body.host, body.length) == ("127.0.0.1", len(DATA))
        assert body.content_type == "audio/mpeg"
        assert read_on(body) == DATA
        assert body.received == len(DATA)
        assert body.ended_surely()
        assert body.readinto(memoryview(bytearray(10))) == 0


def test_request_is_a_plain_get_for_identity() -> None:
    with Origin(reply(DATA)) as origin:
        read_all(downloader().open(origin.url("/a b/ü.mp3?sig=x%2Fy&z=[1]")))
    (request,) = origin.requests
    assert (request.method, request.path) == ("GET", "/a%20b/%C3%BC.mp3?sig=x%2Fy&z=[1]")
    assert request.headers == {
        "host": f"127.0.0.1:{origin.port}",
        "user-agent": "media-worker",
        "accept": "*/*",
        "accept-encoding": "identity",
        "connection": "close",
    }


def test_environment_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with Origin(reply(DATA)) as origin:
        assert read_all(downloader().open(origin.url())) == DATA


def test_peeked_bytes_are_read_again() -> None:
    with Origin(reply(DATA)) as origin, downloader().open(origin.url()) as body:
        assert body.peek(1000) == DATA[:1000]
        assert body.peek(10) == DATA[:10]
        assert body.peek(50_000) == DATA[:50_000]
        assert body.received >= 50_000
        assert read_on(body, block=777) == DATA


def test_peek_gives_less_only_at_the_end() -> None:
    def script(line: Line, request: Request) -> None:
        line.send(head(Content_Length="6"), b"abc")
        line.stop.wait(0.05)
        line.send(b"def")

    with Origin(script) as origin, downloader().open(origin.url()) as body:
        assert body.peek(5) == b"abcde"
        assert body.peek(100) == b"abcdef"
        assert read_on(body) == b"abcdef"


def test_short_body_is_never_an_end() -> None:
    with Origin(cut(DATA, 1000)) as origin, pytest.raises(Temporary, match="before the end"):
        read_all(downloader().open(origin.url()))
    assert len(origin.requests) == 1


def test_weak_etag_is_not_resumed() -> None:
    with Origin(cut(DATA, 1000, ETag='W/"v1"')) as origin, pytest.raises(Temporary):
        read_all(downloader().open(origin.url()))
    assert len(origin.requests) == 1


def test_body_that_is_longer_than_told_stops_at_the_length() -> None:
    with Origin(reply(DATA, length=1000)) as origin:
        assert read_all(downloader().open(origin.url())) == DATA[:1000]


def test_cut_body_is_resumed_where_it_ended() -> None:
    with Origin(cut(DATA, 100_001, ETag='"v1"'), ranged(DATA)) as origin:
        assert read_all(downloader().open(origin.url())) == DATA
    resumed = origin.requests[1].headers
    assert (resumed["range"], resumed["if-range"]) == ("bytes=100001-", '"v1"')


def test_reset_connection_is_resumed() -> None:
    def reset(line: Line, request: Request) -> None:
        line.send(head(Content_Length=str(len(DATA)), ETag='"v1"'), DATA[:70_000])
        line.reset()

    with Origin(reset, ranged(DATA)) as origin:
        assert read_all(downloader().open(origin.url())) == DATA


def test_silent_connection_is_resumed() -> None:
    def silent(line: Line, request: Request) -> None:
        line.send(head(Content_Length=str(len(DATA)), ETag='"v1"'), DATA[:70_000])
        line.hang()

    with Origin(silent, ranged(DATA)) as origin:
        assert read_all(downloader(read_timeout=0.2).open(origin.url())) == DATA


def test_cut_chunked_body_is_resumed_with_a_length() -> None:
    start = head(Transfer_Encoding="chunked", ETag='"v1"') + chunks(DATA[:9999])
    with Origin(raw(start), ranged(DATA)) as origin, downloader().open(origin.url()) as body:
        assert body.length is None
        assert read_on(body) == DATA
        assert body.ended_surely()


def test_resumes_have_an_end() -> None:
    def a_little(line: Line, request: Request) -> None:
        first = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
        told = f"bytes {first}-{len(DATA) - 1}/{len(DATA)}"
        left = str(len(DATA) - first)
        line.send(head("206 OK", ETag='"v1"', Content_Range=told, Content_Length=left), b"x")

    with (
        Origin(cut(DATA, 10, ETag='"v1"'), a_little) as origin,
        pytest.raises(Temporary, match="after 3 resumes"),
    ):
        read_all(downloader(max_resumes=3).open(origin.url()))
    assert len(origin.requests) == 4


@pytest.mark.parametrize(
    "answer",
    [
        ranged(DATA, etag='"v2"'),
        reply(DATA, ETag='"v1"'),
        reply(DATA[1000:], "206 OK", ETag='"v1"'),
        reply(DATA[1000:], "206 OK", Content_Range=f"bytes 1000-{len(DATA) - 1}/{len(DATA)}"),
        reply(DATA[999:], "206 OK", ETag='"v1"', Content_Range="bytes 999-299999/300000"),
        reply(DATA[1000:-1], "206 OK", ETag='"v1"', Content_Range="bytes 1000-299998/300000"),
        reply(DATA[1000:-1], "206 OK", ETag='"v1"', Content_Range="bytes 1000-299998/299999"),
        reply(b"", "416 Range Not Satisfiable", Content_Range="bytes */300000"),
        reply(b"", "412 Precondition Failed"),
    ],
    ids=["etag", "whole", "no-range", "no-etag", "start", "end", "total", "416", "412"],
)
def test_file_that_cannot_be_continued_is_never_patched_together(answer: Script) -> None:
    with (
        Origin(cut(DATA, 1000, ETag='"v1"'), answer) as origin,
        pytest.raises(Temporary, match="changed while it was read"),
    ):
        read_all(downloader().open(origin.url()))


def test_resumed_chunks_must_add_up() -> None:
    told = {"ETag": '"v1"', "Content_Range": "bytes 1000-299999/300000"}
    short = head("206 OK", Transfer_Encoding="chunked", **told) + chunks(DATA[1000:-1], b"")
    with (
        Origin(cut(DATA, 1000, ETag='"v1"'), raw(short)) as origin,
        pytest.raises(Temporary, match="changed while it was read"),
    ):
        read_all(downloader().open(origin.url()))


def test_chunked_body_arrives_whole() -> None:
    sent = chunks(DATA[:1], DATA[1:70_000]) + b"A;ext=1\r\n" + DATA[70_000:70_010] + b"\r\n"
    sent += chunks(DATA[70_010:]) + b"000\r\nTrailer: x\r\n\r\n"
    with (
        Origin(raw(head(Transfer_Encoding="chunked"), sent)) as origin,
        downloader().open(origin.url()) as body,
    ):
        assert read_on(body, block=5000) == DATA
        assert body.ended_surely()


@pytest.mark.parametrize(
    "sent",
    [
        b"5\r\nabc",
        b"3\r\nabc",
        b"3\r\nabc\r\n",
        b"3\r\nabc\r\n0",
        b"3\r\nabc\r\n00",
        b"3\r\nabcdef",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\r\nabc\r\nxyz\r\n",
        b"3\r\nabc\r\n-1\r\n",
        b"3\r\nabc\r\n" + b"1" * 10_000,
    ],
)
def test_cut_or_broken_chunks_are_never_an_end(sent: bytes) -> None:
    with Origin(raw(head(Transfer_Encoding="chunked"), sent)) as origin, pytest.raises(Temporary):
        read_all(downloader().open(origin.url()))


def test_body_that_ends_with_the_connection_ends_unsurely() -> None:
    with Origin(raw(head(), DATA)) as origin, downloader().open(origin.url()) as body:
        assert body.length is None
        assert read_on(body) == DATA
        assert not body.ended_surely()


def test_declared_length_over_the_cap_is_refused_at_once() -> None:
    with (
        Origin(reply(b"x" * 10, length=1001)) as origin,
        pytest.raises(Permanent, match="larger than the limit of 1000 bytes"),
    ):
        downloader(max_bytes=1000).open(origin.url())


@pytest.mark.parametrize("chunked", [True, False])
def test_bytes_over_the_cap_are_refused_when_they_come(chunked: bool) -> None:
    framed = chunks(b"x" * 1001, b"") if chunked else b"x" * 1001
    headers = {"Transfer_Encoding": "chunked"} if chunked else {}
    with (
        Origin(raw(head(**headers), framed)) as origin,
        pytest.raises(Permanent, match="larger than the limit"),
    ):
        read_all(downloader(max_bytes=1000).open(origin.url()))


def test_body_of_exactly_the_cap_is_taken() -> None:
    with Origin(raw(head(), b"x" * 1000)) as origin:
        assert len(read_all(downloader(max_bytes=1000).open(origin.url()))) == 1000


def test_endless_body_ends_at_the_cap() -> None:
    with (
        Origin(drip(b"x" * 100_000, every=0)) as origin,
        pytest.raises(Permanent, match="larger than the limit"),
    ):
        read_all(downloader(max_bytes=5_000_000).open(origin.url()))


def test_endless_padding_between_chunks_is_given_up() -> None:
    padded = drip(b"1;" + b"p" * 4000 + b"\r\nx\r\n", every=0, Transfer_Encoding="chunked")
    with Origin(padded) as origin, pytest.raises(Temporary, match="far more bytes"):
        read_all(downloader(max_bytes=100_000).open(origin.url()))


def test_slow_drip_is_given_up_by_its_speed() -> None:
    slow = drip(b"x", every=0.01, Content_Length="1000000", ETag='"v1"')
    with Origin(slow) as origin, pytest.raises(Temporary, match="bytes a second, less than 10000"):
        read_all(downloader(min_speed=10_000, speed_window=0.2).open(origin.url()))
    assert len(origin.requests) == 1


def test_slow_reader_is_not_held_against_the_provider() -> None:
    limits = {"min_speed": 10**9, "speed_window": 0.4}
    with Origin(reply(DATA[:50_000])) as origin, downloader(**limits).open(origin.url()) as body:
        body.peek(1)
        time.sleep(0.5)  # the slow reader itself
        assert read_on(body) == DATA[:50_000]


def test_total_time_bounds_a_body_that_keeps_coming() -> None:
    steady = drip(b"x" * 1000, every=0.01, Content_Length="100000000", ETag='"v1"')
    with Origin(steady) as origin, pytest.raises(Temporary, match=r"not complete after 0\.3"):
        read_all(downloader(total_timeout=0.3).open(origin.url()))


def hang_at_once(line: Line, request: Request) -> None:
    line.hang()


def hang_in_the_body(line: Line, request: Request) -> None:
    line.send(head(Content_Length="100"), b"x")
    line.hang()


@pytest.mark.parametrize("script", [hang_at_once, hang_in_the_body])
def test_total_time_cuts_a_longer_wait_short(script: Script) -> None:
    begun = time.monotonic()
    with Origin(script) as origin, pytest.raises(Temporary, match=r"not complete after 0\.2"):
        read_all(downloader(total_timeout=0.2, read_timeout=30).open(origin.url()))
    assert time.monotonic() - begun < 5


def test_head_that_drips_is_given_up() -> None:
    def script(line: Line, request: Request) -> None:
        line.send(b"HTTP/1.1 200 OK\r\nX: ")
        while line.send(b"x") and not line.stop.wait(0.01):
            pass

    with Origin(script) as origin, pytest.raises(Temporary, match="did not answer within"):
        downloader(read_timeout=0.3).open(origin.url())


def test_slow_provider_hands_over_before_the_block_is_full() -> None:
    slow = drip(b"x" * 10, every=0.1, Content_Length="1000000")
    with Origin(slow) as origin, downloader().open(origin.url()) as body:
        assert 0 < body.readinto(memoryview(bytearray(100_000))) < 1000


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "205 Reset Content"])
def test_empty_body_is_refused(status: str) -> None:
    with Origin(reply(b"", status)) as origin, pytest.raises(Permanent, match="empty"):
        downloader().open(origin.url())


def test_empty_chunked_body_is_refused() -> None:
    empty = raw(head(Transfer_Encoding="chunked"), b"0\r\n\r\n")
    with Origin(empty) as origin, pytest.raises(Permanent, match="empty"):
        read_all(downloader().open(origin.url()))


def test_closed_line_without_a_byte_is_tried_again_later() -> None:
    with Origin(raw(head())) as origin, pytest.raises(Temporary):
        read_all(downloader().open(origin.url()))


@pytest.mark.parametrize("name", ["Content_Encoding", "Transfer_Encoding"])
@pytest.mark.parametrize("value", ["gzip", "br", "gzip, chunked"])
def test_encoded_body_is_refused(name: str, value: str) -> None:
    with Origin(reply(b"x" * 100, **{name: value})) as origin, pytest.raises(Permanent):
        downloader().open(origin.url())


def test_length_told_in_two_ways_is_not_believed() -> None:
    doubled = raw(head(Content_Length="5", content_length="6"), b"abcdef")
    with Origin(doubled) as origin, pytest.raises(Temporary, match="Content-Length"):
        downloader().open(origin.url())


@pytest.mark.parametrize("data", [b"", b"\x15\x03\x01", b"SSH-2.0-x\r\n", b"\r\n" * 1000])
def test_what_is_no_http_is_temporary(data: bytes) -> None:
    with Origin(raw(data)) as origin, pytest.raises(Temporary):
        downloader().open(origin.url())


def test_closed_port_is_temporary() -> None:
    with Origin(reply()) as origin:
        pass
    with pytest.raises(Temporary, match="no connection"):
        downloader().open(origin.url())


def test_one_dead_address_does_not_hide_a_live_one() -> None:
    def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    nets = (ip_network("127.0.0.0/8"),)
    with Origin(reply(DATA)) as origin:
        found = Downloader(policy(allow_networks=nets), resolve=resolve)
        assert read_all(found.open(origin.url(host="cdn.test"))) == DATA


def test_no_message_shows_the_query() -> None:
    with Origin(cut(DATA, 10)) as origin, pytest.raises(Temporary) as raised:
        body = downloader().open(origin.url("/a?signature=SECRET"))
        assert "SECRET" not in repr(body) + repr(vars(body))
        read_all(body)
    assert "SECRET" not in str(raised.value)


def test_host_is_left_when_the_body_is_closed() -> None:
    gate = HostGate(failures=1, probes=1)
    gate.failed("127.0.0.1")
    with Origin(reply(DATA)) as origin:
        found = Downloader(policy(), gate=gate)
        body = found.open(origin.url())
        with pytest.raises(Busy, match="waiting"):
            found.open(origin.url())
        body.close()
        assert read_all(found.open(origin.url())) == DATA
