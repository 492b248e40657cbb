"""Does a ranking of features name those that move the prediction? Asked of the model itself.

Features of a case are replaced by those of background rows, strongest first:

- PGI, the prediction gap on important features: mean \\|f(x) − f(x′)\\| with
  the k strongest features replaced; PGU, on unimportant ones: with all others
  replaced (OpenXAI, arXiv 2206.11104, which adds Gaussian noise to numbers;
  values of background rows also stand for categories and gaps, and occur).
- Deletion: the area under that gap while the share of replaced features, in
  order of \\|attribution\\|, grows from 0 to 1; insertion: while the share of
  *kept* features grows (Petsiuk et al., RISE, arXiv 1806.07421, who follow
  the probability itself; the gap is used because factors of both signs are
  replaced). A faithful ranking has a large deletion and a small insertion area.

Alone these numbers depend on the scale and the case. So each stands beside its
mean over random rankings of the same case: a ranking that does no better than
those tells nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import Chart, Series, number, to_plotly
from hitl_audit.errors import AuditError, ExplanationError, InputError
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.explanations.raw_features import align, as_frame, sample_rows
from hitl_audit.explanations.trust.row_measures import (
    MIN_GROUP,
    GroupMeasures,
    chart_values,
    measures_by_group,
    summarise,
)
from hitl_audit.explanations.trust.row_seeds import row_generators

__all__ = ["FAITHFULNESS_MEASURES", "Faithfulness", "faithfulness"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

FAITHFULNESS_MEASURES = {
    "pgi": "prediction gap with the {k} strongest features replaced (larger is better)",
    "pgi_random": "the same for random rankings",
    "pgu": "prediction gap with all but the {k} strongest features replaced (smaller is better)",
    "pgu_random": "the same for random rankings",
    "deletion_auc": "area under the prediction gap, strongest features replaced first "
    "(larger is better)",
    "deletion_auc_random": "the same for random rankings",
    "insertion_auc": "area under the prediction gap, strongest features kept first "
    "(smaller is better)",
    "insertion_auc_random": "the same for random rankings",
    "pgi_gain": "pgi above random rankings (above 0: better than random)",
    "pgu_gain": "pgu below random rankings (above 0: better than random)",
    "deletion_gain": "deletion area above random rankings (above 0: better than random)",
    "insertion_gain": "insertion area below random rankings (above 0: better than random)",
    "beats_random": "share of random rankings with a smaller deletion area (ties count half)",
}
_PAIRS = (("pgi", 1), ("pgu", -1), ("deletion_auc", 1), ("insertion_auc", -1))
_ROWS_PER_CALL = 50_000
# A gap between equal areas that is only rounding is a tie.
_TIE = 1e-9
# The model must be the explained one: predictions may differ by single-precision rounding.
_SAME = 1e-5


@dataclass(frozen=True, eq=False, repr=False)
class Faithfulness:
    """Faithfulness of n explained rows.

    Attributes:
        rows: one line per row, index of the cases; see :meth:`frame`.
        k: features that count as important.
        n_background: background rows each set of features was replaced by.
        n_random: random rankings per row.
        random_state: the seed.
    """

    rows: pd.DataFrame
    k: int
    n_background: int
    n_random: int
    random_state: int

    @property
    def meanings(self) -> dict[str, str]:
        """What each measure says."""
        return {name: words.format(k=self.k) for name, words in FAITHFULNESS_MEASURES.items()}

    def frame(self) -> pd.DataFrame:
        """Per row: the four measures, each beside random rankings, and their differences."""
        return self.rows.copy()

    def summary(self, confidence: float = 0.95) -> pd.DataFrame:
        """Overall: measure, value, low, high, n, interval, meaning; bootstrap over rows."""
        return summarise(
            self.rows, self.meanings, confidence=confidence, random_state=self.random_state
        )

    def by_group(
        self, sensitive_features: Any, *, confidence: float = 0.95, min_group: int = MIN_GROUP
    ) -> GroupMeasures:
        """The same by group of the explained rows, in their order.

        Raises:
            InputError: groups that do not fit the rows.
        """
        return measures_by_group(
            self.rows,
            self.meanings,
            sensitive_features,
            confidence=confidence,
            min_group=min_group,
            random_state=self.random_state,
        )

    def chart(self) -> Chart:
        """By how much the ranking does better than random ones, on all four measures."""
        table = self.summary().set_index("measure")
        gains = ("pgi_gain", "pgu_gain", "deletion_gain", "insertion_gain")
        table = table.loc[list(gains)]
        better = int((table["low"] > 0).sum())
        message = (
            f"The ranking of features does better than chance on {better} of 4 measures "
            f"({len(self.rows):,} cases)"
        )
        said = ", ".join(f"{name} {number(float(table['value'][name]))}" for name in gains)
        return Chart(
            kind="intervals",
            message=message,
            alt=f"{message}. {said}.",
            value_label="better than random rankings by",
            thresholds=((0.0, "as random"),),
            series=(
                Series(
                    name="difference",
                    x=gains,
                    y=chart_values(table["value"]),
                    low=chart_values(table["low"]),
                    high=chart_values(table["high"]),
                    notes=tuple(f"n = {n}" for n in table["n"]),
                ),
            ),
        )

    def plot(self) -> Any:
        """The chart as a plotly figure."""
        return to_plotly(self.chart())

    def __repr__(self) -> str:
        share = self.rows["beats_random"].mean()
        return (
            f"<Faithfulness: {len(self.rows)} rows, the ranking beats {share:.0%} of "
            f"random ones, k = {self.k}>"
        )

    def _repr_html_(self) -> str:
        table = self.summary().drop(columns="interval")
        return str(table.to_html(index=False, border=0, float_format="{:.3g}".format))


def faithfulness(
    explanation: Explanation,
    model: Callable[[pd.DataFrame], FloatArray],
    background: pd.DataFrame,
    *,
    k: int = 5,
    n_background: int = 25,
    n_random: int = 10,
    n_steps: int = 10,
    random_state: int = 0,
    progress: bool = False,
) -> Faithfulness:
    """Measure whether an explanation's ranking names the features that move the prediction.

    A row asks the model about at most (2·n_steps + 2)·(n_random + 1)·n_background
    rows; sets of features that come up twice are asked about once.

    Args:
        explanation: of one output; its features are ranked by \\|attribution\\|.
        model: the explained output, one number per raw row: a
            :class:`~hitl_audit.explanations.model_output.ModelOutput` or a function.
        background: raw rows whose values replace those of the case.
        k: features that count as important, at most p − 1 of p features.
        n_background: rows taken from the background, all of them if it has fewer.
        n_random: random rankings per row.
        n_steps: steps of the deletion and insertion curves, at most p.
        random_state: seed; a row's numbers do not depend on the rows beside it.
        progress: show a progress bar.

    Raises:
        InputError: an argument out of range, an explanation of several
            outputs, or a model that does not give the explained predictions.
        ExplanationError: the model's output is not finite.
    """
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    for name, number_, least in (
        ("k", k, 1),
        ("n_background", n_background, 1),
        ("n_random", n_random, 1),
        ("n_steps", n_steps, 1),
        ("random_state", random_state, 0),
    ):
        if not isinstance(number_, int | np.integer) or number_ < least:
            raise InputError(f"{name} is {number_!r}; expected an integer of at least {least}")
    if not isinstance(explanation, Explanation):
        raise InputError(f"explanation is a {type(explanation).__name__}; expected an Explanation")
    if not callable(model):
        raise InputError(
            f"model is a {type(model).__name__}; expected a function from raw rows to the "
            f"explained output, {explanation.output_words}"
        )
    if explanation.values.ndim != 2:
        raise InputError(
            f"the explanation has values of shape {explanation.values.shape}; expected one output"
        )
    data, behind = align(explanation.data, as_frame(background, name="background"))
    n, p = explanation.values.shape
    _same_model(explanation, _ask(model, data))
    behind = sample_rows(behind, n_background, random_state=random_state)
    k = max(1, min(k, p - 1))
    steps = np.unique(np.rint(np.linspace(0, p, min(n_steps, p) + 1)).astype(np.intp))
    sizes = np.unique(np.append(steps, k))
    rankings = [
        np.vstack([np.argsort(-np.abs(values), kind="stable"), *_random_orders(rng, p, n_random)])
        for values, rng in zip(
            explanation.values, row_generators(data, random_state=random_state), strict=True
        )
    ]
    gaps = _Gaps(model, data, behind, explanation.predictions)
    lines = []
    with tqdm(total=n, desc="faithfulness", disable=not progress) as bar:
        for i, orders in enumerate(rankings):
            lines.append(_measure(gaps, i, orders, sizes, steps, k))
            bar.update()
    rows = pd.DataFrame(lines, index=explanation.index)
    if p == 1:
        # With one feature there are no others to replace.
        rows[["pgu", "pgu_random"]] = np.nan
    for name, sign in _PAIRS:
        gain = name.replace("_auc", "") + "_gain"
        rows[gain] = sign * (rows[name] - rows[f"{name}_random"])
    rows = rows[list(FAITHFULNESS_MEASURES)]
    return Faithfulness(rows, k, len(behind), n_random, random_state)


def _random_orders(rng: np.random.Generator, p: int, count: int) -> npt.NDArray[np.intp]:
    return np.array([rng.permutation(p) for _ in range(count)], dtype=np.intp)


class _Gaps:
    """Mean \\|f(x) − f(x′)\\| of a case, for sets of features that keep their values."""

    def __init__(
        self,
        model: Callable[[pd.DataFrame], FloatArray],
        data: pd.DataFrame,
        background: pd.DataFrame,
        predictions: FloatArray,
    ) -> None:
        self._model, self._predictions = model, predictions
        self._n, self._b = len(data), len(background)
        self._columns = {
            name: pd.concat([data[name], background[name]], ignore_index=True).array
            for name in data.columns
        }

    def __call__(self, row: int, kept: BoolArray) -> FloatArray:
        """One gap per set: kept has shape (sets, p)."""
        gaps = np.empty(len(kept))
        block = max(1, _ROWS_PER_CALL // self._b)
        behind = self._n + np.arange(self._b)
        for start in range(0, len(kept), block):
            part = kept[start : start + block]
            frame = pd.DataFrame(
                {
                    name: pd.Series(
                        values.take(np.where(part[:, [j]], row, behind[np.newaxis]).ravel()),
                        dtype=values.dtype,
                    )
                    for j, (name, values) in enumerate(self._columns.items())
                }
            )
            moved = np.abs(_ask(self._model, frame) - self._predictions[row])
            gaps[start : start + block] = moved.reshape(len(part), self._b).mean(axis=1)
        return gaps


def _measure(
    gaps: _Gaps,
    row: int,
    orders: npt.NDArray[np.intp],
    sizes: npt.NDArray[np.intp],
    steps: npt.NDArray[np.intp],
    k: int,
) -> dict[str, float]:
    from scipy.integrate import trapezoid

    count, p = orders.shape
    place = np.argsort(orders, axis=1)
    top = place[:, np.newaxis, :] < sizes[np.newaxis, :, np.newaxis]
    sets, which = np.unique(np.concatenate([~top, top]).reshape(-1, p), axis=0, return_inverse=True)
    found = gaps(row, sets)[which.ravel()].reshape(2, count, len(sizes))
    deleted, inserted = found
    curve = np.isin(sizes, steps)
    at_k = int(np.flatnonzero(sizes == k)[0])
    share = sizes[curve] / p
    values = {
        "pgi": deleted[:, at_k],
        "pgu": inserted[:, at_k],
        "deletion_auc": trapezoid(deleted[:, curve], share, axis=1),
        "insertion_auc": trapezoid(inserted[:, curve], share, axis=1),
    }
    line: dict[str, float] = {}
    for name, areas in values.items():
        line[name], line[f"{name}_random"] = float(areas[0]), float(areas[1:].mean())
    own, others = values["deletion_auc"][0], values["deletion_auc"][1:]
    tie = np.abs(own - others) <= _TIE * max(float(np.abs(others).max()), own)
    line["beats_random"] = float(np.where(tie, 0.5, own > others).mean())
    return line


def _ask(model: Callable[[pd.DataFrame], FloatArray], frame: pd.DataFrame) -> FloatArray:
    try:
        answers = np.asarray(model(frame), dtype=np.float64)
    except AuditError:
        raise
    except Exception as error:
        raise ExplanationError(
            f"the model failed on {len(frame)} rows: {type(error).__name__}: {error}"
        ) from error
    if answers.shape != (len(frame),):
        raise InputError(
            f"model returned an array of shape {answers.shape} for {len(frame)} rows; expected one "
            "number per row, the explained output"
        )
    if not np.isfinite(answers).all():
        raise ExplanationError(
            f"the model's output is not finite for {int((~np.isfinite(answers)).sum())} of "
            f"{len(frame)} rows with replaced features"
        )
    return answers


def _same_model(explanation: Explanation, answers: FloatArray) -> None:
    off = np.abs(answers - explanation.predictions)
    if (off > _SAME * (1 + np.abs(explanation.predictions))).any():
        raise InputError(
            f"model differs from the explained predictions by up to {off.max():.3g}; expected the "
            f"explained output, {explanation.output_words}"
        )
