"""Who answered what: ratings as a table of units × raters, checked and coded. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError

__all__ = ["MAX_CATEGORIES", "Label", "Ratings", "conflicts", "ratings_frame", "read_ratings"]

Label = str | int | float | bool
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

MAX_CATEGORIES = 1000
"""More distinct ratings than this are refused: agreement is about categories."""


@dataclass(frozen=True, eq=False)
class Ratings:
    """Checked ratings.

    Attributes:
        units: (n,) names of the units (cases) that were rated.
        raters: (r,) names of the raters.
        categories: (q,) the possible ratings, in their order if they have one.
        ordered: whether that order means anything.
        codes: (n, r) place of each rating in ``categories``; −1 where there is none.
    """

    units: tuple[str, ...]
    raters: tuple[str, ...]
    categories: tuple[Label, ...]
    ordered: bool
    codes: IntArray

    @property
    def counts(self) -> FloatArray:
        """(n, q) how many raters put each unit into each category."""
        q = len(self.categories)
        counts = np.zeros((len(self.units), q + 1))
        rows = np.arange(len(self.units))
        for column in self.codes.T:
            counts[rows, column] += 1  # a missing rating is -1, the last column
        return counts[:, :q]

    @property
    def numeric(self) -> bool:
        """Whether the categories are numbers."""
        return bool(self.categories) and all(
            isinstance(c, int | float) and not isinstance(c, bool) for c in self.categories
        )

    def only(self, rows: npt.NDArray[Any]) -> Ratings:
        """The same ratings of some of the units."""
        units = tuple(np.array(self.units, dtype=object)[rows])
        return Ratings(units, self.raters, self.categories, self.ordered, self.codes[rows])


def ratings_frame(
    units: Iterable[object], raters: Iterable[object], labels: Iterable[object]
) -> pd.DataFrame:
    """Turn a list of ratings into a table of units × raters.

    Args:
        units, raters, labels: equally long: who (rater) said what (label)
            about which case (unit). A missing label stays missing. Labels of a
            categorical Series keep their categories.

    Returns:
        Units and raters in the order of first appearance; ``None`` where a
        rater did not rate a unit.

    Raises:
        InputError: different lengths, a missing unit or rater, or a rater who
            rated a unit twice.
    """
    dtype = getattr(labels, "dtype", None)
    columns = {"units": list(units), "raters": list(raters), "labels": list(labels)}
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{n} {name}" for name, n in lengths.items())
        raise InputError(f"ratings: got {found}, expected as many of each")
    for name in ("units", "raters"):
        empty = [i for i, value in enumerate(columns[name]) if _is_missing(value)]
        if empty:
            raise InputError(f"ratings: {name}[{empty[0]}] is missing; expected a name in each row")
    pairs = list(zip(columns["units"], columns["raters"], strict=True))
    twice = [(pair, number) for pair, number in Counter(pairs).items() if number > 1]
    if twice:
        (unit, rater), number = twice[0]
        more = f" (and {len(twice) - 1} more like it)" if len(twice) > 1 else ""
        raise InputError(
            f'ratings: rater "{rater}" rated unit "{unit}" {number} times{more}; '
            "expected one rating by a rater of a unit: keep the one that counts"
        )
    row = {unit: i for i, unit in enumerate(dict.fromkeys(columns["units"]))}
    column = {rater: j for j, rater in enumerate(dict.fromkeys(columns["raters"]))}
    table = np.full((len(row), len(column)), None, dtype=object)
    for (unit, rater), label in zip(pairs, columns["labels"], strict=True):
        table[row[unit], column[rater]] = None if _is_missing(label) else label
    frame = pd.DataFrame(
        table,
        index=pd.Index(list(row), name="unit"),
        columns=pd.Index(list(column), name="rater"),
        dtype=object,
    )
    return frame.astype(dtype) if isinstance(dtype, pd.CategoricalDtype) else frame


def conflicts(ratings: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``ratings`` whose raters differ: at least two ratings, not all the same.

    Args:
        ratings: units × raters; missing where a rater did not rate a unit.

    Raises:
        InputError: ratings that cannot be used; see :func:`read_ratings`.
    """
    counts = read_ratings(ratings).counts
    differ: pd.DataFrame = ratings.loc[(counts > 0).sum(axis=1) > 1]
    return differ


