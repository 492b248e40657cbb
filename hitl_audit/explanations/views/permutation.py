"""Permutation importance: how much a metric suffers when one raw feature is shuffled.

L. Breiman, "Random forests", Machine Learning 45 (2001), 5-32; computed by
scikit-learn's ``permutation_importance`` on the model's stated output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import Chart, Series, to_plotly
from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.explanations.model_output import ModelOutput, Scale
from hitl_audit.explanations.views.asking import (
    check_integers,
    check_order,
    check_share,
    notes_html,
    read_subject,
)

__all__ = ["METRICS", "PermutationImportance", "permutation_importance"]

FloatArray = npt.NDArray[np.float64]
Metric = Callable[[Any, FloatArray], float]

# Name: scikit-learn's function, its sign, and the scales of output it can judge.
METRICS: dict[str, tuple[str, float, tuple[str, ...]]] = {
    "roc_auc": ("roc_auc_score", 1.0, ("probability", "log-odds")),
    "average_precision": ("average_precision_score", 1.0, ("probability", "log-odds")),
    "neg_log_loss": ("log_loss", -1.0, ("probability",)),
    "neg_brier_score": ("brier_score_loss", -1.0, ("probability",)),
    "r2": ("r2_score", 1.0, ("value",)),
    "neg_mean_absolute_error": ("mean_absolute_error", -1.0, ("value",)),
    "neg_mean_squared_error": ("mean_squared_error", -1.0, ("value",)),
}
SHOWN = 15


@dataclass(frozen=True, eq=False, repr=False)
class PermutationImportance:
    """Loss of a metric when each raw feature is shuffled.

    Attributes:
        features: one line per feature; see :meth:`frame`.
        repeats: the loss in each repeat, shape (features, repeats), in the
            order of the columns of X.
        metric: its name.
        value: the metric on the rows as they are.
        output_words: what is judged: ``probability of 1``.
        n: rows.
        confidence: of every interval.
        random_state: seed.
        notes: what a reader must know about these numbers.
    """

    features: pd.DataFrame
    repeats: FloatArray
    metric: str
    value: float
    output_words: str
    n: int
    confidence: float
    random_state: int
    notes: tuple[str, ...]

    def __post_init__(self) -> None:
        repeats = np.array(self.repeats)
        repeats.setflags(write=False)
        object.__setattr__(self, "repeats", repeats)

    def frame(self) -> pd.DataFrame:
        """feature, importance (mean loss, may be negative), low, high, sd, repeats, interval.

        The strongest come first; the interval is Student's t over the repeats.
        """
        return self.features.copy()

    def chart(self) -> Chart:
        """The strongest 15 features with their intervals."""
        top = self.features.iloc[:SHOWN]
        first = top.iloc[0]
        message = (
            f"Shuffling {first['feature']} costs the most {self.metric}: "
            f"{first['importance']:.3g} of {self.value:.3g} ({self.n:,} rows)"
        )
        low, high = (
            tuple(None if np.isnan(v) else float(v) for v in top[c]) for c in ("low", "high")
        )
        numbers = ", ".join(
            f"{f} {v:+.3g}" for f, v in zip(top["feature"], top["importance"], strict=True)
        )
        series = Series(
            "importance",
            tuple(top["feature"]),
            tuple(float(v) for v in top["importance"]),
            low=low,
            high=high,
        )
        label = f"loss of {self.metric} ({self.output_words})"
        return Chart("bars", message, f"{message}. {numbers}.", label, (series,))

    def plot(self) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart())

    def __repr__(self) -> str:
        return (
            f"<PermutationImportance: {self.metric} {self.value:.4g} of {self.output_words}, "
            f"{len(self.features)} features, {self.n} rows>"
        )

    def _repr_html_(self) -> str:
        return notes_html(self, self.features.drop(columns="interval"), self.notes)


def permutation_importance(
    model: Any,
    X: Any,
    y: Any,
    *,
    metric: str | Metric | None = None,
    n_repeats: int = 10,
    output: Any = None,
    scale: Scale | None = None,
    confidence: float = 0.95,
    random_state: int = 0,
    feature_names: Sequence[str] | None = None,
) -> PermutationImportance:
    """How much worse the model's output fits ``y`` when one raw column is shuffled.

    Args:
        model: as in ``explain``.
        X: raw rows, a DataFrame or a 2-D array.
        y: (rows,) what is true. Probability and log-odds are judged as a
            score of ``y == output``, a value as a prediction of ``y``.
        metric: a name in ``METRICS``, or a function (y, output) → number, the
            higher the better, that is given ``y == output`` as 0 and 1, or y. By
            default ``"roc_auc"``, for a value ``"r2"``.
        n_repeats: shuffles per feature, at least 2.
        output: as in ``explain``.
        scale: as in ``explain``; by default the value of a regressor and the
            probability of all else.
        confidence: of the intervals.
        random_state: seed.
        feature_names: names for the columns of an array.

    Raises:
        InputError: an argument cannot be used.
        ExplanationError: the model failed.
    """
    check_integers(n_repeats=(n_repeats, 2))
    check_share("confidence", confidence)
    subject = read_subject(
        model,
        X,
        output=output,
        scale=scale,
        feature_names=feature_names,
        random_state=random_state,
    )
    truth = _truth(subject.output, subject.rows, y)
    if metric is None:
        metric = "r2" if subject.output.scale == "value" else "roc_auc"
    name, judge = _metric(metric, subject.output.scale)
    from scipy.stats import t
    from sklearn.inspection import permutation_importance as shuffled

    asked = _Asked(subject.output, judge)
    found = shuffled(
        asked,
        subject.rows,
        truth,
        scoring=_Asked.score,
        n_repeats=n_repeats,
        random_state=random_state,
    )
    losses = np.asarray(found.importances, dtype=np.float64)
    spread = losses.std(axis=1, ddof=1)
    reach = float(t.ppf((1 + confidence) / 2, n_repeats - 1)) * spread / np.sqrt(n_repeats)
    mean = losses.mean(axis=1)
    table = pd.DataFrame(
        {
            "feature": [str(c) for c in subject.rows.columns],
            "importance": mean,
            "low": mean - reach,
            "high": mean + reach,
            "sd": spread,
            "repeats": n_repeats,
            "interval": f"Student t over {n_repeats} repeats",
        }
    ).sort_values("importance", ascending=False, kind="stable", ignore_index=True)
    notes = [
        f"intervals: Student t over {n_repeats} shuffles; they do not cover the choice of rows",
        "a shuffled feature makes rows that do not occur; features that move together share their "
        "importance, and each alone may seem to matter little",
    ]
    if (mean < 0).any():
        notes.append("a negative value means that shuffling did no harm: by chance, or by noise")
    return PermutationImportance(
        features=table,
        repeats=losses,
        metric=name,
        value=float(judge(truth, subject.output(subject.rows))),
        output_words=subject.output.words,
        n=len(subject.rows),
        confidence=confidence,
        random_state=random_state,
        notes=tuple(notes),
    )


class _Asked:
    """One output of a model in the shape that scikit-learn's function takes."""

    def __init__(self, output: ModelOutput, judge: Metric) -> None:
        self.output, self.judge = output, judge

    def fit(self) -> _Asked:
        """The model is fitted already."""
        return self

    def score(self, X: pd.DataFrame, y: Any) -> float:
        """The metric of the output on these rows."""
        return self.judge(y, self.output(X))


