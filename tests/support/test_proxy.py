from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator

import psycopg
import pytest

from tests.support.databases import PostgresServer
from tests.support.proxy import DatabaseProxy
from tests.support.wait import wait_until

SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # what libpq may ask first; answered with one byte


@pytest.fixture
def proxy(postgres_server: PostgresServer) -> Iterator[DatabaseProxy]:
    with DatabaseProxy(postgres_server.url) as proxy:
        yield proxy


def test_queries_go_through(proxy: DatabaseProxy) -> None:
    with psycopg.connect(proxy.url) as connection:
        row = connection.execute("select repeat('x', 1000000)").fetchone()
        assert proxy.connections == 1
    assert row and len(row[0]) == 1_000_000
    wait_until(lambda: proxy.connections == 0, message="the connection to be gone")


def test_a_frozen_connection_answers_nothing_and_goes_on_afterwards(proxy: DatabaseProxy) -> None:
    answers = []
    with psycopg.connect(proxy.url, autocommit=True) as connection:
        proxy.freeze()

        def ask() -> None:
            answers.append(connection.execute("select 7").fetchone())

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive() and not answers
        proxy.forward()
        thread.join(5)
        assert answers == [(7,)]


def test_a_connection_made_while_frozen_is_accepted_and_not_answered(
    proxy: DatabaseProxy,
) -> None:
    proxy.freeze()
    with socket.create_connection(("127.0.0.1", proxy.port)) as client:
        client.settimeout(0.1)
        client.sendall(SSL_REQUEST)
        with pytest.raises(TimeoutError):
            client.recv(1)
        proxy.forward()
        client.settimeout(5)
        assert client.recv(1) == b"N"


def test_cut_breaks_open_connections_and_refuses_new_ones(proxy: DatabaseProxy) -> None:
    connection = psycopg.connect(proxy.url)
    proxy.cut()
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select 1")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(proxy.url)
    connection.close()


def test_forward_after_cut_accepts_again(proxy: DatabaseProxy) -> None:
    proxy.cut()
    proxy.forward()
    with psycopg.connect(proxy.url) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_dropped_connections_can_be_made_anew_at_once(proxy: DatabaseProxy) -> None:
    with pytest.raises(psycopg.OperationalError), psycopg.connect(proxy.url) as connection:
        proxy.drop_connections()
        connection.execute("select 1")
    with psycopg.connect(proxy.url) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_frozen_proxy_closes(postgres_server: PostgresServer) -> None:
    before = threading.active_count()
    with DatabaseProxy(postgres_server.url) as proxy:
        connection = psycopg.connect(proxy.url)
        proxy.freeze()
    connection.close()
    assert threading.active_count() == before


async def test_it_serves_asynchronous_clients(proxy: DatabaseProxy) -> None:
    async with await psycopg.AsyncConnection.connect(proxy.url) as connection:
        proxy.freeze()
        asked = asyncio.create_task(connection.execute("select 7"))
        done, _ = await asyncio.wait([asked], timeout=0.1)
        assert not done
        proxy.forward()
        assert await (await asked).fetchone() == (7,)
