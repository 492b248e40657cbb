"""The gate every audit passes.

:func:`build_inputs` checks a model and its data before any work starts and
returns :class:`AuditInputs`: what is predicted, for whom, by what, with the
digests that say later which model and which data these were.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import platform
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.canonical import Digest, digest, digest_columns
from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.groups import UNKNOWN, group_columns
from hitl_audit.loading import LoadedModel, model_in_memory
from hitl_audit.plan import AuditPlan

__all__ = [
    "MAX_GROUPS",
    "AuditInputs",
    "Predictor",
    "build_inputs",
    "check_reference",
    "digest_frame",
    "environment_versions",
    "fitted_encoders",
    "missing_columns",
    "model_features",
    "notes_in_words",
    "outcome_problem",
    "predictor_of",
    "scores_problem",
    "target_problem",
    "too_many_groups",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MAX_GROUPS = 50


@dataclass(frozen=True)
class Predictor:
    """The probability of the favorable outcome, and the decision made from it.

    Attributes:
        model: a fitted classifier, or a callable that maps a DataFrame to
            probabilities of the favorable outcome, shape (n,).
        output: ``"probability"``, or ``"label"`` for a model that only decides
            (its score is then 0 or 1).
        column: index of the favorable class in ``predict_proba``'s columns.
        favorable: the favorable class label.
        threshold: favorable iff score ≥ threshold.
    """

    model: Any
    output: str
    column: int
    favorable: Any
    threshold: float

    def score(self, X: pd.DataFrame) -> FloatArray:
        """Scores in [0, 1], shape (n,).

        Raises:
            InputError: the model failed, or returned something else.
        """
        raw = self.raw_score(X)
        bad = ~((raw >= 0) & (raw <= 1))
        if bad.any():
            raise scores_problem(int(bad.sum()), f"row {int(np.flatnonzero(bad)[0]) + 1}")
        return raw

    def raw_score(self, X: pd.DataFrame) -> FloatArray:
        """What the model returns, shape (n,): not checked to be from 0 to 1.

        Raises:
            InputError: the model failed, or returned something of another shape.
        """
        try:
            if self.output == "label":
                raw = np.asarray(self.model.predict(X) == self.favorable, dtype=float)
            elif hasattr(self.model, "predict_proba"):
                raw = np.asarray(self.model.predict_proba(X), dtype=float)[:, self.column]
            else:
                raw = np.asarray(self.model(X), dtype=float)
        except InputError:
            raise  # a worker or an endpoint says itself what failed, on which rows
        except Exception as error:
            raise InputError(
                f"the model failed on {len(X)} rows of data: {type(error).__name__}: {error}"
            ) from error
        if raw.shape != (len(X),):
            raise InputError(
                f"the model returned an array of shape {raw.shape} for {len(X)} rows; expected "
                f"({len(X)},) probabilities of the favorable outcome"
            )
        return raw

    def decide(self, score: FloatArray) -> IntArray:
        """1 where the decision is favorable: score ≥ threshold."""
        return (score >= self.threshold).astype(np.int64)


@dataclass(frozen=True)
class AuditInputs:
    """Validated inputs of one audit; n rows, p model inputs.

    Attributes:
        predictor: the model as a function from rows to favorable scores.
        X: model inputs as given, n × p, index = ``case_ids``.
        y_true: recorded outcome, 1 = favorable, shape (n,).
        y_score, y_pred: the model's score and decision, shape (n,).
        sensitive: groups as text, n × attributes; missing is ``"unknown"``.
        case_ids: pseudonyms, by position in the data: ``C0001``.
        model: where the model came from.
        data_digest, scores_digest, environment_digest: what was audited.
        environment: versions of Python and the libraries that computed.
        notes: what a reader of the audit should know about the data.
        protected_inputs: sensitive attributes that the model also reads.
    """

    predictor: Predictor
    X: pd.DataFrame
    y_true: IntArray
    y_score: FloatArray
    y_pred: IntArray
    sensitive: pd.DataFrame
    case_ids: tuple[str, ...]
    model: LoadedModel
    data_digest: Digest
    scores_digest: Digest
    environment: dict[str, str]
    environment_digest: Digest
    notes: tuple[str, ...]
    protected_inputs: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.y_true)


def _column_bytes(column: pd.Series) -> tuple[str, list[bytes]]:
    """One column as (kind, chunks): big-endian float64, or UTF-8 texts with lengths."""
    missing = column.isna().to_numpy()
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan).astype(">f8")
        values[missing] = 0.0
        return "number", [values.tobytes(), np.packbits(missing).tobytes()]
    texts = [b"" if gone else str(v).encode() for v, gone in zip(column, missing, strict=True)]
    lengths = np.array([len(t) for t in texts], dtype=">u4").tobytes()
    return "text", [lengths, b"".join(texts), np.packbits(missing).tobytes()]


def digest_frame(frame: pd.DataFrame) -> Digest:
    """SHA-256 of a table's names and values, in order; the index is left out."""
    columns = ((str(name), *_column_bytes(frame[name])) for name in frame.columns)
    return digest_columns(columns)