def read_ratings(
    ratings: pd.DataFrame,
    *,
    categories: Sequence[Label] | None = None,
    also: Sequence[Label] = (),
) -> Ratings:
    """Check a table of ratings and code it.

    Args:
        ratings: units (index) × raters (columns); text, numbers or booleans;
            missing (``None``, NaN) where a rater did not rate a unit.
        categories: every rating that could be given, in order. Default: those
            of the columns' categorical type; else the ones that occur, numbers
            in their order, texts alphabetically and without an order.
        also: labels from elsewhere (a gold standard) that count as possible.

    Raises:
        InputError: not a table, a unit or rater that is there twice, ratings
            of mixed kinds or of a kind that is none of these, an empty text,
            an infinite number, a rating that is not among the categories, or
            more than 1,000 categories.
    """
    if not isinstance(ratings, pd.DataFrame):
        raise InputError(
            f"ratings is a {type(ratings).__name__}; accepted: a DataFrame of units × raters "
            "(ratings_frame makes one from a list)"
        )
    units, raters = (tuple(map(str, axis)) for axis in ratings.axes)
    for what, names in (("unit", units), ("rater", raters)):
        repeated = [name for name, number in Counter(names).items() if number > 1]
        if repeated:
            raise InputError(f'ratings: {what} "{repeated[0]}" is there more than once')

    values = ratings.to_numpy(dtype=object)
    missing = pd.isna(values)
    found = _labels(values[~missing], "ratings")
    known, ordered = _categories(ratings, categories, found, _labels(also, "truth"))
    place = {category: i for i, category in enumerate(known)}
    outside = sorted({str(label) for label in found if label not in place})
    if outside:
        raise InputError(
            f'ratings: "{outside[0]}" is not among the categories; '
            f"accepted: {', '.join(map(str, known))}"
        )
    if len(known) > MAX_CATEGORIES:
        raise InputError(
            f"ratings has {len(known):,} different values; accepted: at most "
            f"{MAX_CATEGORIES:,} categories; round the values, or bin them"
        )
    codes = np.full(values.shape, -1, dtype=np.int64)
    codes[~missing] = [place[label] for label in found]
    return Ratings(units, raters, known, ordered, codes)


def _categories(
    ratings: pd.DataFrame,
    given: Sequence[Label] | None,
    found: Sequence[Label],
    also: Sequence[Label],
) -> tuple[tuple[Label, ...], bool]:
    """The categories, and whether they are in order."""
    if given is not None:
        known = _labels(given, "categories")
        _one_kind([*known, *found, *also], "categories and ratings")
        if len(set(known)) < len(known):
            raise InputError(f"categories has a value twice: {', '.join(map(str, known))}")
        extra = [label for label in dict.fromkeys(also) if label not in set(known)]
        if extra:
            raise InputError(
                f'truth: "{extra[0]}" is not among the categories; '
                f"accepted: {', '.join(map(str, known))}"
            )
        return tuple(known), True
    types = list(ratings.dtypes)
    declared: list[Label] = []
    ordered = False
    if types and all(isinstance(t, pd.CategoricalDtype) for t in types):
        declared = _labels([c for t in types for c in t.categories], "ratings")
        ordered = all(t.ordered and t == types[0] for t in types)
    used = _labels([*declared, *found, *also], "ratings and truth")
    if declared:
        return tuple(dict.fromkeys(used)), ordered and set(also) <= set(declared)
    known = sorted(set(used), key=lambda label: label)
    return tuple(known), not any(isinstance(label, str) for label in known)


def _labels(values: Iterable[object], where: str) -> list[Label]:
    """Values as plain labels of one kind; whole numbers as integers if all are whole."""
    labels: list[Label] = []
    for value in values:
        plain = value.item() if isinstance(value, np.generic) else value
        if not isinstance(plain, str | int | float):
            raise InputError(
                f"{where}: got {plain!r}, a {type(plain).__name__}; "
                "accepted: text, numbers, True and False"
            )
        if isinstance(plain, float) and not math.isfinite(plain):
            raise InputError(f"{where}: got {plain}; accepted: finite numbers")
        if isinstance(plain, str) and not plain.strip():
            raise InputError(f"{where}: got an empty text; leave out (None) what was not rated")
        labels.append(plain)
    _one_kind(labels, where)
    if any(isinstance(label, float) for label in labels) and all(
        float(label).is_integer() for label in labels
    ):
        return [int(label) for label in labels]
    return labels


def _one_kind(labels: Iterable[Label], where: str) -> None:
    kinds = {
        "text" if t is str else "truth values" if t is bool else "numbers"
        for t in {type(label) for label in labels}
    }
    if len(kinds) > 1:
        raise InputError(f"{where}: got {' and '.join(sorted(kinds))}; accepted: one kind of label")


def _is_missing(value: object) -> bool:
    # By their text: pd.NA has no truth value, and NaN comes in several types.
    return value is None or str(value) in ("nan", "NaT", "<NA>")
