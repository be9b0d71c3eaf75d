from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.support.wait import wait_until
from worker.demo.behaviour import Behaviour, Gate, document, page, redirect, refusal
from worker.demo.bodies import Bytes, GeneratedMp3, media, sha256
from worker.demo.provider import Provider, Request

MELODY = media("melody.mp3").content
BODY = Bytes(bytes(range(256)) * 400, "audio/mpeg")


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=5, trust_env=False) as client:
        yield client


def test_media_files_are_served_whole(provider: Provider, client: httpx.Client) -> None:
    answer = client.get(provider.url("/ok/melody.mp3"))
    assert answer.status_code == 200
    assert answer.content == MELODY
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.headers["content-length"] == str(len(MELODY))
    assert answer.headers["etag"].startswith('"')


def test_an_unknown_path_is_not_found(provider: Provider, client: httpx.Client) -> None:
    assert client.get(provider.url("/ok/nothing.mp3")).status_code == 404
    assert client.get(provider.url("/elsewhere")).status_code == 404


def test_a_connection_is_used_again(provider: Provider) -> None:
    with socket.create_connection(address(provider)) as connection:
        for _ in range(2):
            connection.sendall(b"HEAD /ok/cover.jpg HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = connection.recv(10_000)
            assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"\r\n\r\n")


def test_generated_audio_has_its_size_and_depends_on_the_seed_only(
    provider: Provider, client: httpx.Client
) -> None:
    first, again, other = (
        client.get(provider.url(f"/generated/{seed}/1000000.mp3")).content for seed in (1, 1, 2)
    )
    assert len(first) == len(again) == len(other) == 1_000_000
    assert first == again != other


