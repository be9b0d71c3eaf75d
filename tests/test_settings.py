"""Settings from the environment, files and overrides, and what is said of wrong ones."""

from __future__ import annotations

import datetime
import ipaddress
import os
from pathlib import Path
from typing import Any

import pytest

from worker.errors import Misconfigured
from worker.settings import Settings, load_settings, unknown_variables

MIB = 2**20
STORAGE = {
    "STORAGE_ENDPOINT": "https://ref.storage.example.co/storage/v1/s3/",
    "STORAGE_ACCESS_KEY_ID": "key-id",
    "STORAGE_SECRET_ACCESS_KEY": "hunter2",
}


R2 = {
    "R2_ACCOUNT_ID": "0123abc",
    "R2_ACCESS_KEY_ID": "r2-key-id",
    "R2_SECRET_ACCESS_KEY": "hunter3",
    "R2_BUCKET_NAME": "media",
}
CLOUDFLARE = {"CLOUDFLARE_ZONE_ID": "0123abc", "CLOUDFLARE_API_TOKEN": "hunter5"}
CLOUDINARY = {
    "CLOUDINARY_CLOUD_NAME": "demo",
    "CLOUDINARY_API_KEY": "cloudinary-key",
    "CLOUDINARY_API_SECRET": "hunter6",
}
BACKUP = {
    "CDN_TARGETS": "r2_cdn,Backup",
    "CDN_BACKUP_ENDPOINT": "https://s3.example.org",
    "CDN_BACKUP_ACCESS_KEY_ID": "backup-key-id",
    "CDN_BACKUP_SECRET_ACCESS_KEY": "hunter4",
    "CDN_BACKUP_BUCKET": "copies",
}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name not in {"PATH", "HOME", "TMPDIR", "PYTEST_CURRENT_TEST"}:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def load(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    return load_settings()


def problems(monkeypatch: pytest.MonkeyPatch, **variables: str) -> list[str]:
    with pytest.raises(Misconfigured) as refusal:
        load(monkeypatch, **variables)
    return str(refusal.value).splitlines()


DEFAULTS: dict[str, Any] = {
    "database_url": None,
    "storage_region": "auto",
    "storage_public_url": None,
    "storage_audio_bucket": "tracks-audio",
    "storage_cover_bucket": "tracks-covers",
    "storage_video_bucket": "tracks-videos",
    "storage_source_bucket": "audio-files",
    "cdn_targets": ("r2_cdn",),
    "cdn_audio_prefix": "audio",
    "cdn_metadata_prefix": "metadata",
    "cdn_max_bytes": 500 * MIB,
    "cdn_rate_limit": 0,
    "cloudinary_api_base": "https://api.cloudinary.com",
    "cloudinary_upload_preset": None,
    "cloudinary_folder": "main-uploads",
    "cleanup_interval": 30,
    "cleanup_batch_size": 100,
    "cleanup_max_retries": 3,
    "delete_grace": 0,
    "delete_hold_above": 10_000,
    "sync_conflict_policy": "newest",
    "webhook_max_age": 300,
    "archive_daily_at": datetime.time(3, 0),
    "archive_daily_limit": 200,
    "archive_refresh_url": None,
    "check_daily_at": datetime.time(4, 0),
    "check_repair": False,
    "check_max_deletions": 100,
    "download_allowed_hosts": (),
    "download_allow_networks": (),
    "download_max_bytes": 500 * MIB,
    "notification_language": "en",
    "retry_delays": (5, 10, 60, 300, 1800, 7200, 21600),
    "worker_concurrency": 16,
    "shutdown_grace": 30,
    "work_retention_days": 30,
    "metrics_port": None,
    "serve_host": "127.0.0.1",
    "serve_port": 8080,
}


@pytest.mark.parametrize(("name", "value"), DEFAULTS.items())
def test_default(name: str, value: object) -> None:
    assert getattr(load_settings(), name) == value


GIVEN: list[tuple[str, str, Any]] = [
    ("CDN_TARGETS", "r2_cdn, Backup", ("r2_cdn", "backup")),
    ("CDN_MAX_BYTES", "1000", 1000),
    ("DOWNLOAD_MAX_BYTES", "500MiB", 500 * MIB),
    ("DOWNLOAD_MAX_BYTES", "1.5 GB", 1_500_000_000),
    ("ARCHIVE_DAILY_AT", "23:59", datetime.time(23, 59)),
    ("DOWNLOAD_ALLOWED_HOSTS", "cdn.Example.org, *.suno.ai", ("cdn.example.org", "*.suno.ai")),
    ("DOWNLOAD_ALLOW_NETWORKS", "127.0.0.0/8", (ipaddress.ip_network("127.0.0.0/8"),)),
    ("DOWNLOAD_ALLOW_NETWORKS", "fd00::/8,10.1.2.3", (
        ipaddress.ip_network("fd00::/8"), ipaddress.ip_network("10.1.2.3/32"),
    )),
    ("NOTIFICATION_LANGUAGE", "RU", "ru"),
    ("SYNC_CONFLICT_POLICY", "database", "database"),
    ("RETRY_DELAYS", "0.5, 1,", (0.5, 1.0)),
    ("METRICS_PORT", "9100", 9100),
    ("STORAGE_PUBLIC_URL", "https://cdn.example.org/", "https://cdn.example.org"),
    ("CORS_ORIGINS", "https://a.example,https://b.example", ("https://a.example", "https://b.example")),
    ("NEXT_PUBLIC_CLOUDINARY_CLOUD_NAME", "demo", "demo"),
]  # fmt: skip


@pytest.mark.parametrize(("variable", "text", "value"), GIVEN)
def test_given_value(monkeypatch: pytest.MonkeyPatch, variable: str, text: str, value: Any) -> None:
    settings = load(monkeypatch, **{variable: text})
    assert getattr(settings, variable.removeprefix("NEXT_PUBLIC_").lower()) == value


WRONG = [
    ("STORAGE_ENDPOINT", "ftp://host", "must be a URL that begins with https:// or http://"),
    ("STORAGE_ENDPOINT", "host.example.org", "must be a URL"),
    ("STORAGE_ENDPOINT", "https://pub-1.r2.dev", "is a public URL (r2.dev), not an API endpoint"),
    ("R2_ENDPOINT", "https://pub-1.r2.dev/x", "is a public URL (r2.dev), not an API endpoint"),
    ("STORAGE_PUBLIC_URL", "https://host/?a=1", "must be a plain URL"),
    ("STORAGE_PUBLIC_URL", "https://user:pass@host", "must be a plain URL"),
    ("STORAGE_ENDPOINT", "https://host:nonsense", "must be a URL"),
    ("DATABASE_URL", "mysql://host/db", "must be a URL like postgresql://"),
    ("DATABASE_URL", "postgresql+asyncpg://host/db", "must be a URL like postgresql://"),
    ("DOWNLOAD_ALLOW_NETWORKS", "10.0.0.0/33", "must be networks such as"),
    ("DOWNLOAD_ALLOW_NETWORKS", "10.0.0.1/8", "must be networks such as"),
    ("DOWNLOAD_ALLOWED_HOSTS", "https://host/path", "must be host names such as"),
    ("DOWNLOAD_ALLOWED_HOSTS", "cdn.*.org", "must be host names such as"),
    ("RETRY_DELAYS", "5,0", "must be greater than 0"),
    ("RETRY_DELAYS", "5,soon", "must be a valid number"),
    ("RETRY_DELAYS", "nan", "must be a finite number"),
    ("RETRY_DELAYS", ",", "must not be an empty list"),
    ("ARCHIVE_DAILY_AT", "24:00", "must be a time of day"),
    ("ARCHIVE_DAILY_AT", "3am", "must be a time of day"),
    ("DOWNLOAD_MAX_BYTES", "many", "must be a number of bytes"),
    ("DOWNLOAD_MAX_BYTES", "0", "must be greater than 0"),
    ("NOTIFICATION_LANGUAGE", "de", "must be 'en' or 'ru'"),
    ("SYNC_CONFLICT_POLICY", "mine", "must be 'newest', 'cloudinary' or 'database'"),
    ("WORKER_CONCURRENCY", "0", "must be greater than 0"),
    ("WORKER_CONCURRENCY", "four", "must be a valid integer"),
    ("METRICS_PORT", "70000", "must be less than or equal to 65535"),
    ("CDN_TARGETS", "two words", "must be names of letters"),
    ("R2_ACCOUNT_ID", "https://host", "must be the id alone"),
]


@pytest.mark.parametrize(("variable", "text", "complaint"), WRONG)
def test_wrong_value_is_refused_by_its_variables_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, complaint: str
) -> None:
    (line,) = problems(monkeypatch, **{variable: text})
    assert line.startswith(f"{variable} {complaint}")


