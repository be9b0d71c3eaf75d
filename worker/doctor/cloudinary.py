"""Can the Cloudinary account be used?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from worker.cloudinary import AdminApi, Limited
from worker.cloudinary.failures import SETTINGS, body_of
from worker.doctor.model import WHERE, Finding
from worker.errors import WorkError
from worker.settings import Settings


def check_cloudinary_settings(settings: Settings) -> Iterator[Finding]:
    """Is an account set?"""
    if settings.cloudinary is None:
        names = ", ".join(settings.cloudinary_missing)
        what = f"Cloudinary is off, its work waits: {names} not set"
        yield Finding("note", what, f"set {names} {WHERE}")
    else:
        yield Finding("ok", "Cloudinary is configured")


def check_cloudinary(settings: Settings) -> list[Finding]:
    """Does the account answer? Takes one call."""
    access = settings.cloudinary
    if access is None:
        return []
    with closing(AdminApi(access)) as api:
        try:
            body_of(api.call("GET", ["ping"], {}))
        except Limited as error:
            return [Finding("note", str(error), "nothing: the work goes on by itself")]
        except WorkError as error:
            mend = f"check {SETTINGS}, CLOUDINARY_API_BASE, and the way there"
            return [Finding("error", str(error), mend)]
    return [Finding("ok", f"the Cloudinary account {access.cloud_name} answers")]
