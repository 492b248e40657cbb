"""Asking the original model what it says of raw rows in which one feature is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.explanations.model_output import ModelOutput, resolve_output
from hitl_audit.explanations.raw_features import is_number, raw_rows, sample_rows

__all__ = [
    "Subject",
    "ask_with",
    "check_integers",
    "check_number",
    "check_order",
    "check_share",
    "feature_grid",
    "feature_of",
    "features_used",
    "final_estimator",
    "notes_html",
    "read_subject",
    "value_words",
]

FloatArray = npt.NDArray[np.float64]

BATCH_ROWS = 50_000
MOST_CATEGORIES = 30
# Fewer missed features of the mortgage example that one of its hundred trees tests.
USED_ROWS = 2000
USED_SHUFFLES = 20


@dataclass(frozen=True, eq=False)
class Subject:
    """One output of a model, and the raw rows it is looked at on.

    Attributes:
        output: what is asked; see :func:`resolve_output`.
        rows: the raw rows.
        notes: what was done to the rows, in words.
    """

    output: ModelOutput
    rows: pd.DataFrame
    notes: tuple[str, ...] = ()


def read_subject(
    model: Any,
    X: Any,
    *,
    output: Any,
    scale: str | None,
    feature_names: Sequence[str] | None = None,
    max_rows: int | None = None,
    random_state: int = 0,
) -> Subject:
    """Check a model and its raw rows, and say which output is looked at.

    Without ``scale`` a regressor is looked at on its value, all else on the
    probability. Of more than ``max_rows`` rows those with the smallest seeded hashes are taken.

    Raises:
        InputError: a bad number, or as :func:`resolve_output` and :func:`as_frame`.
    """
    check_integers(
        random_state=(random_state, 0), max_rows=(1 if max_rows is None else max_rows, 1)
    )
    rows, as_array = raw_rows(model, X, feature_names)
    what = resolve_output(model, output=output, scale=scale, as_array=as_array, rows=rows)
    notes: tuple[str, ...] = ()
    if max_rows is not None and len(rows) > max_rows:
        notes = (f"on {max_rows:,} rows sampled from {len(rows):,} by a seeded hash",)
        rows = sample_rows(rows, max_rows, random_state=random_state)
    return Subject(what, rows, notes)


def final_estimator(model: Any) -> Any:
    """What a Pipeline ends in, or the model itself."""
    while hasattr(model, "steps"):
        model = model.steps[-1][1]
    return model


def feature_of(rows: pd.DataFrame, feature: Any, *, name: str = "feature") -> Any:
    """The column's label, from the label or its text.

    Raises:
        InputError: no such column.
    """
    found = [c for c in rows.columns if c == feature or str(c) == str(feature)]
    if not found:
        names = [str(c) for c in rows.columns]
        raise InputError(
            f"{name} is {feature!r}; X has no such column{did_you_mean(str(feature), names)}"
        )
    return found[0]


def ask_with(output: ModelOutput, rows: pd.DataFrame, feature: Any, values: Any) -> FloatArray:
    """The output of every row with ``feature`` set to each of g values, shape (n, g).

    ``values`` is a pandas array or NumPy array; the model is asked for at most
    50,000 rows at a time.
    """
    n, g = len(rows), len(values)
    asked = np.empty((n, g))
    step = max(1, BATCH_ROWS // n)
    for start in range(0, g, step):
        part = values[start : start + step]
        repeated = rows.iloc[np.tile(np.arange(n), len(part))].reset_index(drop=True)
        taken = part.take(np.repeat(np.arange(len(part)), n))
        repeated[feature] = pd.Series(taken, dtype=part.dtype)
        asked[:, start : start + len(part)] = output(repeated).reshape(len(part), n).T
    return asked


def features_used(
    output: ModelOutput, rows: pd.DataFrame, *, random_state: int
) -> npt.NDArray[np.bool_]:
    """Which features change the output of some row when shuffled among the rows, shape (p,).

    Up to 2,000 rows, at most 20 shuffles. A feature that only matters for rare
    combinations of values may be missed; one that never matters is never found.
    """
    some = sample_rows(rows, USED_ROWS, random_state=random_state)
    before = output(some)
    rng = np.random.default_rng(random_state)
    used = np.zeros(rows.shape[1], dtype=bool)
    for j, name in enumerate(rows.columns):
        for _ in range(USED_SHUFFLES):
            # Values of all rows, so that a rare one has its chance.
            source = rng.permutation(len(rows))[: len(some)]
            moved = some.copy()
            moved[name] = pd.Series(
                rows[name].array.take(source), index=moved.index, dtype=rows[name].dtype
            )
            # Rounding of a matrix product is no use of the feature.
            if not np.allclose(output(moved), before, rtol=1e-12, atol=1e-15):
                used[j] = True
                break
    return used


def feature_grid(
    column: pd.Series, grid: int | Sequence[Any], *, name: str
) -> tuple[Any, tuple[str, ...]]:
    """Values at which one feature is looked at, in its own dtype, and what was left out.

    Numbers: values that occur, at evenly spaced quantiles (all of them if
    there are at most ``grid``), rising. Anything else: the values that occur,
    an ordered category in its order, others the commonest 30 by name. A
    sequence is taken as it is, but every category must occur.

    Raises:
        InputError: a bad grid, or a column of dates or of nothing but missing values.
    """
    present = column.dropna()
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_complex_dtype(column):
        raise InputError(
            f'X: column "{name}" is of type {column.dtype}; accepted: numbers, booleans, texts '
            "or categories (turn a date into a number, such as days)"
        )
    if present.empty:
        raise InputError(f'X: column "{name}" has no value in {len(column)} rows')
    if not isinstance(grid, int | np.integer):
        return _given(column, list(grid), name)
    if grid < 2:
        raise InputError(f"grid is {grid}; expected an integer of at least 2, or a list of values")
    if is_number(column):
        numbers = np.unique(present.to_numpy(dtype=np.float64))
        if len(numbers) > grid:
            every = present.to_numpy(dtype=np.float64)
            numbers = np.unique(np.quantile(every, np.linspace(0, 1, grid), method="inverted_cdf"))
        return pd.Series(numbers).astype(column.dtype).array, ()
    counts = present.value_counts()
    counts = counts[counts > 0]
    left_out = tuple(str(v) for v in counts.index[MOST_CATEGORIES:])
    kept = present[present.isin(counts.index[:MOST_CATEGORIES])].drop_duplicates()
    if isinstance(column.dtype, pd.CategoricalDtype) and column.dtype.ordered:
        return kept.sort_values().array, left_out
    order = np.argsort(kept.astype(object).map(str).to_numpy(), kind="stable")
    return kept.iloc[order].array, left_out


def _given(column: pd.Series, values: list[Any], name: str) -> tuple[Any, tuple[str, ...]]:
    if not values:
        raise InputError("grid is empty; expected at least one value")
    if is_number(column):
        try:
            numbers = np.array(values, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"grid is {values!r}; {name} holds numbers") from None
        numbers = np.unique(numbers)  # rising, as a curve is drawn
        if np.isnan(numbers).any():
            raise InputError("grid holds a missing value; missing is a point of its own already")
        whole = bool((numbers == np.rint(numbers)).all())
        if pd.api.types.is_integer_dtype(column.dtype) and not whole:
            return pd.Series(numbers).array, ()
        return pd.Series(numbers).astype(column.dtype).array, ()
    strange = [str(v) for v in values if not column.isin([v]).any()]
    if strange:
        raise InputError(f"grid has {', '.join(strange)}: not a value of {name} in X")
    return pd.Series(values).astype(column.dtype).array, ()


def value_words(value: Any) -> str:
    """A raw value for people: ``3.21``, ``yes``, ``missing``."""
    if pd.isna(value):
        return "missing"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | float | np.integer | np.floating):
        number = float(value)
        text = f"{number:,.0f}" if number.is_integer() or abs(number) >= 1e4 else f"{number:.4g}"
        return text.replace("-", "−")
    return str(value)


def notes_html(result: Any, table: pd.DataFrame, notes: Sequence[str]) -> str:
    """A result in a notebook: its one line, its table, and what must be known about it."""
    from html import escape

    lines = "".join(f"<li>{escape(note)}</li>" for note in notes)
    page = table.to_html(index=False, border=0, float_format="{:.4g}".format)
    return f"<p>{escape(repr(result)[1:-1])}</p>{page}<ul>{lines}</ul>"


def check_order(name: str, values: Any, rows: pd.DataFrame) -> None:
    """A Series that has the rows' labels has them in the rows' order: values go by place.

    Raises:
        InputError: the same labels in another order.
    """
    if not isinstance(values, pd.Series) or len(values) != len(rows):
        return
    if not values.index.equals(rows.index) and set(values.index) == set(rows.index):
        raise InputError(f"{name} has the labels of X in another order; expected the same order")


def check_integers(**limits: tuple[Any, int]) -> None:
    """Each ``name=(value, least)`` is an integer of at least ``least``.

    Raises:
        InputError: naming the one that is not.
    """
    for name, (value, least) in limits.items():
        if (
            not isinstance(value, int | np.integer)
            or isinstance(value, bool | np.bool_)
            or value < least
        ):
            raise InputError(f"{name} is {value!r}; expected an integer of at least {least}")
        if name == "random_state" and value >= 2**32:
            raise InputError(f"random_state is {value}; expected an integer below 2³²")


def check_number(name: str, value: Any) -> None:
    """A finite number.

    Raises:
        InputError: it is not.
    """
    if not isinstance(value, int | float | np.number) or not np.isfinite(value):
        raise InputError(f"{name} is {value!r}; expected a number")


def check_share(name: str, value: Any) -> None:
    """A number strictly between 0 and 1.

    Raises:
        InputError: it is not.
    """
    if not isinstance(value, int | float | np.floating) or not 0 < value < 1:
        raise InputError(f"{name} is {value!r}; expected a number between 0 and 1")
