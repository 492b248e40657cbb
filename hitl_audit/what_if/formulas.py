"""Columns computed from other columns: ``"loan / income"``, read by a parser of its own.

A formula knows numbers, names of columns, ``+ - * /``, signs and parentheses,
and nothing else; it is never handed to Python. A name with other characters
than letters, digits and ``_`` is written in backquotes: `` `loan amount` / income ``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import InputError

__all__ = ["Derivation", "parse_formula"]

FloatArray = npt.NDArray[np.float64]
Compute = Callable[[Mapping[str, FloatArray]], FloatArray]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[^\W\d]\w*)"
    r"|`(?P<quoted>[^`]+)`"
    r"|(?P<sign>[-+*/()]))"
)
_ACCEPTED = "numbers, names of columns, + - * / and parentheses"
_DEEPEST = 100
_LONGEST = 2000

_Node = tuple[Any, ...]


@dataclass(frozen=True)
class Derivation:
    """How one column follows from others.

    Attributes:
        columns: the columns it is computed from.
        compute: maps these columns, arrays of equal shape, to the new one.
        words: the formula, or the function's name.
    """

    columns: tuple[str, ...]
    compute: Compute
    words: str

    def __call__(self, table: Mapping[str, FloatArray]) -> FloatArray:
        """The computed column; not finite where it cannot be computed (0 / 0)."""
        with np.errstate(all="ignore"):
            return np.asarray(self.compute(table), dtype=np.float64)


def parse_formula(text: str) -> Derivation:
    """Read a formula such as ``"loan / (income * 12)"``.

    Raises:
        InputError: it cannot be read; the message says where.
    """
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"formula is {text!r}; accepted: {_ACCEPTED}")
    if len(text) > _LONGEST:
        raise InputError(f"formula has {len(text)} characters; accepted: up to {_LONGEST}")
    parser = _Parser(text)
    tree = parser.sum(0)
    if parser.at < len(parser.tokens):
        parser.refuse()
    if not parser.names:
        raise InputError(f'formula "{text}" names no column; accepted: {_ACCEPTED}')

    def compute(table: Mapping[str, FloatArray]) -> FloatArray:
        return np.asarray(_evaluate(tree, table), dtype=np.float64)

    return Derivation(tuple(dict.fromkeys(parser.names)), compute, text.strip())


class _Parser:
    """Recursive descent: a sum of products of signed numbers, names and parentheses."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.names = text, 0, list[str]()
        self.tokens: list[tuple[str, str, int]] = []
        place = 0
        while text[place:].strip():
            found = _TOKEN.match(text, place)
            if found is None:
                self._refuse_at(place + len(text[place:]) - len(text[place:].lstrip()))
            kind = str(found.lastgroup)
            self.tokens.append((kind, found.group(kind), found.start(kind)))
            place = found.end()

    def _refuse_at(self, place: int) -> NoReturn:
        rest = self.text[place : place + 10]
        raise InputError(
            f'formula "{self.text}" cannot be read at character {place + 1} ("{rest}"); '
            f"accepted: {_ACCEPTED}"
        )

    def refuse(self) -> NoReturn:
        if self.at < len(self.tokens):
            self._refuse_at(self.tokens[self.at][2])
        raise InputError(f'formula "{self.text}" ends too early; accepted: {_ACCEPTED}')

    def _next_sign(self, accepted: str) -> str | None:
        if self.at < len(self.tokens):
            kind, word, _ = self.tokens[self.at]
            if kind == "sign" and word in accepted:
                self.at += 1
                return word
        return None

    def sum(self, depth: int) -> _Node:
        if depth > _DEEPEST:
            raise InputError(f'formula "{self.text}" is nested deeper than {_DEEPEST} levels')
        left = self._product(depth)
        while (sign := self._next_sign("+-")) is not None:
            left = (sign, left, self._product(depth))
        return left

    def _product(self, depth: int) -> _Node:
        left = self._signed(depth)
        while (sign := self._next_sign("*/")) is not None:
            left = (sign, left, self._signed(depth))
        return left

    def _signed(self, depth: int) -> _Node:
        negative = False
        while (sign := self._next_sign("+-")) is not None:
            negative ^= sign == "-"
        inner = self._single(depth)
        return ("negative", inner) if negative else inner

    def _single(self, depth: int) -> _Node:
        if self._next_sign("(") is not None:
            inner = self.sum(depth + 1)
            if self._next_sign(")") is None:
                self.refuse()
            return inner
        if self.at >= len(self.tokens) or self.tokens[self.at][0] == "sign":
            self.refuse()
        kind, word, _ = self.tokens[self.at]
        self.at += 1
        if kind == "number":
            return ("number", float(word))
        self.names.append(word)
        return ("name", word)


def _evaluate(node: _Node, table: Mapping[str, FloatArray]) -> Any:
    kind = node[0]
    if kind == "number":
        return np.float64(node[1])
    if kind == "name":
        return np.asarray(table[node[1]], dtype=np.float64)
    left = _evaluate(node[1], table)
    if kind == "negative":
        return -left
    right = _evaluate(node[2], table)
    if kind == "+":
        return left + right
    if kind == "-":
        return left - right
    return left * right if kind == "*" else left / right
