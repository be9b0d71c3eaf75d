"""Does each bucket take, return and delete objects?"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from botocore.exceptions import ClientError

from worker.doctor.model import Finding
from worker.errors import Misconfigured, Outage, WorkError
from worker.settings import Settings, StorageAccess
from worker.settings.buckets import R2_TARGET
from worker.storage.config import StorageTarget
from worker.storage.failures import refusal_of, translated
from worker.storage.store import ObjectStore

# What needs no name in a request to create a bucket.
NO_LOCATION = ("", "auto", "us-east-1")


def check_buckets(settings: Settings, *, fix: bool) -> list[Finding]:
    """Write, read and delete a tiny object in each; `fix` creates those that are missing."""
    accesses = list(_accesses(settings))
    if not accesses:
        return []
    with ThreadPoolExecutor(len(accesses)) as executor:
        return list(executor.map(lambda access: _check(access, fix=fix), accesses))


def _accesses(settings: Settings) -> Iterator[StorageAccess]:
    buckets = dict.fromkeys(settings.track_buckets.values())
    found = [settings.storage(bucket) for bucket in buckets]
    found += [settings.cdn(name) for name in dict.fromkeys((R2_TARGET, *settings.cdn_targets))]
    yield from (access for access in found if access is not None)


def _check(access: StorageAccess, *, fix: bool) -> Finding:
    target = StorageTarget(
        service=access.service,
        endpoint=access.endpoint,
        region=access.region,
        access_key_id=access.access_key_id,
        secret_access_key=access.secret_access_key,
        bucket=access.bucket,
    )
    try:
        store = ObjectStore(target)
    except Misconfigured as error:
        return Finding("error", str(error), f"correct {target.setting('ENDPOINT')}")
    with closing(store.client):
        return _probe(store, fix=fix)


def _probe(store: ObjectStore, *, fix: bool) -> Finding:
    bucket = store.target.bucket
    try:
        store.check()
    except Misconfigured as error:
        if _is_missing_bucket(error):
            return _create(store) if fix else _missing(store)
        said, _, advice = str(error).rpartition(": ")
        return Finding("error", f"bucket {bucket}: {said}", advice)
    except WorkError as error:
        advice = "see to the storage; what needs it waits, and goes on by itself"
        return Finding("error", f"bucket {bucket}: {error}", advice)
    return Finding("ok", f"bucket {bucket} takes, returns and deletes objects")


def _missing(store: ObjectStore) -> Finding:
    target = store.target
    by_hand = f"aws s3 mb s3://{target.bucket} --endpoint-url {target.endpoint}"
    mend = f"media-worker doctor --fix creates it; or: {by_hand}; or correct the setting"
    return Finding("error", f"bucket {target.bucket} does not exist at {target.host}", mend)


def _create(store: ObjectStore) -> Finding:
    bucket, region = store.target.bucket, store.target.region
    try:
        try:
            _send_creation(store, location=None if region in NO_LOCATION else region)
        except Outage:
            # some want the region named that others refuse to hear of
            _send_creation(store, location=region)
        store.check()
    except (Misconfigured, WorkError) as error:
        what = f"bucket {bucket} could not be created: {error}"
        return Finding("error", what, "create it by hand")
    return Finding("ok", f"bucket {bucket} was missing and has been created, private")


def _send_creation(store: ObjectStore, *, location: str | None) -> None:
    place = {"CreateBucketConfiguration": {"LocationConstraint": location}} if location else {}
    with translated(store.target):
        store.client.create_bucket(Bucket=store.target.bucket, **place)


def _is_missing_bucket(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ClientError):
            return refusal_of(error).name == "NoSuchBucket"
        error = error.__cause__
    return False
