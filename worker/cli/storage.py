"""The commands `media-worker storage …`: objects and their URLs, by hand."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO
from uuid import uuid4

import typer
from rich.console import Console

from worker.cli.answers import FAILED, Json, errors, print_json, say
from worker.errors import Permanent

if TYPE_CHECKING:
    from worker.download import Content, Role
    from worker.storage import ObjectStore

WEEK = 7 * 24 * 3600
STDOUT = Path("-")

app = typer.Typer(
    name="storage",
    help="Store, fetch and delete objects, and make URLs for them.",
    no_args_is_help=True,
)
Key = Annotated[str, typer.Argument(help="The object's key.")]
Place = Annotated[
    str,
    typer.Option(
        "--store", metavar="PLACE", help="cdn:TARGET or storage:BUCKET; cdn:r2_cdn is R2's bucket."
    ),
]
Lifetime = Annotated[
    int, typer.Option("--expires-in", min=1, max=WEEK, help="Seconds that a signed URL lives.")
]
R2 = "cdn:r2_cdn"


@app.command()
def upload(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    key: Annotated[
        str | None, typer.Option("--key", help="Default: media/, a new id, the real extension.")
    ] = None,
    place: Place = R2,
    json: Json = False,
) -> None:
    """Store audio, a video or an image, and print what came of it as JSON."""
    with errors(), _store(place) as store:
        content = _media(file)
        key = key or f"media/{uuid4()}.{content.extension}"
        with _progress(file.name, file.stat().st_size, quiet=json) as progress:
            uploaded = store.upload(key, file, content.mime, progress=progress)
    print_json(uploaded.as_json())


@app.command()
def download(
    key: Key,
    file: Annotated[
        Path | None, typer.Argument(help="Default: the end of the key; - is standard output.")
    ] = None,
    place: Place = R2,
    json: Json = False,
) -> None:
    """Fetch an object into a file, which is there only when it is whole."""
    name = key.rpartition("/")[2]
    if not name and (file is None or file.is_dir()):
        raise typer.BadParameter("the key ends with a slash: name a file")
    file = file or Path(name)
    path = file / name if file.is_dir() else file
    with errors(), _store(place) as store, store.download(key) as body:
        if path == STDOUT:
            shutil.copyfileobj(body, sys.stdout.buffer)
            return
        with _progress(key, body.length, quiet=json) as progress:
            body.save(path, progress=progress)
    answer = {"key": key, "file": str(path), "size": body.length}
    print_json(answer) if json else typer.echo(f"{path}: {body.length} bytes")


@app.command()
def url(
    key: Key,
    signed: Annotated[
        bool, typer.Option("--signed", help="Signed, though the bucket is public.")
    ] = False,
    expires_in: Lifetime = 3600,
    place: Place = R2,
    json: Json = False,
) -> None:
    """Print the public URL of an object, or a signed one where the bucket is private."""
    with errors(), _store(place) as store:
        signed = signed or not store.target.public_url
        found = store.signed_download_url(key, expires_in) if signed else store.public_url(key)
    answer = {"url": found, "key": key, "signed": signed}
    answer |= {"expires_in": expires_in} if signed else {}
    print_json(answer) if json else typer.echo(found)


@app.command("upload-url")
def upload_url(
    key: Key,
    content_type: Annotated[
        str, typer.Option("--content-type", help="What the upload's Content-Type will be.")
    ],
    expires_in: Lifetime = 3600,
    place: Place = R2,
    json: Json = False,
) -> None:
    """Print a signed URL that takes one kind of PUT: of the key, with the content type."""
    with errors(), _store(place) as store:
        found = store.signed_upload_url(key, content_type, expires_in)
        public = store.public_url(key)
    answer = {"upload_url": found, "key": key, "url": public, "expires_in": expires_in}
    print_json(answer) if json else typer.echo(found)


@app.command()
def exists(key: Key, place: Place = R2, json: Json = False) -> None:
    """Say whether an object is stored at the key; exit status 1 if none is."""
    with errors(), _store(place) as store:
        found = store.exists(key)
    print_json({"key": key, "exists": found}) if json else typer.echo("yes" if found else "no")
    if not found:
        raise typer.Exit(FAILED)


@app.command()
def delete(
    keys: Annotated[list[str], typer.Argument(help="Keys of objects.")],
    place: Place = R2,
    json: Json = False,
) -> None:
    """Delete objects; what is not there counts as deleted. 1 if any could not be."""
    with errors(), _store(place) as store:
        kept = store.delete_many(keys)
    deleted = [key for key in dict.fromkeys(keys) if key not in kept]
    if json:
        print_json({"deleted": deleted, "errors": kept})
    else:
        for key in deleted:
            typer.echo(f"deleted: {key}")
        for key, error in kept.items():
            say(f"{key}: {error}")
    if kept:
        raise typer.Exit(FAILED)


@app.command("key")
def key_from_url(
    url: Annotated[str, typer.Argument(help="Any URL of an object: public, signed, …")],
    place: Place = R2,
    json: Json = False,
) -> None:
    """Print the key that a URL of the bucket leads to."""
    with errors(), _store(place) as store:
        found = store.key_from_url(url)
    print_json({"key": found}) if json else typer.echo(found)


@app.command()
def status(json: Json = False) -> None:
    """Say whether R2 is configured."""
    from worker.settings import R2_TARGET, load_settings
    from worker.storage import ObjectStore

    with errors():
        missing = load_settings().cdn_missing(R2_TARGET)
        found = ObjectStore.status()
    if json:
        print_json(found)
    else:
        typer.echo(
            f"R2 is not configured: set {', '.join(missing)}" if missing else "R2 is configured"
        )


def _store(place: str) -> AbstractContextManager[ObjectStore]:
    from worker.storage import ObjectStore

    return closing(ObjectStore.from_settings(place))


def _media(file: Path) -> Content:
    """What the file is by its content. Raises `Permanent` when it is no audio, video or image."""
    from worker.storage.content_types import content_type_of

    named = content_type_of(file.name)
    with file.open("rb") as stream:
        found: dict[str, Content | Permanent] = {
            role: _recognised(stream, role) for role in _roles(named)
        }
    if content := next((each for each in found.values() if not isinstance(each, Permanent)), None):
        return content
    refusal = found.get(named.partition("/")[0], found["audio"])
    raise Permanent(f"{file.name} is no audio, video or image: {refusal}")


def _roles(named: str) -> tuple[Role, ...]:
    """A container without a track in sight is what its name says; by itself, a video."""
    if named in ("audio/mp4", "audio/webm"):
        return "audio", "video", "image"
    return "video", "audio", "image"


def _recognised(stream: BinaryIO, role: Role) -> Content | Permanent:
    from worker.download import recognise

    def peek(size: int) -> bytes:
        stream.seek(0)
        return stream.read(size)

    try:
        return recognise(peek, role=role)
    except Permanent as refusal:
        return refusal


@contextmanager
def _progress(what: str, size: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Shows a bar on a terminal; gives what is to be told of every block's bytes."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    disabled = quiet or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=disabled) as bar:
        yield partial(bar.advance, bar.add_task(what, total=size))
