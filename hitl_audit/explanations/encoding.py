"""Which raw feature each column of a fitted preprocessing comes from.

The map is read from the fitted scikit-learn transformers and then tested: one
raw feature at a time is shuffled, and only its own columns may change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.booster_model import LightGBMClassifier, LightGBMRegressor
from hitl_audit.errors import ExplanationError
from hitl_audit.explanations.model_output import unseen_categories_allowed

__all__ = ["Encoding", "column_positions", "read_encoding", "source_columns", "text_columns"]

FloatArray = npt.NDArray[np.float64]

CELLS_AT_ONCE = 5_000_000  # of the wider of a table and what becomes of it: 40 MB


@dataclass(frozen=True, eq=False)
class Encoding:
    """A fitted preprocessing and its final estimator, with the way back.

    Attributes:
        steps: the transformers, in order; () when the estimator takes raw features.
        estimator: the final estimator.
        source: for each transformed column the position of its raw feature.
        n_features: number of raw features, p.
        as_array: the first step was fitted on arrays, not DataFrames.
    """

    steps: tuple[Any, ...]
    estimator: Any
    source: npt.NDArray[np.intp]
    n_features: int
    as_array: bool

    def transform(self, frame: pd.DataFrame) -> FloatArray:
        """Transformed columns as dense floats, shape (n, q)."""
        out: Any = frame.to_numpy() if self.as_array else frame
        with unseen_categories_allowed():
            for step in self.steps:
                out = step.transform(out)
        dense = out.toarray() if hasattr(out, "toarray") else out  # one-hot columns come sparse
        try:
            return np.asarray(dense, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ExplanationError(
                f"the final estimator takes columns that are not numbers ({error})"
            ) from error

    def fold(self, values: FloatArray) -> FloatArray:
        """Sum the attributions of transformed columns per raw feature, (n, q) → (n, p)."""
        folded = np.zeros((len(values), self.n_features))
        np.add.at(folded.T, self.source, values.T)
        return folded


def read_encoding(model: Any, frame: pd.DataFrame, *, as_array: bool = False) -> Encoding:
    """Work out how a model turns raw features into its final estimator's columns.

    ``frame`` holds some raw rows to test the map on.

    Raises:
        ExplanationError: the map cannot be established; the message says where.
    """
    from sklearn.pipeline import Pipeline

    steps: tuple[Any, ...] = ()
    estimator = model
    while isinstance(estimator, Pipeline):
        parts = [part for _, part in estimator.steps if part not in (None, "passthrough")]
        steps, estimator = (*steps, *parts[:-1]), parts[-1]
    if isinstance(estimator, LightGBMClassifier | LightGBMRegressor):
        estimator = estimator.booster
    source = list(range(frame.shape[1]))
    names = [str(c) for c in frame.columns]
    for step in steps:
        local = source_columns(step, names)
        source = [source[i] for i in local]
        names = [f"column {i}" for i in range(len(local))]
    encoding = Encoding(steps, estimator, np.array(source, dtype=np.intp), frame.shape[1], as_array)
    _test(encoding, frame)
    return encoding


def text_columns(model: Any) -> list[str]:
    """The raw columns that a ColumnTransformer of the model hands to a text vectorizer."""
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
    from sklearn.pipeline import Pipeline

    if isinstance(model, Pipeline):
        return [name for _, step in model.steps for name in text_columns(step)]
    if not isinstance(model, ColumnTransformer):
        return []
    seen = list(getattr(model, "feature_names_in_", range(model.n_features_in_)))
    found: list[str] = []
    for _, part, columns in model.transformers_:
        first = part.steps[0][1] if isinstance(part, Pipeline) else part
        if isinstance(first, CountVectorizer | HashingVectorizer):
            found += [str(seen[i]) for i in column_positions(columns, [str(c) for c in seen])]
    return found


def source_columns(step: Any, names: Sequence[str]) -> list[int]:
    """For each output column of one fitted transformer, the position of its input column.

    Raises:
        ExplanationError: it mixes its columns, or does not say.
    """
    from sklearn.base import OneToOneFeatureMixin
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_selection import SelectorMixin
    from sklearn.pipeline import FeatureUnion, Pipeline

    n = len(names)
    if step in (None, "passthrough"):
        return list(range(n))
    if isinstance(step, Pipeline):
        local = list(range(n))
        for _, part in step.steps:
            local = [local[i] for i in source_columns(part, [names[i] for i in local])]
        return local
    if isinstance(step, ColumnTransformer):
        return _source_of_column_transformer(step, names)
    if isinstance(step, FeatureUnion):
        parts = [part for _, part in step.transformer_list if part != "drop"]
        return [j for part in parts for j in source_columns(part, names)]
    if isinstance(step, SelectorMixin):
        return [int(j) for j in step.get_support(indices=True)]
    found = _source_by_kind(step, names)
    if found is None and isinstance(step, OneToOneFeatureMixin):
        return list(range(n))
    if found is None:
        raise ExplanationError(
            f"{type(step).__name__} on {_few(names)} does not say which input each of its columns "
            f"comes from"
        )
    return found


def _source_by_kind(step: Any, names: Sequence[str]) -> list[int] | None:
    """For transformers that make several columns, or none, of one; ``None`` for all others."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.impute import MissingIndicator, SimpleImputer
    from sklearn.preprocessing import (
        FunctionTransformer,
        KBinsDiscretizer,
        OneHotEncoder,
        PolynomialFeatures,
        SplineTransformer,
        TargetEncoder,
    )

    n = len(names)
    if isinstance(step, OneHotEncoder):
        return [j for j in range(n) for _ in range(_one_hot_width(step, j))]
    if isinstance(step, SimpleImputer):
        # A column without a single value is dropped unless the imputer was told to keep it.
        kept = [
            j
            for j in range(n)
            if step.keep_empty_features
            or step.strategy == "constant"
            or not pd.isna(step.statistics_[j])
        ]
        return kept + (list(step.indicator_.features_) if step.add_indicator else [])
    if isinstance(step, MissingIndicator):
        return [int(j) for j in step.features_]
    if isinstance(step, KBinsDiscretizer):
        wide = step.encode != "ordinal"
        return [j for j in range(n) for _ in range(int(step.n_bins_[j]) if wide else 1)]
    if isinstance(step, SplineTransformer):
        return [j for j in range(n) for _ in range(step.n_features_out_ // n)]
    if isinstance(step, TargetEncoder):
        classes = len(step.classes_) if step.target_type_ == "multiclass" else 1
        return [j for j in range(n) for _ in range(classes)]
    if isinstance(step, PolynomialFeatures):
        mixed = step.powers_[(step.powers_ > 0).sum(axis=1) > 1]
        if len(mixed):
            together = " and ".join(names[int(j)] for j in np.flatnonzero(mixed[0]))
            raise ExplanationError(f"PolynomialFeatures mixes features ({together} in one column)")
        # The column of ones has no feature; it never changes, so any may have it.
        return [int(j) for j in step.powers_.argmax(axis=1)]
    if isinstance(step, CountVectorizer):  # the one text column, as a whole
        return [0] * len(step.vocabulary_)
    if isinstance(step, FunctionTransformer) and (
        step.func is None
        or isinstance(step.func, np.ufunc)
        or step.feature_names_out == "one-to-one"
    ):
        return list(range(n))
    return None


def _few(names: Sequence[str]) -> str:
    return f"{', '.join(names[:3])}{' …' if len(names) > 3 else ''}"


def _one_hot_width(encoder: Any, j: int) -> int:
    width = len(encoder.categories_[j])
    infrequent = getattr(encoder, "infrequent_categories_", None)
    if infrequent is not None and infrequent[j] is not None:
        width -= len(infrequent[j]) - 1
    if encoder.drop_idx_ is not None and encoder.drop_idx_[j] is not None:
        width -= 1
    return width


def _source_of_column_transformer(step: Any, names: Sequence[str]) -> list[int]:
    seen = [str(c) for c in getattr(step, "feature_names_in_", names)]
    if list(names) != seen and set(names) == set(seen):
        position = {name: i for i, name in enumerate(names)}
        seen_at = [position[name] for name in seen]  # the caller's columns in another order
    else:
        seen_at = list(range(len(names)))
    source: dict[int, int] = {}
    for name, part, columns in step.transformers_:
        if isinstance(part, str) and part == "drop":
            continue
        chosen = column_positions(columns, seen)
        if not chosen:
            continue
        local = source_columns(part, [seen[i] for i in chosen])
        block = step.output_indices_[name]
        outputs = list(range(block.start, block.stop))
        if len(outputs) != len(local):
            raise ExplanationError(
                f'the transformer "{name}" makes {len(outputs)} columns; {len(local)} were expected'
            )
        source.update({o: seen_at[chosen[i]] for o, i in zip(outputs, local, strict=True)})
    return [source[o] for o in sorted(source)]


def column_positions(columns: Any, names: Sequence[str]) -> list[int]:
    """The positions of a ColumnTransformer's columns (names, places, a slice or a mask)."""
    if isinstance(columns, slice):
        if isinstance(columns.start, str) or isinstance(columns.stop, str):
            # scikit-learn's slices of names include the last one.
            first = names.index(columns.start) if columns.start is not None else 0
            last = names.index(columns.stop) if columns.stop is not None else len(names) - 1
            return list(range(first, last + 1))
        return list(range(len(names)))[columns]
    if isinstance(columns, str | int):
        columns = [columns]
    found = np.asarray(columns)
    if found.dtype == bool:
        return [int(i) for i in np.flatnonzero(found)]
    return [
        names.index(str(c)) if isinstance(c, str) else int(c) % len(names) for c in found.tolist()
    ]


def _test(encoding: Encoding, frame: pd.DataFrame) -> None:
    """Shuffle one raw feature at a time: only its own columns may change."""
    rows = frame.iloc[:50]
    before = encoding.transform(rows)
    if not encoding.steps:
        return
    if before.shape[1] != len(encoding.source):
        raise ExplanationError(
            f"the preprocessing makes {before.shape[1]} columns; "
            f"{len(encoding.source)} were expected"
        )
    # Many shuffles in one table: a transformer's time is mostly per call, not per row.
    n = len(rows)
    together = max(1, CELLS_AT_ONCE // max(rows.size, before.size))
    for start in range(0, frame.shape[1], together):
        names = frame.columns[start : start + together]
        places = np.tile(np.arange(n), len(names))
        worlds = rows.iloc[places].reset_index(drop=True)
        for k, name in enumerate(names):
            own = places.copy()
            own[k * n : (k + 1) * n] = np.roll(np.arange(n), 1)
            worlds[name] = pd.Series(rows[name].array.take(own), dtype=rows[name].dtype)
        after = encoding.transform(worlds).reshape(len(names), *before.shape)
        for j, (name, found) in enumerate(zip(names, after, strict=True), start):
            others = np.flatnonzero((found != before).any(axis=0) & (encoding.source != j))
            # A row's place in a larger table may round it otherwise; that is no mixture.
            if not np.allclose(
                found[:, others], before[:, others], rtol=1e-12, atol=0, equal_nan=True
            ):
                raise ExplanationError(
                    f"a change of {name} changes columns of other features, so the preprocessing "
                    f"mixes features"
                )
