"""Which buckets can be reached: those of the primary storage, and one for each CDN target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, SecretStr

from worker.settings import values as v

R2_TARGET = "r2_cdn"
TARGET_FIELDS = (
    "ENDPOINT", "REGION", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "BUCKET", "PUBLIC_URL", "RATE_LIMIT"
)  # fmt: skip


@dataclass(frozen=True)
class StorageAccess:
    """What it takes to reach one bucket.

    `service` names the account in errors (`storage`, `cdn:r2_cdn`). `public_url` is what public
    URLs begin with, empty if the bucket is private; the key follows, after `/{bucket}` where
    `bucket_in_public_url`. `rate_limit` is in requests a second; 0 is no limit.
    """

    bucket: str
    endpoint: str
    region: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    public_url: str = ""
    service: str = "storage"
    bucket_in_public_url: bool = True
    rate_limit: float = 0.0


class TargetSettings(BaseModel):
    """The variables of one CDN target."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    endpoint: v.ApiEndpoint | None = None
    region: str = "auto"
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None
    bucket: str | None = None
    public_url: v.WebUrl | None = None
    rate_limit: v.Seconds | None = None

    def access(self, name: str, *, rate_limit: float) -> StorageAccess | None:
        """How to reach its bucket, `rate_limit` being the default; None where that is not set."""
        key_id, secret = self.access_key_id, self.secret_access_key
        if not (self.endpoint and key_id and secret and self.bucket):
            return None
        return StorageAccess(
            bucket=self.bucket,
            endpoint=self.endpoint,
            region=self.region,
            access_key_id=key_id.get_secret_value(),
            secret_access_key=secret.get_secret_value(),
            public_url=self.public_url or "",
            service=f"cdn:{name}",
            bucket_in_public_url=False,
            rate_limit=rate_limit if self.rate_limit is None else self.rate_limit,
        )

    def needs(self, name: str) -> Mapping[str, object]:
        """What has to be set, by the name of its variable."""
        found = (self.endpoint, self.access_key_id, self.secret_access_key, self.bucket)
        return dict(zip(_needed(name), found, strict=True))


def missing(needs: Mapping[str, object]) -> list[str]:
    """The variables without a value."""
    return [name for name, value in needs.items() if value is None]


def half_set(what: str, needs: Mapping[str, object]) -> list[str]:
    """A line when some of what is needed together is set, and some is not."""
    absent = missing(needs)
    if not absent or len(absent) == len(needs):
        return []
    present = [name for name in needs if name not in absent]
    return [f"{', '.join(absent)} missing: {', '.join(present)} set, and {what} needs all of them"]


def _needed(name: str) -> tuple[str, ...]:
    if name == R2_TARGET:
        return (
            "R2_ENDPOINT (or R2_ACCOUNT_ID)", "R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY",
            "R2_BUCKET_NAME",
        )  # fmt: skip
    parts = ("ENDPOINT", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "BUCKET")
    return tuple(f"CDN_{name.upper()}_{part}" for part in parts)
