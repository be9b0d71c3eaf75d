"""Reading SQL text: where a statement ends, and what it creates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

TOKEN = re.compile(
    r"""
    (?P<comment> --[^\n]* | /\* (?: [^*/] | \*(?!/) | /(?!\*) )* \*/ )
  | (?P<string> \b[eE]'(?: [^'\\] | \\. | '' )*' | '(?: [^'] | '' )*' )
  | (?P<name> "(?: [^"] | "" )*" )
  | (?P<dollar> (?<![\w$]) \$(?P<tag> [A-Za-z_]\w* )?\$ .*? \$(?P=tag)\$
             |  (?<![\w$]) \$\$ .*? \$\$ )
  | (?P<atomic> \bbegin\s+atomic\b ) | (?P<case> \bcase\b ) | (?P<end> \bend\b )
  | (?P<semicolon> ; )
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)

NAME = r'(?:(?P<schema>\w+|"[^"]+")\s*\.\s*)?(?P<name>\w+|"[^"]+")'
CREATES = re.compile(
    r"create\s+(?:or\s+replace\s+)?(?:unlogged\s+|unique\s+|constraint\s+|recursive\s+)?"
    r"(?P<kind>function|procedure|view|trigger|table|type|domain|sequence|index)\s+"
    rf"(?:concurrently\s+)?(?:if\s+not\s+exists\s+)?{NAME}",
    re.IGNORECASE,
)
INDEX_TABLE = re.compile(rf"\bon\s+(?:only\s+)?{NAME}", re.IGNORECASE)
SAME_NAMESPACE = {"domain": "type", "procedure": "function"}


@dataclass(frozen=True)
class Created:
    """What a statement creates; a trigger has no schema, an index that of its table."""

    kind: str
    schema: str
    name: str


def split(text: str) -> list[str]:
    """The statements of `text`, without the semicolons and without comments around them."""
    pieces, start = [], 0
    for end in [*_statement_ends(text), len(text)]:
        pieces.append(text[start:end])
        start = end + 1
    return [bare for piece in pieces if (bare := _without_leading_comments(piece))]


def created(text: str) -> tuple[Created, ...]:
    """What the statements of `text` create, in order."""
    return tuple(found for statement in split(text) if (found := _creation(statement)))


def is_concurrent_index(statement: str) -> bool:
    """Whether it builds an index without locking out writers."""
    return bool(re.match(r"create\s+(unique\s+)?index\s+concurrently\b", statement, re.IGNORECASE))


def _statement_ends(text: str) -> Iterator[int]:
    depth = 0  # of BEGIN ATOMIC bodies, and of CASE inside them
    for token in TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "atomic" or (kind == "case" and depth):
            depth += 1
        elif kind == "end" and depth:
            depth -= 1
        elif kind == "semicolon" and not depth:
            yield token.start()


def _without_leading_comments(piece: str) -> str:
    piece = piece.strip()
    while (token := TOKEN.match(piece)) and token.lastgroup == "comment":
        piece = piece[token.end() :].strip()
    return piece


def _creation(statement: str) -> Created | None:
    found = CREATES.match(statement)
    if not found:
        return None
    kind = found["kind"].lower()
    owner = found
    if kind == "index":
        owner = INDEX_TABLE.search(statement, found.end()) or found
    schema = "" if kind == "trigger" else _folded(owner["schema"] or "")
    return Created(SAME_NAMESPACE.get(kind, kind), schema, _folded(found["name"]))


def _folded(name: str) -> str:
    return name[1:-1] if name.startswith('"') else name.lower()