def test_all_problems_are_listed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = problems(
        monkeypatch, WORKER_CONCURRENCY="0", METRICS_PORT="x", ADMIN_PASSWORD_FILE="/nowhere"
    )
    assert [line.split()[0] for line in sorted(lines)] == [
        "ADMIN_PASSWORD_FILE", "METRICS_PORT", "WORKER_CONCURRENCY",
    ]  # fmt: skip


def test_empty_value_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, STORAGE_ENDPOINT="", METRICS_PORT=" ", SERVE_PORT="")
    assert (settings.storage_endpoint, settings.metrics_port, settings.serve_port) == (
        None,
        None,
        8080,
    )


def test_environment_wins_over_dotenv_and_dotenv_over_credentials(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for name in ("service_key", "JWT_SECRET", "admin_password"):
        (credentials / name).write_text("from-credentials\n")
    (tmp_path / ".env").write_text("SERVICE_KEY=from-dotenv\nJWT_SECRET='from-dotenv'\n")
    settings = load(
        monkeypatch, CREDENTIALS_DIRECTORY=str(credentials), SERVICE_KEY="from-environment"
    )
    found = [settings.service_key, settings.jwt_secret, settings.admin_password]
    assert [secret and secret.get_secret_value() for secret in found] == [
        "from-environment", "from-dotenv", "from-credentials",
    ]  # fmt: skip


def test_file_that_is_no_setting_is_left_unread(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "tls.key").write_bytes(b"\xff\xfe")
    assert load(monkeypatch, CREDENTIALS_DIRECTORY=str(tmp_path)) == load_settings()


def test_missing_credentials_directory_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = problems(monkeypatch, CREDENTIALS_DIRECTORY="/nowhere")
    assert line == "CREDENTIALS_DIRECTORY cannot be read: No such file or directory (/nowhere)"


def test_unreadable_dotenv_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"SERVICE_KEY=\xff")
    assert problems(monkeypatch) == [".env cannot be read: it is not UTF-8 text"]


