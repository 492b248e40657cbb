"""Relative paths in a query, as paths from the plan's folder.

DuckDB looks for relative paths in the folder of the process first, whatever
its ``file_search_path`` says, so that the same plan would read other files
from another folder.
"""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["with_absolute_paths"]

_TOKEN = re.compile(
    r"""(?P<skip>\s+|--[^\n]*|/\*.*?\*/)
      | (?P<text>'(?:[^']|'')*')
      | (?P<name>"(?:[^"]|"")*")
      | (?P<word>\w+)
      | (?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)
# Functions that read the files they are given.
_READER = re.compile(r"(read_\w+|parquet_\w+|sniff_csv|glob)$", re.IGNORECASE)
# In these FROM is part of an expression, not the start of tables.
_NOT_TABLES = {"extract", "substring", "trim", "overlay", "position"}
_AFTER_TABLES = {
    *("where", "group", "having", "order", "limit", "select", "union", "intersect", "except"),
    *("qualify", "window", "offset"),
}


@dataclass
class _Level:
    """What a pair of brackets stands for."""

    call: str = ""
    tables: bool = False

    @property
    def reads(self) -> bool:
        return bool(_READER.match(self.call))


def with_absolute_paths(query: str, folder: Path) -> str:
    """Put the folder before the relative paths of files that a query reads.

    Those are texts after FROM or JOIN, and arguments of functions such as
    ``read_parquet``, alone or in a list. Addresses (``https://…``) stay.

    Args:
        query: one SELECT statement of DuckDB; its semicolon is left out.
        folder: where relative paths start.
    """
    levels = [_Level()]
    written: list[str] = []
    last = ""
    for found in _TOKEN.finditer(query):
        piece, kind = found.group(), found.lastgroup
        if kind in ("text", "name") and _is_path(piece, last, levels[-1]):
            piece = _absolute(piece, folder)
        # The end of the statement, before a comment perhaps: the query becomes part of another.
        written.append(" " if piece == ";" else piece)
        if kind == "skip":
            continue
        if piece in ("(", "["):
            # A list of paths is read by the function around it; an option's list is not.
            first = piece == "[" and last in ("(", ",")
            call = last if piece == "(" else levels[-1].call if first else ""
            levels.append(_Level(call))
        elif piece in (")", "]"):
            if len(levels) > 1:
                levels.pop()
        elif kind == "word":
            word = piece.lower()
            if word in ("from", "join") and levels[-1].call not in _NOT_TABLES:
                levels[-1].tables = True
            elif word in _AFTER_TABLES:
                levels[-1].tables = False
        last = piece.lower()
    return "".join(written)


def _is_path(piece: str, last: str, level: _Level) -> bool:
    if level.reads:
        return piece[0] == "'" and last in ("(", "[", ",")
    if not (level.tables and last in ("from", "join", ",")):
        return False
    # A name in double quotes may be that of a table of the query itself.
    return piece[0] == "'" or any(sign in piece for sign in "./*?")


def _absolute(piece: str, folder: Path) -> str:
    mark = piece[0]
    path = piece[1:-1].replace(mark * 2, mark)
    if Path(path).is_absolute() or re.match(r"\w+://", path):
        return piece
    start = str(folder.resolve())
    if any(sign in path for sign in "*?["):
        # The folder's own name is no pattern, whatever signs it has.
        start = glob.escape(start)
    return mark + f"{start}/{path}".replace(mark, mark * 2) + mark
