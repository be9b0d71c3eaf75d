"""Every setting with its default: the variable is the field's name in capitals."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from worker.errors import Misconfigured
from worker.settings import buckets
from worker.settings import values as v
from worker.settings.buckets import R2_TARGET, StorageAccess, TargetSettings
from worker.settings.cloudinary import CloudinaryAccess, cloudinary_needs

MEBIBYTE = 2**20


class Settings(BaseSettings):
    """All settings, valid. Made by `load_settings`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    database_url: v.DatabaseUrl | None = None

    storage_endpoint: v.ApiEndpoint | None = None
    storage_region: str = "auto"
    storage_access_key_id: SecretStr | None = None
    storage_secret_access_key: SecretStr | None = None
    storage_public_url: v.WebUrl | None = None
    storage_audio_bucket: str = "tracks-audio"
    storage_cover_bucket: str = "tracks-covers"
    storage_video_bucket: str = "tracks-videos"
    storage_source_bucket: str = "audio-files"

    r2_endpoint: v.ApiEndpoint | None = None
    r2_account_id: v.AccountId | None = None
    r2_access_key_id: SecretStr | None = None
    r2_secret_access_key: SecretStr | None = None
    r2_bucket_name: str | None = None
    r2_public_url: v.WebUrl | None = None

    cdn_targets: v.Targets = (R2_TARGET,)
    cdn_further: Mapping[str, TargetSettings] = {}  # by name: their CDN_<NAME>_…
    cdn_audio_prefix: str = "audio"
    cdn_metadata_prefix: str = "metadata"
    cdn_max_bytes: v.Bytes = 500 * MEBIBYTE
    cdn_rate_limit: v.Seconds = 0.0  # requests a second per target, 0: without limit
    cloudflare_zone_id: v.AccountId | None = None
    cloudflare_api_token: v.Token | None = None
    cloudflare_api_base: v.WebUrl = "https://api.cloudflare.com/client/v4"

    cloudinary_url: v.CloudinaryUrl | None = None
    cloudinary_cloud_name: str | None = None
    cloudinary_api_key: SecretStr | None = None
    cloudinary_api_secret: SecretStr | None = None
    cloudinary_api_base: v.WebUrl = "https://api.cloudinary.com"
    cloudinary_upload_preset: str | None = None
    cloudinary_folder: str = "main-uploads"

    cleanup_interval: v.PositiveSeconds = 30.0
    cleanup_batch_size: v.PositiveCount = 100
    cleanup_max_retries: v.PositiveCount = 3
    delete_grace: v.Seconds = 0.0
    delete_hold_above: v.Count = 10_000

    sync_conflict_policy: Annotated[Literal["newest", "cloudinary", "database"], v.Lowercase] = (
        "newest"
    )
    webhook_max_age: v.PositiveSeconds = 300.0

    archive_daily_at: v.TimeOfDay = datetime.time(3, 0)  # UTC
    archive_daily_limit: v.PositiveCount = 200
    archive_refresh_url: Annotated[v.AnyWebUrl | None, Field(repr=False)] = None

    check_daily_at: v.TimeOfDay = datetime.time(4, 0)  # UTC
    check_repair: bool = False
    check_max_deletions: v.Count = 100

    download_allowed_hosts: v.Hosts = ()  # empty: any public host
    download_allow_networks: v.Networks = ()
    download_max_bytes: v.Bytes = 500 * MEBIBYTE

    notification_language: Annotated[Literal["en", "ru"], v.Lowercase] = "en"
    retry_delays: v.Delays = (5.0, 10.0, 60.0, 300.0, 1800.0, 7200.0, 21600.0)

    worker_concurrency: v.PositiveCount = 16
    shutdown_grace: v.Seconds = 30.0
    work_retention_days: v.PositiveCount = 30
    metrics_port: v.Port | None = None

    serve_host: str = "127.0.0.1"
    serve_port: v.Port = 8080
    service_key: SecretStr | None = None
    jwt_secret: SecretStr | None = None
    admin_password: SecretStr | None = None
    cors_origins: v.Origins = ()

    @classmethod
    def settings_customise_sources(  # type: ignore[override]
        cls,
        _settings_class: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        **_others: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load_settings` has read: it reads files too, and collects all problems."""
        return (init_settings,)

    @property
    def archive_configured(self) -> bool:
        """The archive can work; otherwise it is off, and `archive_missing` says why."""
        return not self.archive_missing

    @property
    def archive_missing(self) -> list[str]:
        """The names of the variables that the archive still needs."""
        return buckets.missing(self._storage_needs)

    @property
    def half_configured(self) -> list[str]:
        """What is set only in part: a line each, which names the variables that are missing."""
        lines = buckets.half_set("storage", self._storage_needs)
        # the cloud's name alone is in many an environment, for the team's front end
        if self.cloudinary_missing != ["CLOUDINARY_API_KEY", "CLOUDINARY_API_SECRET"]:
            lines += buckets.half_set("Cloudinary", self._cloudinary_needs)
        lines += buckets.half_set("purging the CDN's cache", self._purge_needs)
        for name in dict.fromkeys((R2_TARGET, *self.cdn_targets)):
            lines += buckets.half_set(f"the target {name}", self._target(name).needs(name))
        return lines

    @property
    def cloudinary(self) -> CloudinaryAccess | None:
        """How to reach the Cloudinary account; None where none is set."""
        name, key, secret = self._cloudinary_needs.values()
        if name is None or key is None or secret is None:
            return None
        return CloudinaryAccess(name, key, secret, self.cloudinary_api_base)

    @property
    def cloudinary_missing(self) -> list[str]:
        """The names of the variables that Cloudinary still needs."""
        return buckets.missing(self._cloudinary_needs)

    def access(self, place: str) -> StorageAccess:
        """How to reach `cdn:{target}`, or `storage:{bucket}`.

        Raises `Misconfigured`, naming the variables that are missing, and for an unknown place.
        """
        kind, _, name = place.partition(":")
        if not name or kind not in ("cdn", "storage"):
            raise Misconfigured(
                f"{place!r} is no storage: name one as cdn:TARGET or storage:BUCKET"
            )
        found = self.storage(name) if kind == "storage" else self.cdn(name)
        if found is None:
            absent = self.archive_missing if kind == "storage" else self.cdn_missing(name)
            raise Misconfigured(f"{place} is not configured: set {', '.join(absent)}")
        return found

    @property
    def track_buckets(self) -> Mapping[Literal["audio", "cover", "video"], str]:
        """The buckets of tracks' files, by role; several roles may share one."""
        return {
            "audio": self.storage_audio_bucket,
            "cover": self.storage_cover_bucket,
            "video": self.storage_video_bucket,
        }

    def storage(self, bucket: str) -> StorageAccess | None:
        """How to reach a bucket of the primary storage; None where no storage is set."""
        endpoint = self.storage_endpoint
        key_id, secret = self.storage_access_key_id, self.storage_secret_access_key
        if endpoint is None or key_id is None or secret is None:
            return None
        return StorageAccess(
            bucket=bucket,
            endpoint=endpoint,
            region=self.storage_region,
            access_key_id=key_id.get_secret_value(),
            secret_access_key=secret.get_secret_value(),
            public_url=self.storage_public_url or "",
        )

    def cdn(self, name: str) -> StorageAccess | None:
        """How to reach the bucket of a CDN target; None where that is not set.

        `r2_cdn` is the bucket of the R2 variables. Raises `Misconfigured` for a name that is not
        in `CDN_TARGETS`.
        """
        return self._target(name).access(name.lower(), rate_limit=self.cdn_rate_limit)

    @property
    def cdn_lacking(self) -> list[str]:
        """The names of the variables that a first CDN target needs; none where there is one."""
        missing = [self.cdn_missing(name) for name in self.cdn_targets]
        return missing[0] if all(missing) else []

    def cdn_missing(self, name: str) -> list[str]:
        """The names of the variables that a CDN target still needs."""
        return buckets.missing(self._target(name).needs(name.lower()))

    @property
    def _storage_needs(self) -> Mapping[str, object]:
        return {
            "STORAGE_ENDPOINT": self.storage_endpoint,
            "STORAGE_ACCESS_KEY_ID": self.storage_access_key_id,
            "STORAGE_SECRET_ACCESS_KEY": self.storage_secret_access_key,
        }

    @property
    def _cloudinary_needs(self) -> Mapping[str, str | None]:
        return cloudinary_needs(
            self.cloudinary_url,
            self.cloudinary_cloud_name,
            self.cloudinary_api_key,
            self.cloudinary_api_secret,
        )

    @property
    def _purge_needs(self) -> Mapping[str, object]:
        return {
            "CLOUDFLARE_ZONE_ID": self.cloudflare_zone_id,
            "CLOUDFLARE_API_TOKEN": self.cloudflare_api_token,
        }

    def _target(self, name: str) -> TargetSettings:
        name = name.lower()
        if name == R2_TARGET:
            return self._r2
        if name not in self.cdn_targets:
            known = ", ".join(self.cdn_targets)
            raise Misconfigured(f"{name!r} is no CDN target: CDN_TARGETS names {known}")
        return self.cdn_further.get(name, TargetSettings())

    @property
    def _r2(self) -> TargetSettings:
        account = self.r2_account_id
        from_account = account and f"https://{account}.r2.cloudflarestorage.com"
        return TargetSettings(
            endpoint=self.r2_endpoint or from_account,
            access_key_id=self.r2_access_key_id,
            secret_access_key=self.r2_secret_access_key,
            bucket=self.r2_bucket_name,
            public_url=self.r2_public_url,
        )