@pytest.mark.parametrize(
    "name",
    [
        "DATABASE_URL", "STORAGE_ACCESS_KEY_ID", "STORAGE_SECRET_ACCESS_KEY", "R2_ACCESS_KEY_ID",
        "R2_SECRET_ACCESS_KEY", "CLOUDFLARE_API_TOKEN", "CLOUDINARY_URL", "CLOUDINARY_API_KEY",
        "CLOUDINARY_API_SECRET", "SERVICE_KEY", "JWT_SECRET", "ADMIN_PASSWORD",
    ],
)  # fmt: skip
def test_every_secret_may_come_from_a_file_and_is_never_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    scheme = "cloudinary" if name == "CLOUDINARY_URL" else "postgresql"
    (tmp_path / "secret").write_text(f"{scheme}://u:hunter2@h/d\n")
    complete = STORAGE | R2 | CLOUDFLARE | CLOUDINARY
    for other in complete.keys() - {name}:
        monkeypatch.setenv(other, complete[other])
    settings = load(monkeypatch, **{f"{name}_FILE": str(tmp_path / "secret")})
    secret = getattr(settings, name.lower())
    assert secret.get_secret_value() == f"{scheme}://u:hunter2@h/d"
    shown = f"{settings!r} {settings} {settings.storage('b')!r} {settings.cloudinary!r}"
    assert "hunter2" not in shown


