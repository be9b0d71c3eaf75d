"""Which bucket, where, and with which key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from worker.settings import R2_TARGET, StorageAccess


@dataclass(frozen=True)
class StorageTarget:
    """One bucket of one account.

    `service` names the account in errors (`storage`, `cdn:r2_cdn`): what waits for one of its
    buckets waits for all. Without a `public_url` the bucket is private; with one, public URLs
    are `{public_url}/{bucket}/{key}`, or `{public_url}/{key}` where `bucket_in_public_url` is not.
    """

    service: str
    endpoint: str
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    bucket: str
    public_url: str = ""
    bucket_in_public_url: bool = True

    @classmethod
    def of(cls, access: StorageAccess) -> Self:
        """The bucket that the settings describe."""
        return cls(
            service=access.service,
            endpoint=access.endpoint,
            region=access.region,
            access_key_id=access.access_key_id,
            secret_access_key=access.secret_access_key,
            bucket=access.bucket,
            public_url=access.public_url,
            bucket_in_public_url=access.bucket_in_public_url,
        )

    @property
    def host(self) -> str:
        """Host and port of the endpoint, for messages."""
        parts = urlsplit(self.endpoint)
        return parts.netloc.rpartition("@")[2] or self.endpoint

    @property
    def is_public_url(self) -> bool:
        """Whether the endpoint is a public `r2.dev` address, which speaks no S3."""
        return self.host.partition(":")[0].endswith("r2.dev")

    def setting(self, name: str) -> str:
        """The variable that sets `name` for this target, such as `STORAGE_ACCESS_KEY_ID`."""
        kind, _, target = self.service.partition(":")
        if kind != "cdn":
            return f"{kind.upper()}_{name}"
        return f"R2_{name}" if target == R2_TARGET else f"CDN_{target.upper()}_{name}"

    @property
    def place_settings(self) -> str:
        """The variables that say where the storage is; R2 has no region to set."""
        endpoint, region = self.setting("ENDPOINT"), self.setting("REGION")
        return endpoint if region == "R2_REGION" else f"{region} and {endpoint}"
