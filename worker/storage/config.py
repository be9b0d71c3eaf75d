"""Which bucket, where, and with which key."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True)
class StorageTarget:
    """One bucket of one account.

    `service` names the account in errors (`storage`, `cdn:r2_cdn`): what waits for one of its
    buckets waits for all. Without a `public_url` the bucket is private.
    """

    service: str
    endpoint: str
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    bucket: str
    public_url: str = ""

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
        return f"R2_{name}" if target == "r2_cdn" else f"CDN_{target.upper()}_{name}"