def _truth(output: ModelOutput, rows: pd.DataFrame, y: Any) -> Any:
    check_order("y", y, rows)
    n = len(rows)
    taken = pd.Series(np.asarray(y))
    if len(taken) != n:
        raise InputError(f"y has {len(taken)} values; X has {n} rows")
    if taken.isna().any():
        raise InputError(f"y has {int(taken.isna().sum())} missing values; expected none")
    if output.scale == "value":
        try:
            return taken.to_numpy(dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError('y is not numeric; expected numbers for scale="value"') from None
    hits = (taken == output.label).to_numpy().astype(np.int64)
    if hits.min() == hits.max():
        raise InputError(
            f"y has {int(hits.sum())} of {n} rows with {output.label!r}; expected some with and "
            f"some without it"
        )
    return hits


def _metric(metric: str | Metric, scale: str) -> tuple[str, Metric]:
    if callable(metric):
        own, name = metric, getattr(metric, "__name__", "metric")

        def judge(y: Any, found: Any) -> float:
            try:
                value = float(own(y, found))
            except Exception as error:
                raise InputError(
                    f"metric {name} failed: {type(error).__name__}: {error}"
                ) from error
            if not np.isfinite(value):
                raise InputError(f"metric {name} returned {value}; expected a finite number")
            return value

        return name, judge
    accepted = [name for name, (_, _, scales) in METRICS.items() if scale in scales]
    if metric not in accepted:
        raise InputError(
            f'metric is "{metric}"; accepted for scale="{scale}": {", ".join(accepted)}'
            f"{did_you_mean(str(metric), accepted)}"
        )
    import sklearn.metrics

    function, sign, _ = METRICS[metric]
    compute = getattr(sklearn.metrics, function)
    return metric, lambda y, found: sign * float(compute(y, found))
