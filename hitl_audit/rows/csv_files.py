"""Comma-separated text: types are those of whole columns, over all files."""

from __future__ import annotations

import contextlib
import csv
import gzip
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from hitl_audit.errors import InputError
from hitl_audit.rows.duck import connector, quoted, table_stream
from hitl_audit.rows.streams import Stream, check_names, in_words

__all__ = ["csv_files"]

# The words that pandas reads as missing, so that a csv file means the same in both.
_MISSING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND"),
    *("1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
# So many rows are looked at first.
_SAMPLE = 20_000


def csv_files(paths: Sequence[Path], *, field: str, description: str) -> Stream:
    """Comma-separated files of UTF-8 text with a header, in order.

    What is a number, a boolean or missing is decided for whole columns over
    all files, by the same words as pandas; anything else stays text, dates
    too: a file does not say which day 03/04 is. That takes one reading before
    the first row is given out. Integers that 64 bits do not hold stay text.

    Raises:
        InputError: no header, columns that differ, rows that do not fit the
            header, or text that is not UTF-8.
        MissingDependencyError: DuckDB is not installed.
    """
    headers = [_header(path, field) for path in paths]
    for path, header in zip(paths, headers, strict=True):
        if differing := set(headers[0]) ^ set(header):
            column = min(differing)
            lacks, has = (path, paths[0]) if column in headers[0] else (paths[0], path)
            raise InputError(
                f'{field}: {lacks.name} lacks the column "{column}", which {has.name} has; '
                "accepted: files with the same columns"
            )
    connect = connector(field)
    names = headers[0]
    texts = _tables(paths, headers, names)
    cannot = f"{description} cannot be read as csv"
    with in_words(f"{field}: {cannot}"), contextlib.closing(connect()) as con:
        types = _types(con, texts, names)
    typed = ", ".join(f"CAST({quoted(n)} AS {kind}) AS {quoted(n)}" for n, kind in types.items())
    table = f"(SELECT {typed} FROM {texts})"  # noqa: S608
    return table_stream(connect, table, field=field, description=description, cannot=cannot)


# Asked of every value that is not missing; all must say yes.
_QUESTIONS = {
    "boolean": "{} IN ('true', 'false', 'True', 'False', 'TRUE', 'FALSE')",
    "digits": r"regexp_full_match({}, '\s*[+-]?\d+\s*')",
    "fits": "TRY_CAST({} AS BIGINT) IS NOT NULL",
    # DuckDB takes 1_000 for a number, pandas does not.
    "number": "TRY_CAST({} AS DOUBLE) IS NOT NULL AND NOT contains({}, '_')",
}


def _types(con: Any, texts: str, names: Sequence[str]) -> dict[str, str]:
    """The type of each column; what the first rows have answered is not asked again."""
    open_questions = [(name, question) for name in names for question in _QUESTIONS]
    for rows in (f"(SELECT * FROM {texts} LIMIT {_SAMPLE})", texts):  # noqa: S608
        asked = ["count(*)"] + [
            f"bool_and({_QUESTIONS[question].replace('{}', quoted(name))}) "
            f"FILTER ({quoted(name)} IS NOT NULL)"
            for name, question in open_questions
        ]
        count, *answers = con.execute(f"SELECT {', '.join(asked)} FROM {rows}").fetchone()  # noqa: S608
        # Without any value the answer is NULL: nothing speaks against it.
        open_questions = [
            pair for pair, yes in zip(open_questions, answers, strict=True) if yes is not False
        ]
        if count < _SAMPLE:
            break
    return {name: _type({q for n, q in open_questions if n == name}) for name in names}


def _type(yes: set[str]) -> str:
    if yes == set(_QUESTIONS):
        return "DOUBLE"  # no value at all
    if "boolean" in yes:
        return "BOOLEAN"
    if "digits" in yes:
        return "BIGINT" if "fits" in yes else "VARCHAR"
    return "DOUBLE" if "number" in yes else "VARCHAR"


def _tables(paths: Sequence[Path], headers: Sequence[Sequence[str]], names: Sequence[str]) -> str:
    """All files with their columns as text, in the order of the first header."""
    wanted = ", ".join(map(quoted, names))
    tables = [
        f"SELECT {wanted} FROM {_read_csv([path for path, _ in files], header)}"  # noqa: S608
        for header, files in groupby(
            zip(paths, headers, strict=True), key=lambda pair: tuple(pair[1])
        )
    ]
    return f"({' UNION ALL '.join(tables)})"


def _read_csv(paths: Iterable[Path], header: Sequence[str]) -> str:
    # Nothing is guessed: a guess skips rows that do not fit it, without a word.
    columns = ", ".join(f"{_text(name)}: 'VARCHAR'" for name in header)
    return (
        f"read_csv({_list(str(path) for path in paths)}, auto_detect = false, header = true, "
        f"delim = ',', quote = '\"', escape = '\"', nullstr = {_list(_MISSING)}, "
        f"columns = {{{columns}}})"
    )


def _header(path: Path, field: str) -> list[str]:
    place = f"{field}: {path.name}"
    with in_words(f"{place} cannot be read as csv"):
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file), [])
    if not header:
        raise InputError(f"{place} is empty; accepted: a header and rows below it")
    check_names(header, place)
    return header


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _list(values: Iterable[str]) -> str:
    return "[" + ", ".join(map(_text, values)) + "]"
