"""The SQL that is shipped with the package: where it is and in which order it is applied."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import procrastinate.schema

OUTSIDE = "-- outside a transaction"
MIGRATIONS = "migrations"
FIRST_FOLDER = "queue"  # every other folder's functions call its functions
LAST_FOLDER = "monitoring"  # its views look at every other folder's tables
GRANTS = "grants.sql"


@dataclass(frozen=True)
class SqlFile:
    """One file: `name` is its path below the root, by which it is recorded."""

    name: str
    text: str = field(repr=False)

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def transactional(self) -> bool:
        """False where the first line asks for statements outside a transaction.

        Such a file is applied last, after the functions and triggers: nothing else may need it.
        """
        return not self.text.lower().startswith(OUTSIDE)


@dataclass(frozen=True)
class SqlFiles:
    """The tree of SQL files below `root`."""

    root: Path

    @cached_property
    def migrations(self) -> tuple[SqlFile, ...]:
        """Versioned files, in order: each is applied once."""
        return _read(sorted((self.root / MIGRATIONS).glob("*.sql")), base=self.root / MIGRATIONS)

    @cached_property
    def repeatable(self) -> tuple[SqlFile, ...]:
        """Files of functions, triggers, views and grants, in the order in which they depend."""
        paths = [path for folder in self._folders() for path in sorted(folder.glob("*.sql"))]
        grants = self.root / GRANTS
        return _read([*paths, *([grants] if grants.exists() else [])], base=self.root)

    @property
    def declarations(self) -> tuple[Path, ...]:
        """The declarations of the application's tables, a file per capability."""
        return tuple(sorted(self.root.glob("*/application_tables.toml")))

    def _folders(self) -> list[Path]:
        folders = [path for path in self.root.iterdir() if path.is_dir()]
        slices = [path for path in folders if path.name != MIGRATIONS]
        return sorted(slices, key=_folder_rank)


def sql_root() -> Path:
    """The directory of the SQL files: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent.parent
    for root in (package / "sql", package.parent / "sql"):
        if (root / MIGRATIONS).is_dir():
            return root
    raise FileNotFoundError("the SQL files are missing: install media-worker again")


def bookkeeping() -> SqlFile:
    """The migrator's own tables."""
    return _read([Path(__file__).parent / "bookkeeping.sql"], base=Path(__file__).parent)[0]


def procrastinate_schema() -> SqlFile:
    """procrastinate's whole schema, as it is after its last migration."""
    return SqlFile("schema.sql", procrastinate.schema.SchemaManager.get_schema())


def procrastinate_migrations() -> tuple[SqlFile, ...]:
    """procrastinate's migrations, in order."""
    folder = Path(procrastinate.schema.SchemaManager.get_migrations_path())
    return _read(sorted(folder.glob("*.sql")), base=folder)


def _read(paths: list[Path], *, base: Path) -> tuple[SqlFile, ...]:
    # Text mode reads CRLF as LF: the checksum is the same on every checkout.
    return tuple(
        SqlFile(path.relative_to(base).as_posix(), path.read_text(encoding="utf-8"))
        for path in paths
    )


def _folder_rank(folder: Path) -> tuple[int, str]:
    ranks = {FIRST_FOLDER: 0, LAST_FOLDER: 2}
    return ranks.get(folder.name, 1), folder.name
