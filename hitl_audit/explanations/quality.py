"""How far explanations can be trusted: additivity, agreement of two methods, stability over seeds.

Agreement of the k strongest features of SHAP and LIME (by size) is defined as
in Krishna et al., "The Disagreement Problem in Explainable Machine Learning"
(arXiv 2202.01602). A feature to which either method gives exactly 0 has no
sign and agrees with none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError
from hitl_audit.explanations.explanation import BOOTSTRAP, Explanation, bootstrap_means
from hitl_audit.explanations.shap_values import TOLERANCE

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
}


@dataclass(frozen=True, eq=False, repr=False)
class ExplanationQuality:
    """Quality of n explained rows.

    Attributes:
        rows: one line per row, index of the cases; see :meth:`frame`.
        k: features compared, at most p.
        tolerance: accepted \\|residual\\|.
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
        from scipy.stats import binomtest

        size = self.rows["residual"].abs().to_numpy()
        lines: list[tuple[str, float, float, float, int, str, str]] = [
            ("max_abs_residual", float(size.max()), np.nan, np.nan, len(size), "", LARGEST),
            ("median_abs_residual", float(np.median(size)), np.nan, np.nan, len(size), "", MEDIAN),
        ]
        for name, meaning in (
            ("additive", f"share of rows with |residual| ≤ {self.tolerance:g}"),
            ("reliable", "share of rows whose explanation counts as reliable"),
        ):
            count = int(self.rows[name].sum())
            bounds = binomtest(count, len(size)).proportion_ci(confidence, method="wilson")
            rate = count / len(size)
            lines.append((name, rate, bounds.low, bounds.high, len(size), "Wilson", meaning))
        for name, described in MEASURES.items():
            if name not in self.rows:
                continue
            meaning = described.format(k=self.k)
            values = self.rows[name].dropna().to_numpy(dtype=np.float64)
            if not len(values):
                lines.append((name, np.nan, np.nan, np.nan, 0, "", meaning))
                continue
            low, high = bootstrap_means(
                values[:, np.newaxis], confidence=confidence, random_state=self.random_state
            )
            mean, n = float(values.mean()), len(values)
            lines.append((name, mean, float(low[0]), float(high[0]), n, BOOTSTRAP, meaning))
        columns = ["measure", "value", "low", "high", "n", "interval", "meaning"]
        return pd.DataFrame(lines, columns=columns)

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
) -> ExplanationQuality:
    """Measure how far each row's explanation can be trusted.

    A row is ``reliable`` if its SHAP values add up to the prediction and, when
    there is a LIME explanation of the same rows, the two methods agree on the
    sign of at least that share of the k strongest features.

    Raises:
        InputError: the two do not explain the same rows, features, output or
            scale; k or a bar is out of range.
    """
    if shap_explanation.method != "shap":
        raise InputError(f'shap_explanation is a "{shap_explanation.method}" explanation')
    if k < 1:
        raise InputError(f"k is {k}; expected at least 1")
    if not 0 <= sign_agreement_at_least <= 1:
        raise InputError(
            f"sign_agreement_at_least is {sign_agreement_at_least}; expected a share from 0 to 1"
        )
    k = min(k, len(shap_explanation.feature_names))
    residual = shap_explanation.residual
    rows = pd.DataFrame(
        {"residual": residual, "additive": np.abs(residual) <= tolerance},
        index=shap_explanation.index,
    )
    if lime_explanation is not None:
        _same_subject(shap_explanation, lime_explanation)
        _compare(rows, shap_explanation, lime_explanation, k)
    shares = rows["sign_agreement"].tolist() if "sign_agreement" in rows else [None] * len(rows)
    reasons = [
        _reason(left, share, k, sign_agreement_at_least, tolerance)
        for left, share in zip(residual.tolist(), shares, strict=True)
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
    residual: float, share: float | None, k: int, bar: float, tolerance: float
) -> tuple[bool, str]:
    if abs(residual) > tolerance:
        return False, (
            f"the SHAP values miss the prediction by {abs(residual):.2g} (accepted: {tolerance:g})"
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
