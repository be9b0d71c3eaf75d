"""The storage service: what people do with the objects of one bucket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self

from worker.errors import Misconfigured
from worker.settings import R2_TARGET, Settings, load_settings
from worker.storage import copying, failures, urls
from worker.storage.bucket import Bucket, ObjectInfo
from worker.storage.config import StorageTarget
from worker.storage.content_types import content_type_of
from worker.storage.limits import LONGEST_VALIDITY, check_content_type, check_lifetime
from worker.storage.local import Material, no_progress, opened
from worker.storage.reading import Download
from worker.storage.throttle import Turns
from worker.storage.transfer import Transfer

R2 = f"cdn:{R2_TARGET}"
HOUR = 3600


@dataclass(frozen=True)
class Uploaded:
    """An object that was stored and verified; `size` in bytes.

    `url` is unsigned: who may use it depends on the bucket. `filename` is the name that the file
    came with, or the end of its key.
    """

    url: str
    key: str
    filename: str
    mimetype: str
    size: int

    def as_json(self) -> dict[str, Any]:
        """The same as a JSON object."""
        return asdict(self)


class ObjectStore(Bucket):
    """One bucket of any S3 storage. Calls block, and may come from many threads at once.

    Every method raises `Outage` when the storage does not work or refuses us (`retry_after` says
    how long it wants to be left alone), `Temporary` or `Permanent` when it refuses the request
    itself, and `BadKey`, a `ValueError`, for a key that different servers take differently.
    """

    def __init__(
        self,
        target: StorageTarget,
        *,
        client: Any = None,
        throttle: Turns | None = None,
        transfer: Transfer | None = None,
    ) -> None:
        """`client` and `throttle` are shared between the buckets of one account, `transfer`
        between all. A client that is given was made with the same throttle.
        """
        super().__init__(target, client=client, throttle=throttle)
        self._given_transfer = transfer

    @classmethod
    def from_settings(cls, place: str = R2, *, settings: Settings | None = None) -> Self:
        """The R2 bucket, `cdn:{target}`'s bucket, or the primary storage's `storage:{bucket}`.

        The settings are loaded unless given. Raises `Misconfigured`, which names the variables
        that are missing.
        """
        return cls(StorageTarget.of((settings or load_settings()).access(place)))

    @staticmethod
    def status() -> dict[str, Any]:
        """Whether the R2 bucket is configured; settings that are wrong do not configure it."""
        try:
            configured = load_settings().cdn(R2_TARGET) is not None
        except Misconfigured:
            configured = False
        return {"r2Configured": configured, "provider": "cloudflare-r2"}

    def upload(
        self,
        key: str,
        source: Material,
        content_type: str | None = None,
        *,
        cache_control: str | None = None,
        progress: Callable[[int], None] = no_progress,
    ) -> Uploaded:
        """Stores bytes, the file at a path, or what is left of a binary stream; or nothing.

        Large ones go in parts; memory stays bounded, whatever the size (see `Transfer`). Without
        a content type, the extension of the key or the file decides. `progress` is told of every
        block how many bytes it has. Raises `OSError` when a file cannot be read.
        """
        with opened(source, progress=progress) as local:
            stored = self._transfer.send(
                local,
                self,
                key,
                content_type=check_content_type(
                    content_type or content_type_of(key, local.filename)
                ),
                cache_control=cache_control,
                may_finish=lambda: None,
                expires_in=LONGEST_VALIDITY,
            )
        name = local.filename or key.rpartition("/")[2]
        return Uploaded(self.public_url(key), key, name, stored.content_type, stored.bytes)

    def download(self, key: str) -> Download:
        """Opens the object for reading: `with store.download(key) as body: body.save("a.mp3")`.

        Raises `NoSuchObject` when nothing is stored at the key.
        """
        with failures.translated(self.target):
            answer = self.client.get_object(**self._at(key))
        return Download(self.target, ObjectInfo.read(key, answer), answer["Body"])

    def exists(self, key: str) -> bool:
        """Whether an object is stored at the key."""
        return self.head(key) is not None

    def copy(
        self,
        key: str,
        to: str,
        *,
        bucket: Bucket | None = None,
        content_type: str | None = None,
        cache_control: str | None = None,
    ) -> ObjectInfo:
        """Copies an object inside the account, to another key and perhaps another bucket.

        The bytes do not leave the storage. It keeps its content type and cache control, unless
        others are given. Returns the copy, verified; raises `NoSuchObject` when there is no such
        object, and `Temporary` when it was overwritten meanwhile.
        """
        headers = copying.headers(content_type=content_type, cache_control=cache_control)
        return copying.copy(self, key, bucket or self, to, changes=headers)

    def signed_download_url(self, key: str, expires_in: int = HOUR) -> str:
        """A URL by which anybody can read the object for 1 second to 7 days.

        It is as secret as a password: not for logs or tables.
        """
        return self._signer.presign("GET", key, expires_in=check_lifetime(expires_in))

    def signed_upload_url(self, key: str, content_type: str, expires_in: int = HOUR) -> str:
        """A URL by which anybody can PUT the object for 1 second to 7 days.

        The request must carry exactly this Content-Type. It is as secret as a password.
        """
        headers = {"Content-Type": check_content_type(content_type)}
        lifetime = check_lifetime(expires_in)
        return self._signer.presign("PUT", key, expires_in=lifetime, headers=headers)

    def public_url(self, key: str) -> str:
        """The object's URL, unsigned: on the endpoint when the bucket is private."""
        return self.url(key)

    def key_from_url(self, url: str) -> str:
        """The key that any URL of the bucket leads to: public, on the endpoint, or signed.

        Raises `ForeignUrl`, a `ValueError`, for a URL that leads elsewhere.
        """
        return urls.key_of(self.target, url)

    def close(self) -> None:
        """Closes the connections of the client, and of all who share it."""
        self.client.close()
        if self._given_transfer is None and "_transfer" in vars(self):
            self._transfer.close()

    @cached_property
    def _transfer(self) -> Transfer:
        return self._given_transfer or Transfer()