def environment_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that compute."""
    found = {
        "python": platform.python_version(),
        "platform": f"{sys.platform} {platform.machine()}",
    }
    names = ("hitl-audit", "numpy", "pandas", "scikit-learn", "shap", "lime", "fairlearn", "numba")
    for name in (*names, "xgboost", "lightgbm", "onnxruntime"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _as_frame(X: Any) -> pd.DataFrame:
    if isinstance(X, pd.DataFrame):
        return X
    if hasattr(X, "to_pandas"):  # polars, pyarrow
        return pd.DataFrame(X.to_pandas())
    array = np.asarray(X)
    if array.ndim != 2:
        raise InputError(f"X has shape {array.shape}; expected a DataFrame or a 2-D array")
    return pd.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])])


def _aligned(name: str, other: Any, frame: pd.DataFrame) -> Any:
    """Labels that name the same rows in another order are put in the order of X.

    Raises:
        InputError: the index names other rows than that of X.
    """
    if isinstance(other, pd.DataFrame) and name == "y" and other.shape[1] == 1:
        other = other.iloc[:, 0]
    if not isinstance(other, pd.DataFrame | pd.Series) or other.index.equals(frame.index):
        return other
    if isinstance(other.index, pd.RangeIndex) or isinstance(frame.index, pd.RangeIndex):
        if set(other.index) != set(frame.index):
            return other  # one of them was renumbered: only the position tells
    elif set(other.index) != set(frame.index):
        raise InputError(
            f"{name} has another index than X: X has {frame.index[0]!r} where {name} has "
            f"{other.index[0]!r}; expected the same rows, or arrays without an index"
        )
    if not frame.index.is_unique:
        raise InputError(
            f"{name} has another order than X, and X's index repeats; expected a unique index"
        )
    return other.loc[frame.index]


def missing_columns(wanted: Sequence[str], frame: pd.DataFrame, field: str) -> None:
    """Refuse a table that lacks a column.

    Raises:
        InputError: naming the column, who needs it, and what there is.
    """
    absent = [c for c in wanted if c not in frame.columns]
    if absent:
        have = [str(c) for c in frame.columns]
        raise InputError(
            "\n".join(
                f'{field} needs column "{c}", which the data do not have{did_you_mean(c, have)}'
                for c in absent
            )
            + f"\nThe data have: {', '.join(have)}"
        )


def too_many_groups(name: str, distinct: str) -> InputError:
    """The error of a sensitive attribute with more than :data:`MAX_GROUPS` values."""
    return InputError(
        f'sensitive attribute "{name}" has {distinct} different values; expected at most '
        f"{MAX_GROUPS} groups (put a number such as an age into bands first)"
    )


def check_reference(attribute: str, wanted: str, groups: Iterable[str]) -> None:
    """Refuse a reference group that does not occur.

    Raises:
        InputError: naming the groups that do.
    """
    present = sorted(groups)
    if wanted not in present:
        raise InputError(
            f'data.reference.{attribute} is "{wanted}"; accepted: {", ".join(present)}'
            + did_you_mean(wanted, present)
        )


def scores_problem(bad: int, first: str) -> InputError:
    """The error of scores that are no probabilities."""
    return InputError(
        f"the model returned {bad} scores outside 0 to 1 or not a number "
        f"(first at {first}); expected probabilities"
    )


def target_problem(missing: int, rows: int, first: str) -> InputError:
    """The error of rows without a recorded outcome."""
    return InputError(
        f"the target is missing in {missing} of {rows} rows (first: {first}); an audit needs the "
        "recorded outcome of every row: drop these rows first"
    )


def outcome_problem(values: Sequence[Any], favorable: Any) -> InputError | None:
    """What is wrong with a target of these values, or ``None``."""
    shown = ", ".join(repr(v) for v in values[:10])
    if favorable not in values:
        return InputError(
            f"data.favorable is {favorable!r}, which the target never is; it is {shown}"
        )
    if len(values) == 1:
        return InputError(
            f"every row has the same outcome ({values[0]!r}); expected both outcomes in the data"
        )
    if len(values) > 2:
        return InputError(
            f"the target has {len(values)} different values ({shown}); expected two: this version "
            "audits binary decisions"
        )
    return None


def _groups(sensitive: pd.DataFrame) -> pd.DataFrame:
    """Sensitive attributes as text; missing is ``"unknown"``."""
    for name in sensitive:
        distinct = sensitive[name].nunique()
        if distinct > MAX_GROUPS:
            raise too_many_groups(str(name), str(distinct))
    if not len(sensitive.columns):
        return pd.DataFrame(index=range(len(sensitive)))
    return pd.DataFrame(group_columns(sensitive, len(sensitive)))


def model_features(
    model: Any, frame: pd.DataFrame, plan: AuditPlan, stated: Sequence[str] | None = None
) -> list[str]:
    """The columns that the model reads; only the names of ``frame`` are looked at.

    Args:
        model: knows its inputs, or not.
        frame: a table with the columns of the data.
        plan: may name the model's inputs.
        stated: the inputs by the signature that came with the model.

    Raises:
        InputError: a column that is not there.
    """
    if plan.data.features is not None:
        missing_columns(plan.data.features, frame, "data.features")
        return list(plan.data.features)
    names = getattr(model, "feature_names_in_", None)
    if names is not None:
        missing_columns([str(n) for n in names], frame, "the model")
        return [str(n) for n in names]
    if stated is not None:
        missing_columns(stated, frame, "the model's signature")
        return list(stated)
    outside = {plan.data.target, plan.data.id, *plan.data.sensitive, *plan.data.excluded}
    return [c for c in frame.columns if c not in outside]


def _targets(y: Any, plan: AuditPlan) -> IntArray:
    column = pd.Series(np.asarray(y) if not isinstance(y, pd.Series) else y.to_numpy())
    missing = column.isna()
    if missing.any():
        rows = ", ".join(str(i + 1) for i in np.flatnonzero(missing)[:5])
        raise target_problem(int(missing.sum()), len(column), f"row {rows}")
    problem = outcome_problem(column.unique().tolist(), plan.data.favorable)
    if problem is not None:
        raise problem
    return np.asarray(column == plan.data.favorable, dtype=np.int64)


def predictor_of(model: Any, plan: AuditPlan) -> Predictor:
    """The model as a function from rows to scores.

    Raises:
        InputError: it cannot be one, in words.
    """
    favorable: Any = plan.data.favorable
    column = 1
    output = plan.model.output
    if output == "label":
        if not hasattr(model, "predict"):
            raise InputError('model.output is "label", but the model has no predict method')
        labels = list(getattr(model, "classes_", [favorable]))
        if favorable not in labels:
            raise InputError(
                f"data.favorable is {favorable!r}, which is not a class of the model; accepted: "
                + ", ".join(repr(c) for c in labels)
            )
    elif hasattr(model, "predict_proba"):
        classes = list(getattr(model, "classes_", [None, favorable]))
        if len(classes) != 2:
            raise InputError(
                f"the model has {len(classes)} classes; expected two: this version audits binary "
                "decisions"
            )
        if favorable not in classes:
            raise InputError(
                f"data.favorable is {favorable!r}, which is not a class of the model; accepted: "
                + ", ".join(repr(c) for c in classes)
            )
        column = classes.index(favorable)
    elif not callable(model):
        raise InputError(
            f"the model is a {type(model).__name__} without predict_proba; expected a classifier "
            'with predict_proba, a callable that returns probabilities, or model.output = "label"'
        )
    return Predictor(model, output, column, favorable, plan.model.threshold)


def fitted_encoders(model: Any) -> Iterator[tuple[Sequence[str], Any]]:
    """Fitted one-hot and ordinal encoders inside a pipeline, with their raw columns."""
    steps = [step for _, step in getattr(model, "steps", [])] or [model]
    for step in steps:
        for _, transformer, columns in getattr(step, "transformers_", []):
            inner = [s for _, s in getattr(transformer, "steps", [])] or [transformer]
            for part in inner:
                if hasattr(part, "categories_") and len(part.categories_) == len(columns):
                    yield [str(c) for c in columns], part


def _notes(
    X: pd.DataFrame, y_true: IntArray, sensitive: pd.DataFrame, model: Any, plan: AuditPlan
) -> tuple[str, ...]:
    unseen = []
    for columns, encoder in fitted_encoders(model):
        for name, known in zip(columns, encoder.categories_, strict=True):
            values = X[name].dropna()
            new = values[~values.isin(list(known))]
            unseen.append((name, len(new), [str(v) for v in new.unique()[:5]]))
    outcomes = [
        str(name)
        for name in X.columns
        if pd.api.types.is_numeric_dtype(X[name])
        and np.array_equal(X[name].to_numpy(dtype=float, na_value=np.nan), y_true)
    ]
    return notes_in_words(
        plan,
        rows=len(X),
        constant=[str(c) for c in X.columns if X[c].nunique(dropna=False) == 1],
        unseen=unseen,
        outcomes=outcomes,
        gaps=[(str(name), int(k)) for name, k in X.isna().sum().items()],
        sizes={
            str(name): {str(g): int(n) for g, n in sensitive[name].value_counts().items()}
            for name in sensitive.columns
        },
        protected=[str(c) for c in sensitive if c in X.columns],
    )


def notes_in_words(
    plan: AuditPlan,
    *,
    rows: int,
    constant: Sequence[str],
    unseen: Sequence[tuple[str, int, Sequence[str]]],
    outcomes: Sequence[str],
    gaps: Sequence[tuple[str, int]],
    sizes: Mapping[str, Mapping[str, int]],
    protected: Sequence[str],
) -> tuple[str, ...]:
    """What a reader of an audit should know about its rows, in sentences.

    Args:
        plan: its words for columns.
        rows: how many rows there are.
        constant: model inputs with one value only.
        unseen: encoded model inputs: rows with values that the model never saw, and
            some of these values.
        outcomes: model inputs that equal the recorded outcome in every row.
        gaps: model inputs and their rows without a value.
        sizes: sensitive attribute → group → rows.
        protected: sensitive attributes that the model reads.
    """
    notes = []
    if constant:
        notes.append(
            "Constant in these data, so their influence cannot be seen: "
            f"{', '.join(map(plan.label, constant))}."
        )
    for name, count, shown in unseen:
        if count:
            notes.append(
                f"{plan.label(name)} has values the model never saw in training "
                f"({', '.join(shown)}) in {count} of {rows} rows."
            )
    for name in outcomes:
        notes.append(
            f"{plan.label(name)} equals the recorded outcome in every row: is the outcome "
            "itself among the model's inputs?"
        )
    absent = [f"{plan.label(name)} ({k} rows)" for name, k in gaps if k]
    if absent:
        notes.append(f"Missing values in model inputs: {', '.join(absent)}.")
    for name, groups in sizes.items():
        if unknown := groups.get(UNKNOWN, 0):
            notes.append(
                f"{plan.label(name)} is unknown for {unknown} of {rows} rows; they are a group "
                "of their own."
            )
        alone = [group for group, n in groups.items() if n == 1]
        if alone:
            notes.append(f"{plan.label(name)} has groups with a single member: {', '.join(alone)}.")
    if protected:
        notes.append(
            "The model reads these protected attributes directly: "
            f"{', '.join(map(plan.label, protected))}."
        )
    return tuple(notes)


def build_inputs(
    model: Any,
    X: Any,
    y: Any,
    *,
    plan: AuditPlan,
    sensitive: pd.DataFrame | None = None,
    ids: Sequence[Any] | None = None,
    loaded: LoadedModel | None = None,
) -> AuditInputs:
    """Check a model and its data, score every row once, and freeze both.

    Args:
        model: a fitted binary classifier or a callable (see :class:`Predictor`).
        X: n rows; a DataFrame, or anything with ``to_pandas`` or 2-D shape. May
            hold more columns than the model reads.
        y: recorded outcome per row.
        plan: names the favorable value, sensitive attributes, threshold.
        sensitive: the sensitive attributes, if they are not columns of ``X``.
        ids: one per row, unique; they stay here and are not published.
        loaded: where the model came from, if it was read from a file.

    Raises:
        InputError: names what was found, what is accepted and where.
    """
    frame = _as_frame(X)
    n = len(frame)
    if n == 0:
        raise InputError("the data have no rows")
    repeated = frame.columns[frame.columns.duplicated()].tolist()
    if repeated:
        raise InputError(f"the data have columns of the same name: {', '.join(map(str, repeated))}")
    for name, other in (("y", y), ("sensitive", sensitive), ("ids", ids)):
        if other is not None and len(other) != n:
            raise InputError(
                f"{name} has {len(other)} rows and X has {n}; expected the same number"
            )
    if ids is not None:
        listed = pd.Series(list(ids))
        twice = listed[listed.duplicated()].tolist()
        if twice:
            raise InputError(
                f"{len(twice)} ids occur more than once (first: {twice[0]!r}); expected one "
                "row per id"
            )
    y = _aligned("y", y, frame)
    sensitive = _aligned("sensitive", sensitive, frame)
    y_true = _targets(y, plan)
    if sensitive is None:
        missing_columns(plan.data.sensitive, frame, "data.sensitive")
        sensitive = frame[list(plan.data.sensitive)]
    groups = _groups(sensitive)
    for attribute, wanted in plan.data.reference.items():
        check_reference(attribute, wanted, groups[attribute].unique())
    features = model_features(model, frame, plan, loaded.columns if loaded else None)
    if plan.data.target in features:
        raise InputError(f'the target "{plan.data.target}" is among the model\'s inputs')
    case_ids = tuple(f"C{i + 1:0{len(str(n))}d}" for i in range(n))
    groups.index = pd.Index(case_ids)
    inputs = frame[features].set_axis(pd.Index(case_ids), axis=0)
    predictor = predictor_of(model, plan)
    with warnings.catch_warnings():
        # Unseen categories are reported below in words; scikit-learn's warning repeats it.
        warnings.filterwarnings("ignore", message="Found unknown categories", category=UserWarning)
        # A file is scored in its worker first: see model_worker.
        asked = predictor if loaded is None else replace(predictor, model=loaded.scoring)
        y_score = asked.score(inputs)
    protected = tuple(str(c) for c in groups if c in features)
    environment = environment_versions()
    outcome = pd.DataFrame({"recorded:": y_true}, index=inputs.index)
    for array in (y_true, y_score):
        array.setflags(write=False)
    y_pred = predictor.decide(y_score)
    y_pred.setflags(write=False)
    return AuditInputs(
        predictor=predictor,
        X=inputs,
        y_true=y_true,
        y_score=y_score,
        y_pred=y_pred,
        sensitive=groups,
        case_ids=case_ids,
        model=loaded or model_in_memory(model),
        data_digest=digest_frame(
            pd.concat([inputs, outcome, groups.add_prefix("sensitive:")], axis=1)
        ),
        scores_digest=digest_frame(pd.DataFrame({"score": y_score})),
        environment=environment,
        environment_digest=digest(environment),
        notes=(
            *_notes(inputs, y_true, groups, model, plan),
            *(loaded.notes if loaded else ()),
        ),
        protected_inputs=protected,
    )
