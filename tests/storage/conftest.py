from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.storage.helpers import store_on
from tests.storage.s3_standin import S3StandIn
from tests.storage.sources import KIB
from tests.support.buckets import S3ForTests
from tests.support.strict_bucket import StrictBucket
from tests.support.strict_s3 import StrictS3
from worker.storage import ObjectStore, Source, StorageTarget, Stored, Transfer
from worker.storage.client import make_client

KEY = "user/track.mp3"


class Send(Protocol):
    def __call__(self, source: Source, store: ObjectStore, **changes: object) -> Stored: ...


@pytest.fixture
def transfer() -> Transfer:
    """Small sizes, so that small bodies meet every path."""
    return Transfer(
        multipart_threshold=512 * KIB,
        part_size=200 * KIB,
        unknown_part_size=256 * KIB,
        block=64 * KIB,
        request_timeout=5,
    )


@pytest.fixture
def send(transfer: Transfer) -> Send:
    return partial(send_with, transfer)


def send_with(transfer: Transfer, source: Source, store: ObjectStore, **changes: object) -> Stored:
    options: dict[str, object] = {
        "key": KEY,
        "content_type": "audio/mpeg",
        "cache_control": "public, max-age=60",
        "may_finish": lambda: None,
        "expires_in": 60,
    }
    return transfer.send(source, store, **options | changes)  # type: ignore[arg-type]


def target_at(endpoint: str, bucket: str = "bucket", **changes: str) -> StorageTarget:
    parts = {"access_key_id": "the-key-id", "secret_access_key": "the-secret"} | changes
    return StorageTarget("storage", endpoint, "us-east-1", bucket=bucket, **parts)


@pytest.fixture
def standin() -> Iterator[S3StandIn]:
    with S3StandIn() as server:
        yield server


@pytest.fixture
def store(standin: S3StandIn) -> Iterator[ObjectStore]:
    """The stand-in's bucket."""
    store = ObjectStore(target_at(standin.endpoint))
    yield store
    store.client.close()


@pytest.fixture(scope="session")
def client(s3: S3ForTests) -> Iterator[Any]:
    """Shared, since making one takes its time."""
    client = make_client(target_at(s3.endpoint))
    yield client
    client.close()


@pytest.fixture
def bucket(s3: S3ForTests, client: Any) -> ObjectStore:
    """A fresh bucket of the full server."""
    return ObjectStore(target_at(s3.endpoint, s3.fresh_bucket()), client=client)


@pytest.fixture(scope="session")
def strict_server() -> Iterator[StrictS3]:
    with StrictS3() as server:
        yield server


@pytest.fixture
def strict(strict_server: StrictS3) -> Iterator[StrictS3]:
    """The strict server, with an empty journal. Nobody may make it wait for an interim answer."""
    strict_server.reset()
    yield strict_server
    assert [seen.path for seen in strict_server.journal if "expect" in seen.headers] == []


@pytest.fixture(scope="session")
def clients() -> Iterator[dict[str, Any]]:
    """One for each server, since making one takes its time."""
    made: dict[str, Any] = {}
    yield made
    for client in made.values():
        client.close()


@pytest.fixture
def strict_store(strict: StrictS3, clients: dict[str, Any]) -> ObjectStore:
    """A fresh bucket of the strict server."""
    return store_on(strict, clients)


@pytest.fixture
def strict_env(strict: StrictS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StrictS3:
    """The strict server as R2, by the environment's variables, with the bucket `media`."""
    strict.buckets["media"] = StrictBucket()
    for name, value in {
        "R2_ENDPOINT": strict.endpoint,
        "R2_ACCESS_KEY_ID": strict.access_key_id,
        "R2_SECRET_ACCESS_KEY": strict.secret_access_key,
        "R2_BUCKET_NAME": "media",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return strict


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate for `localhost`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    file.write_bytes(private + signed.public_bytes(pem))
    return file


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def client_tls(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))