def test_cloudinary_is_reached_by_its_url_and_single_variables_win(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = "cloudinary://key:se%2Fcret@My-Cloud"
    access = load(monkeypatch, CLOUDINARY_URL=url).cloudinary
    assert access is not None
    assert (access.cloud_name, access.api_key, access.api_secret) == ("My-Cloud", "key", "se/cret")
    access = load(monkeypatch, CLOUDINARY_URL=url, CLOUDINARY_API_SECRET="other").cloudinary
    assert access is not None and access.api_secret == "other"


@pytest.mark.parametrize("url", ["https://key:hunter7@cloud", "cloudinary://cloud", "hunter7"])
def test_a_wrong_cloudinary_url_is_not_repeated(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    (line,) = problems(monkeypatch, CLOUDINARY_URL=url)
    assert line == "CLOUDINARY_URL must be like cloudinary://<api key>:<api secret>@<cloud name>"


def test_half_an_account_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = problems(monkeypatch, CLOUDINARY_CLOUD_NAME="demo", CLOUDINARY_API_KEY="key")
    assert line.startswith("CLOUDINARY_API_SECRET missing: ")


def test_the_name_of_the_cloud_alone_is_no_half_account(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, NEXT_PUBLIC_CLOUDINARY_CLOUD_NAME="demo").cloudinary is None


def test_secret_and_its_file_together_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("x")
    lines = problems(monkeypatch, SERVICE_KEY="y", SERVICE_KEY_FILE=str(tmp_path / "secret"))
    assert lines == ["SERVICE_KEY and SERVICE_KEY_FILE are both set: keep one of them"]


def test_missing_file_of_a_secret_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = problems(monkeypatch, SERVICE_KEY_FILE="/nowhere")
    assert line == "SERVICE_KEY_FILE cannot be read: No such file or directory (/nowhere)"


def test_wrong_secret_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = problems(monkeypatch, DATABASE_URL="mysql://u:hunter2@host/db")
    assert "hunter2" not in line


def test_override_wins_and_none_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_CONCURRENCY", "4")
    assert load_settings(worker_concurrency=8).worker_concurrency == 8
    assert load_settings(worker_concurrency=None).worker_concurrency == 4
    assert load_settings(retry_delays=(1,), download_max_bytes=5).retry_delays == (1.0,)
    with pytest.raises(TypeError, match="no such setting: workers"):
        load_settings(workers=4)


def test_unknown_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, STORAGE_BUKET="x", SOMETHING="y") == load_settings()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().worker_concurrency = 1  # type: ignore[misc]


def test_archive_is_off_without_storage_and_says_what_is_missing() -> None:
    settings = load_settings()
    assert not settings.archive_configured
    assert settings.archive_missing == list(STORAGE)
    assert settings.storage("tracks-audio") is None


@pytest.mark.parametrize("absent", STORAGE)
def test_half_configured_storage_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, absent: str
) -> None:
    present = {name: text for name, text in STORAGE.items() if name != absent}
    (line,) = problems(monkeypatch, **present)
    assert line.startswith(f"{absent} missing:")


def test_configured_storage_gives_access_to_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **STORAGE, STORAGE_PUBLIC_URL="https://cdn.example.org/files/")
    access = settings.storage("tracks-audio")
    assert settings.archive_configured
    assert access is not None
    assert (access.bucket, access.region) == ("tracks-audio", "auto")
    assert access.endpoint == "https://ref.storage.example.co/storage/v1/s3"
    assert (access.access_key_id, access.secret_access_key) == ("key-id", "hunter2")
    assert access.public_url == "https://cdn.example.org/files"


def test_r2_is_off_without_its_variables_and_says_which_they_are() -> None:
    settings = load_settings()
    assert settings.cdn("r2_cdn") is None
    with pytest.raises(Misconfigured, match=r"R2_ENDPOINT \(or R2_ACCOUNT_ID\), R2_ACCESS_KEY_ID"):
        settings.access("cdn:r2_cdn")


@pytest.mark.parametrize("absent", R2)
def test_half_configured_r2_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, absent: str
) -> None:
    (line,) = problems(monkeypatch, **{name: R2[name] for name in R2.keys() - {absent}})
    assert absent in line.partition(" missing:")[0]


def test_account_id_alone_makes_the_endpoint_of_r2(monkeypatch: pytest.MonkeyPatch) -> None:
    access = load(monkeypatch, **R2).access("cdn:r2_cdn")
    assert access.endpoint == "https://0123abc.r2.cloudflarestorage.com"
    assert (access.bucket, access.region, access.service) == ("media", "auto", "cdn:r2_cdn")
    assert not access.bucket_in_public_url


