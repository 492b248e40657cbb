"""How far explanations can be trusted, per row, overall and by group.

Measured here: additivity, the agreement of two methods, LIME's spread over
seeds. What needs the model itself (``faithfulness``, ``stability``)
can be folded in.

Agreement of the k strongest features of SHAP and LIME (by size) is defined as
in Krishna et al., "The Disagreement Problem in Explainable Machine Learning"
(arXiv 2202.01602). A feature to which either method gives exactly 0 has no
sign and agrees with none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.explanations.agreement import TOLERANCE
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.explanations.trust.faithfulness import FAITHFULNESS_MEASURES, Faithfulness
from hitl_audit.explanations.trust.reliability import further_bars, join_reasons, reasons_per_row
from hitl_audit.explanations.trust.row_measures import (
    MIN_GROUP,
    SUMMARY_COLUMNS,
    GroupMeasures,
    measures_by_group,
    summarise,
)
from hitl_audit.explanations.trust.stability import STABILITY_MEASURES, Stability

__all__ = ["ExplanationQuality", "quality"]

FloatArray = npt.NDArray[np.float64]

LARGEST = "largest deviation of base + attributions from the model's output"
MEDIAN = "median deviation of base + attributions from the model's output"
MEASURES = {
    "feature_agreement": "share of the top {k} features that both methods name",
    "rank_agreement": "share of the top {k} places with the same feature",
    "sign_agreement": "share of the top {k} features that both name, with the same sign",
    "signed_rank_agreement": "share of the top {k} places with the same feature and sign",
    "spearman": "rank correlation of the sizes of all features",
    "instability": "LIME: mean seed-to-seed sd / mean absolute coefficient",
    "score": "LIME: weighted R² of the local surrogate",
    **FAITHFULNESS_MEASURES,
    **STABILITY_MEASURES,
}


@dataclass(frozen=True, eq=False, repr=False)
class ExplanationQuality:
    """Quality of n explained rows.

    Attributes:
        rows: one line per row, index of the cases; see :meth:`frame`.
        k: features compared, at most p.
        tolerance: accepted \\|residual\\|, or more where the model's own
            rounding (``shap_explanation.resolution``) allows more.
        sign_agreement_at_least: the bar for ``reliable``.
        random_state: seed of the bootstrap.
    """

    rows: pd.DataFrame
    k: int
    tolerance: float
    sign_agreement_at_least: float
    random_state: int

    def frame(self) -> pd.DataFrame:
        """Per row: residual, additive, the measures (with LIME), reliable, reason."""
        return self.rows.copy()

    def summary(self, confidence: float = 0.95) -> pd.DataFrame:
        """Overall: measure, value, low, high, n, interval (the name of its method), meaning.

        Means have a percentile bootstrap over rows, shares a Wilson interval;
        the maximum and the median residual describe these rows and have none.
        """
        size = self.rows["residual"].abs().to_numpy()
        residuals = pd.DataFrame(
            [
                ("max_abs_residual", float(size.max()), np.nan, np.nan, len(size), "", LARGEST),
                (
                    "median_abs_residual",
                    float(np.median(size)),
                    np.nan,
                    np.nan,
                    len(size),
                    "",
                    MEDIAN,
                ),
            ],
            columns=SUMMARY_COLUMNS,
        )
        measured = summarise(
            self.rows, self.meanings, confidence=confidence, random_state=self.random_state
        )
        return pd.concat([residuals, measured], ignore_index=True)

    @property
    def meanings(self) -> dict[str, str]:
        """What each measure says."""
        return {
            "additive": f"share of rows with |residual| ≤ {self.tolerance:g}, or what the model's "
            "own rounding allows",
            "reliable": "share of rows whose explanation counts as reliable",
            **{name: words.format(k=self.k) for name, words in MEASURES.items()},
        }

    def by_group(
        self,
        sensitive_features: Any,
        *,
        measures: Sequence[str] | None = None,
        confidence: float = 0.95,
        min_group: int = MIN_GROUP,
    ) -> GroupMeasures:
        """The same by group of the explained rows, in their order.

        Args:
            sensitive_features: per explained row.
            measures: which of :attr:`meanings`; default all.
            confidence: of every interval.
            min_group: groups with fewer measured rows decide nothing.

        Raises:
            InputError: groups that do not fit the rows, or an unknown measure.
        """
        meanings = self.meanings
        unknown = [name for name in measures or () if name not in meanings]
        if unknown:
            raise InputError(
                f'measures has "{unknown[0]}"; accepted: {", ".join(meanings)}'
                f"{did_you_mean(unknown[0], meanings)}"
            )
        return measures_by_group(
            self.rows,
            {n: words for n, words in meanings.items() if measures is None or n in measures},
            sensitive_features,
            confidence=confidence,
            min_group=min_group,
            random_state=self.random_state,
        )

    def __repr__(self) -> str:
        count = int(self.rows["reliable"].sum())
        return f"<ExplanationQuality: {count} of {len(self.rows)} rows reliable, k = {self.k}>"

    def _repr_html_(self) -> str:
        table = self.summary().drop(columns="interval")
        return str(table.to_html(index=False, border=0, float_format="{:.3g}".format))


def quality(
    shap_explanation: Explanation,
    lime_explanation: Explanation | None = None,
    *,
    k: int = 5,
    sign_agreement_at_least: float = 0.6,
    tolerance: float = TOLERANCE,
    faithfulness: Faithfulness | None = None,
    stability: Stability | None = None,
    score_at_least: float | None = None,
    instability_at_most: float | None = None,
    background_instability_at_most: float | None = None,
    relative_sensitivity_at_most: float | None = None,
    beats_random_at_least: float | None = None,
) -> ExplanationQuality:
    """Measure how far each row's explanation can be trusted.

    A row is ``reliable`` if its SHAP values add up to the prediction; when
    there is a LIME explanation of the same rows, if the two methods agree on
    the sign of at least that share of the k strongest features; and if it
    clears every further bar that is set.

    Args:
        shap_explanation: the explanation that is judged.
        lime_explanation: a second one, of the same rows and output.
        k: features compared, at most p.
        sign_agreement_at_least: bar for the share of them with the same sign.
        tolerance: accepted \\|residual\\|, or more where the model's own
            rounding (``shap_explanation.resolution``) allows more.
        faithfulness: of ``shap_explanation``; its measures join the others.
        stability: the same.
        score_at_least: bar for LIME's R².
        instability_at_most: bar for LIME's spread over seeds / its weights.
        background_instability_at_most: bar for the sd over backgrounds / the values.
        relative_sensitivity_at_most: bar for the change under noise / the values.
        beats_random_at_least: bar for the share of random rankings that do worse.

    Raises:
        InputError: the two do not explain the same rows, features, output or
            scale; other rows were measured; k or a bar is out of range, or its
            measure is not there.
    """
    given = {"shap_explanation": shap_explanation}
    if lime_explanation is not None:
        given["lime_explanation"] = lime_explanation
    for name, what in given.items():
        if not isinstance(what, Explanation):
            raise InputError(f"{name} is a {type(what).__name__}; expected an Explanation")
    if shap_explanation.method != "shap":
        raise InputError(f'shap_explanation is a "{shap_explanation.method}" explanation')
    if shap_explanation.values.ndim != 2:
        raise InputError(
            f"shap_explanation has values of shape {shap_explanation.values.shape}; expected those "
            "of one output"
        )
    if k < 1:
        raise InputError(f"k is {k}; expected at least 1")
    if not 0 <= sign_agreement_at_least <= 1:
        raise InputError(
            f"sign_agreement_at_least is {sign_agreement_at_least}; expected a share from 0 to 1"
        )
    k = min(k, len(shap_explanation.feature_names))
    residual = shap_explanation.residual
    accepted = np.full(len(residual), tolerance)
    if shap_explanation.resolution is not None:
        accepted = np.maximum(tolerance, shap_explanation.resolution)
    rows = pd.DataFrame(
        {"residual": residual, "additive": np.abs(residual) <= accepted},
        index=shap_explanation.index,
    )
    if lime_explanation is not None:
        _same_subject(shap_explanation, lime_explanation)
        _compare(rows, shap_explanation, lime_explanation, k)
    for name, measured in (("faithfulness", faithfulness), ("stability", stability)):
        if measured is not None:
            if not measured.rows.index.equals(rows.index):
                raise InputError(f"{name} is of other rows than the explanation; expected the same")
            rows[measured.rows.columns] = measured.rows
    bars = further_bars(
        rows,
        score=score_at_least,
        instability=instability_at_most,
        background_instability=background_instability_at_most,
        relative_sensitivity=relative_sensitivity_at_most,
        beats_random=beats_random_at_least,
    )
    shares = rows["sign_agreement"].tolist() if "sign_agreement" in rows else [None] * len(rows)
    reasons = [
        join_reasons(_reason(left, share, k, sign_agreement_at_least, most), *more)
        for left, most, share, more in zip(
            residual.tolist(), accepted.tolist(), shares, reasons_per_row(rows, bars), strict=True
        )
    ]
    rows["reliable"] = [ok for ok, _ in reasons]
    rows["reason"] = [words for _, words in reasons]
    return ExplanationQuality(
        rows=rows,
        k=k,
        tolerance=tolerance,
        sign_agreement_at_least=sign_agreement_at_least,
        random_state=shap_explanation.random_state,
    )


def _same_subject(a: Explanation, b: Explanation) -> None:
    if b.method != "lime":
        raise InputError(f'lime_explanation is a "{b.method}" explanation')
    if not a.index.equals(b.index):
        raise InputError("the SHAP and LIME explanations are of different rows; expected the same")
    for name in ("feature_names", "output", "scale"):
        if getattr(a, name) != getattr(b, name):
            raise InputError(
                f"the SHAP and LIME explanations differ in {name}: "
                f"{getattr(a, name)!r} and {getattr(b, name)!r}; expected the same"
            )


def _compare(rows: pd.DataFrame, shap: Explanation, lime: Explanation, k: int) -> None:
    from scipy.stats import rankdata

    a, b = shap.values, lime.values
    top_a, top_b = (np.argsort(-np.abs(v), axis=1, kind="stable")[:, :k] for v in (a, b))
    same_sign = (np.sign(a) == np.sign(b)) & (a != 0)
    in_a, in_b = np.zeros(a.shape, dtype=bool), np.zeros(a.shape, dtype=bool)
    np.put_along_axis(in_a, top_a, True, axis=1)
    np.put_along_axis(in_b, top_b, True, axis=1)
    same_place = top_a == top_b
    rows["feature_agreement"] = (in_a & in_b).sum(axis=1) / k
    rows["rank_agreement"] = same_place.sum(axis=1) / k
    rows["sign_agreement"] = (in_a & in_b & same_sign).sum(axis=1) / k
    rows["signed_rank_agreement"] = (same_place & np.take_along_axis(same_sign, top_a, axis=1)).sum(
        axis=1
    ) / k
    rows["spearman"] = _correlation(rankdata(np.abs(a), axis=1), rankdata(np.abs(b), axis=1))
    if lime.spread is not None and lime.score is not None:
        size = np.abs(b).mean(axis=1)
        sd = lime.spread.mean(axis=1)
        rows["instability"] = np.divide(sd, size, out=np.full(len(sd), np.nan), where=size > 0)
        rows["score"] = lime.score


def _correlation(a: FloatArray, b: FloatArray) -> FloatArray:
    """Pearson correlation row by row; NaN where a row is constant."""
    a, b = (v - v.mean(axis=1, keepdims=True) for v in (a, b))
    scale = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    out = np.full(len(a), np.nan)
    np.divide((a * b).sum(axis=1), scale, out=out, where=scale > 0)
    return out


def _reason(
    residual: float, share: float | None, k: int, bar: float, accepted: float
) -> tuple[bool, str]:
    if abs(residual) > accepted:
        return False, (
            f"the SHAP values miss the prediction by {abs(residual):.2g} (accepted: {accepted:.2g})"
        )
    if share is None:
        return True, "the SHAP values add up to the prediction; no second method was compared"
    agreed = round(share * k)
    needed = math.ceil(bar * k - 1e-9)
    words = f"two methods agree on {agreed} of the {k} strongest factors ({needed} needed)"
    # The share is a count over k: 3 of 5 clears a bar of 0.6, whatever 0.6 · 5 rounds to.
    if agreed + 1e-9 < bar * k:
        return False, words
    return True, words
