"""Numbers that remember where they come from, and texts that remember their numbers.

The document is composed from evidence. For provenance it is composed from
*traced* evidence: the same values, but every number knows its place in the
evidence, keeps it through arithmetic, and leaves marks around itself when it is
written into a text. The marks (noncharacters of Unicode, which no text may
contain) are taken out again by
``numbering``, and what remains is the
document as it is printed, with a list of its numbers.

So no section has to say where its numbers come from, and none can forget.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from fractions import Fraction
from typing import Any, TypeVar

__all__ = ["Marks", "counted", "told", "traced"]

_T = TypeVar("_T")

# 32 code points are reserved for use inside a program and never for text (Unicode 23.7).
_OPEN, _SHUT, _END = "\ufdd0", "\ufdd1", "\ufdd2"
_DIGITS = "\ufdd3\ufdd4\ufdd5\ufdd6\ufdd7\ufdd8\ufdd9\ufdda\ufddb\ufddc"
_TO_MARK = str.maketrans("0123456789", _DIGITS)
_FROM_MARK = {char: str(i) for i, char in enumerate(_DIGITS)}
_RESERVED = dict.fromkeys(range(64976, 65008), "�")
_MARKED = re.compile(f"{_OPEN}([{_DIGITS}]+){_SHUT}([^{_OPEN}{_END}]*){_END}")
_PROSE = re.compile(r"(?<![\w.,\-])[−-]?\d[\d,]*(?:\.\d+)?(?![\w])%?")
# Texts of the tool in which results are told; names of groups and columns are no numbers.
_PROSE_FIELDS = frozenset({"words", "notes", "explanation_quality_notes", "guarantee"})
_KEPT = frozenset({"_bytes", "digest"})
_MOST_SOURCES = 4


class Marks:
    """The sources of one composition, by number."""

    def __init__(self) -> None:
        self.sources: list[tuple[str, ...]] = []
        self._places: dict[tuple[str, ...], str] = {}

    def around(self, text: str, paths: tuple[str, ...]) -> str:
        """A number as text, marked with its sources."""
        number = self._places.get(paths)
        if number is None:
            number = self._places[paths] = str(len(self.sources)).translate(_TO_MARK)
            self.sources.append(paths)
        return f"{_OPEN}{number}{_SHUT}{text}{_END}"

    def read(self, text: str) -> tuple[str, tuple[tuple[int, int, tuple[str, ...]], ...]]:
        """The text without marks, and ``(start, end, sources)`` of its numbers.

        A sign before a number and a percent sign behind it are part of it.
        """
        if _OPEN not in text:
            return text, ()
        plain, found, end = "", [], 0
        for match in _MARKED.finditer(text):
            plain += text[end : match.start()]
            start = len(plain) - (1 if plain.endswith(("−", "-")) else 0)
            plain += match[2]
            end = match.end()
            stop = len(plain) + (1 if text.startswith("%", end) else 0)
            number = int("".join(_FROM_MARK[c] for c in match[1]))
            found.append((start, stop, self.sources[number]))
        return plain + text[end:], tuple(found)


def _joined(*values: Any) -> tuple[str, ...]:
    paths = dict.fromkeys(p for v in values for p in getattr(v, "paths", ()))
    return tuple(paths)[:_MOST_SOURCES]


class _Float(float):
    """A float with its places in the evidence."""

    paths: tuple[str, ...]
    marks: Marks

    def __format__(self, spec: str) -> str:
        # With an empty spec, float's own __format__ would ask __str__ and mark it twice.
        return self.marks.around(float(self).__format__(spec), self.paths)

    def __str__(self) -> str:
        return self.marks.around(float.__repr__(self), self.paths)


class _Int(int):
    """A whole number with its places in the evidence."""

    paths: tuple[str, ...]
    marks: Marks

    def __format__(self, spec: str) -> str:
        return self.marks.around(int(self).__format__(spec), self.paths)

    def __str__(self) -> str:
        return self.marks.around(int.__repr__(self), self.paths)


class _Fraction(Fraction):
    """An exact threshold with its place in the evidence; :func:`told` writes it."""

    paths: tuple[str, ...]
    marks: Marks


def told(text: str, *values: Any) -> str:
    """A text that is written from these values by another way than formatting them."""
    known = [v for v in values if getattr(v, "paths", ())]
    return str(known[0].marks.around(text, _joined(*known))) if known else text


def counted(number: int, of: Any, field: str) -> Any:
    """A number that was counted in a field of traced evidence."""
    marks = of.__dict__.get("_marks")
    return number if marks is None else _number(int(number), (field,), marks)


def _number(value: Any, paths: tuple[str, ...], marks: Marks) -> Any:
    if type(value) is float:
        made: _Float | _Int | _Fraction = float.__new__(_Float, value)
    elif type(value) is int:
        made = int.__new__(_Int, value)
    elif type(value) is Fraction:
        made = _Fraction.__new__(_Fraction, value)
    else:
        return value
    made.paths, made.marks = paths, marks
    return made


def _keeping(base: type[float] | type[int], name: str) -> Callable[..., Any]:
    """An operation of numbers whose result keeps the sources of all that went in."""
    plain = getattr(base, name)

    def operation(self: Any, *others: Any) -> Any:
        result = plain(self, *others)
        return _number(result, _joined(self, *others), self.marks)

    operation.__name__ = name
    return operation


_BOTH = ("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv")
_ALONE = ("neg", "abs", "round")
for _kind, _base in ((_Float, float), (_Int, int)):
    for _name in (*_BOTH, *_ALONE):
        setattr(_kind, f"__{_name}__", _keeping(_base, f"__{_name}__"))


def traced(value: _T, marks: Marks, path: str = "", field: str = "") -> _T:
    """The same value, with numbers that remember their place in it.

    Args:
        value: a dataclass of tuples, dicts, texts and numbers, or a part of one.
        marks: where sources are kept.
        path: the place of ``value``, for example ``"fairness.rates[3]"``.
        field: the name of the field it is in.
    """
    made: Any = value
    if isinstance(value, bool | Enum) or value is None:
        pass
    elif isinstance(value, str):
        made = value.translate(_RESERVED) if not value.isascii() else value
        if field in _PROSE_FIELDS:
            made = _PROSE.sub(lambda found: marks.around(found[0], (path,)), made)
    elif isinstance(value, float | int | Fraction):
        made = _number(value, (path,), marks)
    elif isinstance(value, tuple):
        made = tuple(traced(v, marks, f"{path}[{i}]", field) for i, v in enumerate(value))
    elif isinstance(value, dict):
        made = {k: traced(v, marks, f"{path}.{k}") for k, v in value.items()}
    elif is_dataclass(value) and not isinstance(value, type):
        if not path:
            getattr(value, "digest", None)  # made now, of the values alone, and kept below
        # Not through __init__: the values were checked when they were made. The digest of
        # the evidence is that of the values, not of what is remembered with them.
        made = object.__new__(type(value))
        made.__dict__.update({k: v for k, v in value.__dict__.items() if k in _KEPT})
        if not path:
            made.__dict__["_marks"] = marks
        for one in fields(value):
            place = f"{path}.{one.name}" if path else one.name
            made.__dict__[one.name] = traced(getattr(value, one.name), marks, place, one.name)
    return made  # type: ignore[no-any-return]