def test_endpoint_of_r2_wins_over_the_account_id(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **R2, R2_ENDPOINT="https://0123abc.eu.r2.cloudflarestorage.com/")
    assert settings.access("cdn:r2_cdn").endpoint == "https://0123abc.eu.r2.cloudflarestorage.com"


def test_r2_is_there_even_when_it_is_no_cdn_target(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, **R2, **BACKUP | {"CDN_TARGETS": "backup"}).cdn("r2_cdn") is not None


def test_further_target_reads_its_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    more = {"CDN_BACKUP_PUBLIC_URL": "https://b.example/", "CDN_BACKUP_REGION": "eu-1"}
    access = load(monkeypatch, **BACKUP, **more).access("cdn:Backup")
    assert (access.bucket, access.service, access.region) == ("copies", "cdn:backup", "eu-1")
    assert (access.public_url, access.secret_access_key) == ("https://b.example", "hunter4")


@pytest.mark.parametrize(("own", "limit"), [("", 7.0), ("0", 0.0), ("2.5", 2.5)])
def test_rate_limit_of_a_target_is_its_own_or_that_of_all(
    monkeypatch: pytest.MonkeyPatch, own: str, limit: float
) -> None:
    settings = load(monkeypatch, **BACKUP, CDN_RATE_LIMIT="7", CDN_BACKUP_RATE_LIMIT=own)
    assert settings.access("cdn:backup").rate_limit == limit


def test_secret_of_a_further_target_may_come_from_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("from-file\n")
    (tmp_path / "CDN_BACKUP_ACCESS_KEY_ID").write_text("from-credentials\n")
    names = ("CDN_BACKUP_SECRET_ACCESS_KEY", "CDN_BACKUP_ACCESS_KEY_ID")
    rest = {name: text for name, text in BACKUP.items() if name not in names}
    settings = load(
        monkeypatch,
        **rest,
        CDN_BACKUP_SECRET_ACCESS_KEY_FILE=str(tmp_path / "secret"),
        CREDENTIALS_DIRECTORY=str(tmp_path),
    )
    access = settings.access("cdn:backup")
    assert (access.secret_access_key, access.access_key_id) == ("from-file", "from-credentials")
    assert "from-file" not in f"{settings!r} {access!r}"


def test_half_configured_target_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = problems(monkeypatch, **BACKUP | {"CDN_BACKUP_BUCKET": ""})
    assert line.startswith("CDN_BACKUP_BUCKET missing:")
    assert "hunter4" not in line


def test_target_without_any_variable_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, CDN_TARGETS="r2_cdn,backup")
    assert settings.cdn("backup") is None
    with pytest.raises(Misconfigured, match="set CDN_BACKUP_ENDPOINT"):
        settings.access("cdn:backup")


def test_wrong_variable_of_a_target_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = problems(monkeypatch, **BACKUP | {"CDN_BACKUP_ENDPOINT": "https://pub-1.r2.dev"})
    assert line.startswith("CDN_BACKUP_ENDPOINT is a public URL (r2.dev)")


def test_unknown_target_is_refused_with_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **BACKUP)
    with pytest.raises(Misconfigured, match="CDN_TARGETS names r2_cdn, backup"):
        settings.access("cdn:other")


@pytest.mark.parametrize("place", ["", "cdn", "cdn:", "media", "s3:media"])
def test_place_of_another_form_is_refused(place: str) -> None:
    with pytest.raises(Misconfigured, match="name one as cdn:TARGET or storage:BUCKET"):
        load_settings().access(place)


def test_misspelt_variables_are_found_with_a_suggestion(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(
        "CDN_TARGETS=r2_cdn,backup\nCDN_BACKUP_BUCKET=b\nSTORAGE_ENPOINT=x\n"
    )
    monkeypatch.setenv("WORKER_CONCURENCY", "4")
    monkeypatch.setenv("CDN_BACKUP_SECRET_ACCESS_KEY_FILE", "/x")
    monkeypatch.setenv("SERVE_BREAKFAST", "1")
    monkeypatch.setenv("SOMETHING", "1")
    assert unknown_variables() == [
        "SERVE_BREAKFAST",
        "STORAGE_ENPOINT (did you mean STORAGE_ENDPOINT?)",
        "WORKER_CONCURENCY (did you mean WORKER_CONCURRENCY?)",
    ]