def test_scripts_are_used_in_turn_and_the_last_one_stays(
    provider: Provider, client: httpx.Client
) -> None:
    url = provider.serve("/a.mp3", refusal(500), refusal(503, retry_after=7), Behaviour())
    answers = [client.get(url) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [500, 503, 200, 200]
    assert answers[1].headers["retry-after"] == "7"
    assert answers[3].content == MELODY


def test_a_script_may_depend_on_the_request(provider: Provider, client: httpx.Client) -> None:
    def refresh(request: Request) -> Behaviour:
        return document({"query": request.query, "asked": request.body.decode()})

    url = provider.serve("/refresh", refresh)
    answer = client.post(f"{url}?a=1", content="fresh, please")
    assert answer.json() == {"query": "a=1", "asked": "fresh, please"}


def test_a_page_looks_like_a_page(provider: Provider, client: httpx.Client) -> None:
    answer = client.get(provider.serve("/a.mp3", page()))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.text.startswith("<!doctype html>")


def test_a_redirect_goes_wherever_it_is_told(provider: Provider, client: httpx.Client) -> None:
    url = provider.serve("/a", redirect("http://169.254.169.254/latest", status=307))
    answer = client.get(url)
    assert (answer.status_code, answer.headers["location"]) == (
        307,
        "http://169.254.169.254/latest",
    )


def test_a_resumed_transfer_gets_the_rest(provider: Provider, client: httpx.Client) -> None:
    url = provider.serve("/a.mp3", Behaviour(BODY, cut_after=1000), Behaviour(BODY))
    start, etag = read_until_cut(client, url)
    assert start == BODY.content[:1000]
    rest = client.get(url, headers={"Range": "bytes=1000-", "If-Range": etag})
    assert rest.status_code == 206
    assert rest.headers["content-range"] == f"bytes 1000-{BODY.size - 1}/{BODY.size}"
    assert start + rest.content == BODY.content


def test_a_changed_file_is_not_resumed(provider: Provider, client: httpx.Client) -> None:
    url = provider.serve("/a.mp3", Behaviour(BODY))
    answer = client.get(url, headers={"Range": "bytes=1000-", "If-Range": '"another"'})
    assert (answer.status_code, answer.content) == (200, BODY.content)


def test_without_ranges_the_whole_file_comes(provider: Provider, client: httpx.Client) -> None:
    url = provider.serve("/a.mp3", Behaviour(BODY, ranges=False))
    answer = client.get(url, headers={"Range": "bytes=1000-"})
    assert (answer.status_code, answer.content) == (200, BODY.content)


@pytest.mark.parametrize(("asked", "got"), [("bytes=5-9", b"\5\6\7\x08\x09"), ("bytes=0-0", b"\0")])
def test_a_closed_range_is_honoured(
    provider: Provider, client: httpx.Client, asked: str, got: bytes
) -> None:
    answer = client.get(provider.serve("/a", Behaviour(BODY)), headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, got)


def test_a_range_behind_the_end_is_refused(provider: Provider, client: httpx.Client) -> None:
    url = provider.serve("/a", Behaviour(BODY))
    answer = client.get(url, headers={"Range": f"bytes={BODY.size}-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{BODY.size}"


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_a_body_without_length_arrives_whole(
    provider: Provider, client: httpx.Client, framing: str
) -> None:
    answer = client.get(provider.serve("/a", Behaviour(BODY, framing=framing)))  # type: ignore[arg-type]
    assert "content-length" not in answer.headers
    assert answer.content == BODY.content


def test_a_cut_chunked_body_is_an_error_to_the_client(
    provider: Provider, client: httpx.Client
) -> None:
    url = provider.serve("/a", Behaviour(BODY, framing="chunked", cut_after=1000))
    assert read_until_cut(client, url)[0] == BODY.content[:1000]


def test_a_cut_body_that_ends_with_the_connection_looks_complete(
    provider: Provider, client: httpx.Client
) -> None:
    url = provider.serve("/a", Behaviour(BODY, framing="close", cut_after=1000))
    assert client.get(url).content == BODY.content[:1000]
    assert not provider.requests("/a")[0].finished


def test_a_reset_is_a_reset(provider: Provider, client: httpx.Client) -> None:
    url = provider.serve("/a", Behaviour(BODY, cut_after=10, reset=True))
    with pytest.raises(httpx.ReadError):
        client.get(url)


def test_a_length_that_promises_too_much_is_an_error_to_the_client(
    provider: Provider, client: httpx.Client
) -> None:
    url = provider.serve("/a", Behaviour(BODY, declared_length=BODY.size + 1))
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(url)
    assert provider.requests("/a")[0].sent == BODY.size


def test_a_length_that_promises_too_little_looks_complete(
    provider: Provider, client: httpx.Client
) -> None:
    url = provider.serve("/a", Behaviour(BODY, declared_length=BODY.size - 1))
    assert client.get(url).content == BODY.content[:-1]
    wait_until(lambda: provider.requests("/a")[0].sent == BODY.size)


def test_a_body_may_come_compressed(provider: Provider, client: httpx.Client) -> None:
    zeros = Bytes(bytes(5_000_000), "audio/mpeg")
    url = provider.serve("/bomb", Behaviour(zeros, gzipped=True))
    with client.stream("GET", url) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert len(raw) < 10_000
    assert gzip.decompress(raw) == zeros.content


def test_types_tags_and_headers_can_be_others(provider: Provider, client: httpx.Client) -> None:
    script = Behaviour(BODY, content_type="", etag='W/"weak"', headers={"X-Word": "blue"})
    answer = client.get(provider.serve("/a", script))
    assert "content-type" not in answer.headers
    assert (answer.headers["etag"], answer.headers["x-word"]) == ('W/"weak"', "blue")


def test_a_slow_body_takes_its_time(provider: Provider, client: httpx.Client) -> None:
    body = Bytes(bytes(2000))
    url = provider.serve("/slow", Behaviour(body, bytes_per_second=10_000))
    started = time.monotonic()
    assert client.get(url).content == body.content
    assert 0.15 <= time.monotonic() - started < 2


def test_an_endless_body_ends_with_the_client(provider: Provider, client: httpx.Client) -> None:
    url = provider.serve("/endless", Behaviour(GeneratedMp3(seed=1, size=None)))
    with client.stream("GET", url) as answer:
        stream = answer.iter_raw()
        assert sum(len(next(stream)) for _ in range(40)) > 1_000_000
    wait_until(lambda: provider.requests("/endless")[0].sent > 1_000_000)


def test_a_hanging_answer_never_comes(provider: Provider, client: httpx.Client) -> None:
    url = provider.serve("/hang", Behaviour(hang=True))
    with pytest.raises(httpx.ReadTimeout):
        client.get(url, timeout=0.1)
    assert provider.requests("/hang")[0].status is None


def test_a_gate_holds_a_transfer_at_an_exact_byte(provider: Provider, client: httpx.Client) -> None:
    gate = Gate(at=70_000)
    url = provider.serve("/a", Behaviour(BODY, gate=gate))
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(client.get(url).content))
    reader.start()
    assert gate.reached.wait(5)
    assert provider.requests("/a")[0].sent == 70_000
    gate.release()
    reader.join(5)
    assert got == [BODY.content]
    assert client.get(url).content == BODY.content


def test_a_client_that_leaves_at_a_gate_ends_its_transfer(provider: Provider) -> None:
    gate = Gate(at=10)
    path = "/a"
    provider.serve(path, Behaviour(BODY, gate=gate))
    before = threading.active_count()
    with socket.create_connection(address(provider)) as connection:
        connection.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        assert gate.reached.wait(5)
    wait_until(lambda: threading.active_count() <= before, message="its thread to end")
    assert not provider.requests(path)[0].finished


def test_the_journal_tells_what_was_asked_and_sent(
    provider: Provider, client: httpx.Client
) -> None:
    client.get(provider.url("/ok/cover.jpg?token=1"), headers={"Range": "bytes=10-19"})
    client.head(provider.url("/ok/melody.mp3"))
    entry, head = provider.requests()
    assert (entry.method, entry.path, entry.query) == ("GET", "/ok/cover.jpg", "token=1")
    assert entry.headers["range"] == "bytes=10-19"
    wait_until(lambda: entry.finished and head.finished)
    assert (entry.status, entry.sent) == (206, 10)
    assert (head.status, head.sent) == (200, 0)
    assert provider.requests("/ok/melody.mp3") == [head]


def test_reset_forgets_and_cuts(provider: Provider, client: httpx.Client) -> None:
    gate = Gate(at=10)
    url = provider.serve("/a", Behaviour(BODY, gate=gate))
    with client.stream("GET", url) as answer:
        assert gate.reached.wait(5)
        provider.reset()
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()
    assert provider.requests() == []
    assert client.get(url).status_code == 404


def test_stop_ends_every_transfer_and_thread() -> None:
    before = threading.active_count()
    with Provider() as provider, socket.create_connection(address(provider)) as connection:
        provider.serve("/a", Behaviour(hang=True))
        connection.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: provider.requests("/a"))
        provider.stop()
        assert connection.recv(1) == b""
    wait_until(lambda: threading.active_count() <= before, message="its threads to end")


def test_a_large_generated_file_takes_no_memory_and_is_what_it_says(
    provider: Provider, client: httpx.Client
) -> None:
    body = GeneratedMp3(seed=3, size=30_000_000)
    with client.stream("GET", provider.url("/generated/3/30000000.mp3")) as answer:
        received = sum(len(block) for block in answer.iter_raw())
    assert received == body.size
    assert max(len(block) for block in body.blocks()) <= 64 * 1024
    assert len(sha256(body)) == 64


def address(provider: Provider) -> tuple[str, int]:
    url = httpx.URL(provider.url("/"))
    return url.host, url.port or 80


def read_until_cut(client: httpx.Client, url: str) -> tuple[bytes, str]:
    got = bytearray()
    with client.stream("GET", url) as answer, pytest.raises(httpx.RemoteProtocolError):
        for block in answer.iter_raw():
            got += block
    return bytes(got), answer.headers["etag"]
