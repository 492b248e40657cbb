"""Does an explanation stay the same when nothing that matters changes?

Over seeds (LIME): VSI and CSI (:mod:`~hitl_audit.explanations.trust.lime_stability`).
Over backgrounds: how far the values move when other rows of the same number
stand for "feature unknown". Under noise: the largest change of the values when
the case's numbers change a little (max sensitivity, Yeh et al. 2019, arXiv
1901.09392).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import Chart, Series, number, to_plotly
from hitl_audit.errors import InputError
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.explanations.lime.lime_runs import LimeWeights
from hitl_audit.explanations.raw_features import align, as_frame, is_number, sample_rows
from hitl_audit.explanations.trust.lime_stability import (
    coefficient_stability,
    named_features,
    variable_stability,
)
from hitl_audit.explanations.trust.row_measures import (
    MIN_GROUP,
    GroupMeasures,
    chart_values,
    measures_by_group,
    summarise,
)
from hitl_audit.explanations.trust.row_seeds import row_generators

__all__ = [
    "STABILITY_MEASURES",
    "Explain",
    "Stability",
    "stability",
]

FloatArray = npt.NDArray[np.float64]
Explain = Callable[[pd.DataFrame, pd.DataFrame], "Explanation | FloatArray"]

STABILITY_MEASURES = {
    "vsi": "LIME over seeds: share of the {k} strongest features that two runs have in common",
    "csi": "LIME over seeds: share of pairs of runs whose intervals of a weight overlap",
    "background_instability": "over backgrounds: mean sd of the values / mean absolute value",
    "background_agreement": "over backgrounds: share of the {k} strongest features in common",
    "background_sign_agreement": "over backgrounds: share of the {k} strongest features whose "
    "sign never changes",
    "max_sensitivity": "under noise: largest change of the values, Euclidean norm",
    "relative_sensitivity": "under noise: largest change of the values / their own norm",
}
# explain must give the explanation itself; single-precision models round differently in batches.
_SAME = 1e-5


@dataclass(frozen=True, eq=False, repr=False)
class Stability:
    """Stability of n explained rows with p features.

    Attributes:
        rows: one line per row, index of the cases; see :meth:`frame`.
        k: features that count as strongest, at most p.
        background_spread: sd of each value over backgrounds, cases × features, if measured.
        random_state: the seed.
        notes: what was varied, in words.
    """

    rows: pd.DataFrame
    k: int
    background_spread: pd.DataFrame | None
    random_state: int
    notes: tuple[str, ...]

    @property
    def meanings(self) -> dict[str, str]:
        """What each measure says."""
        return {name: words.format(k=self.k) for name, words in STABILITY_MEASURES.items()}

    def frame(self) -> pd.DataFrame:
        """Per row: the measures that were asked for."""
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
        """The measures that were taken, with their intervals over rows."""
        table = self.summary()
        # In units of the output, so not on one axis with shares; its relative twin is there.
        table = table[table["measure"] != "max_sensitivity"]
        said = ", ".join(
            f"{name} {number(float(value))}"
            for name, value in zip(table["measure"], table["value"], strict=True)
        )
        message = f"How stable the explanations of {len(self.rows):,} cases are"
        return Chart(
            kind="intervals",
            message=message,
            alt=f"{message}. {said}.",
            value_label="mean over cases",
            series=(
                Series(
                    name="stability",
                    x=tuple(table["measure"]),
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
        return f"<Stability: {len(self.rows)} rows, {', '.join(self.rows.columns)}>"

    def _repr_html_(self) -> str:
        table = self.summary().drop(columns="interval")
        return str(table.to_html(index=False, border=0, float_format="{:.3g}".format))


def stability(
    explanation: Explanation,
    explain: Explain | None = None,
    *,
    lime: LimeWeights | None = None,
    background: pd.DataFrame | None = None,
    pool: pd.DataFrame | None = None,
    k: int = 5,
    n_backgrounds: int = 5,
    n_noise: int = 10,
    radius: float = 0.1,
    random_state: int = 0,
    progress: bool = False,
) -> Stability:
    """Measure how stable the explanation of each row is; what is given decides over what.

    Args:
        explanation: of one output.
        explain: how it was made: from raw rows and background rows to the
            attributions, (rows, p) numbers or an ``Explanation``.
        lime: LIME weights of the same rows, with standard errors: over seeds.
        background: the rows that stood for "feature unknown": under noise.
            Each number of a case moves by up to ± ``radius`` of its sd in the
            background, at random, but not out of the background's range; whole
            numbers stay whole; gaps, categories and numbers with at most two
            different values stay as they are.
        pool: rows to draw other backgrounds from: over backgrounds.
        k: features that count as strongest, at most p.
        n_backgrounds: backgrounds drawn, each of the explanation's own size.
        n_noise: draws of noise; the largest change grows with them.
        radius: of the noise, in standard deviations.
        random_state: seed.
        progress: show a progress bar.

    Raises:
        InputError: nothing to measure, an argument out of range, or ``explain``
            does not give the explanation's own values.
    """
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    background = None if background is None else as_frame(background, name="background")
    pool = None if pool is None else as_frame(pool, name="pool")
    _check(explanation, explain, lime, background, pool, k, n_backgrounds, n_noise, radius)
    k = min(k, explanation.values.shape[1])
    columns: dict[str, FloatArray] = {}
    notes: list[str] = []
    spread = None
    if lime is not None:
        columns["vsi"] = variable_stability(lime.coefficients, k)
        columns["csi"] = coefficient_stability(lime, k)
        notes.append(f"{len(lime.coefficients)} seeds of LIME")
    calls = (n_backgrounds if pool is not None else 0) + (
        n_noise + 1 if background is not None else 0
    )
    with tqdm(total=calls, desc="stability", disable=not progress or not calls) as bar:

        def values_of(rows: pd.DataFrame, behind: pd.DataFrame) -> FloatArray:
            assert explain is not None  # noqa: S101 - _check has seen to it
            found = explain(rows, behind)
            values = np.asarray(found.values if isinstance(found, Explanation) else found)
            if values.shape != explanation.values.shape:
                raise InputError(
                    f"explain returned values of shape {values.shape}; "
                    f"expected {explanation.values.shape}, as in the explanation"
                )
            bar.update()
            return values.astype(np.float64)

        if pool is not None:
            size = explanation.background_size
            runs = np.array(
                [
                    values_of(
                        explanation.data, sample_rows(pool, size, random_state=random_state + i)
                    )
                    for i in range(1, n_backgrounds + 1)
                ]
            )
            sd = runs.std(axis=0, ddof=1)
            spread = pd.DataFrame(
                sd, index=explanation.index, columns=list(explanation.feature_names)
            )
            columns |= _over_backgrounds(runs, sd, k)
            notes.append(f"{n_backgrounds} backgrounds of {size} rows, drawn from {len(pool)}")
        if background is not None:
            columns |= _under_noise(
                explanation, background, values_of, n_noise, radius, random_state
            )
            notes.append(f"{n_noise} draws of noise within ± {radius:g} sd of each number")
    rows = pd.DataFrame(columns, index=explanation.index)
    return Stability(rows, k, spread, random_state, tuple(notes))


def _over_backgrounds(runs: FloatArray, spread: FloatArray, k: int) -> dict[str, FloatArray]:
    mean = runs.mean(axis=0)
    size = np.abs(runs).mean(axis=(0, 2))
    strongest = named_features(mean[np.newaxis], k)[0]
    signs = np.sign(runs)
    steady = strongest & (signs == signs[0]).all(axis=0)
    return {
        "background_instability": _ratio(spread.mean(axis=1), size),
        "background_agreement": variable_stability(runs, k),
        "background_sign_agreement": _ratio(
            steady.sum(axis=1).astype(np.float64), strongest.sum(axis=1).astype(np.float64)
        ),
    }


def _under_noise(
    explanation: Explanation,
    background: pd.DataFrame,
    values_of: Callable[[pd.DataFrame, pd.DataFrame], FloatArray],
    n_noise: int,
    radius: float,
    random_state: int,
) -> dict[str, FloatArray]:
    data, behind = align(explanation.data, background)
    own = values_of(data, behind)
    off = float(np.abs(own - explanation.values).max())
    if off > _SAME * (1 + float(np.abs(explanation.values).max())):
        raise InputError(
            f"explain differs from the explanation by up to {off:.3g} with this background; "
            "expected the function and the background it was made with"
        )
    numbers = [c for c in data.columns if is_number(data[c]) and behind[c].nunique() > 2]
    sd = np.array([behind[c].astype(np.float64).std(ddof=0) for c in numbers], dtype=np.float64)
    sd = np.nan_to_num(sd)
    noise = np.array(
        [
            rng.uniform(-radius, radius, (n_noise, len(numbers))) * sd
            for rng in row_generators(data, random_state=random_state)
        ]
    )
    worst = np.zeros(len(data))
    for d in range(n_noise):
        moved = data.copy()
        for j, name in enumerate(numbers):
            moved[name] = _moved(data[name], noise[:, d, j], behind[name])
        change = np.linalg.norm(values_of(moved, behind) - own, axis=1)
        worst = np.maximum(worst, change)
    return {
        "max_sensitivity": worst,
        "relative_sensitivity": _ratio(worst, np.linalg.norm(own, axis=1)),
    }


def _moved(column: pd.Series, noise: FloatArray, behind: pd.Series) -> pd.Series:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    changed = values + noise
    if pd.api.types.is_integer_dtype(column.dtype):
        changed = np.rint(changed)
    low, high = float(behind.min()), float(behind.max())
    changed = np.clip(changed, np.minimum(low, values), np.maximum(high, values))
    return pd.Series(changed, index=column.index).astype(column.dtype)


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    out = np.full(len(below), np.nan)
    np.divide(above, below, out=out, where=below > 0)
    return out


def _check(
    explanation: Explanation,
    explain: Explain | None,
    lime: LimeWeights | None,
    background: pd.DataFrame | None,
    pool: pd.DataFrame | None,
    k: int,
    n_backgrounds: int,
    n_noise: int,
    radius: float,
) -> None:
    for name, value, least in (
        ("k", k, 1),
        ("n_backgrounds", n_backgrounds, 2),
        ("n_noise", n_noise, 1),
    ):
        if not isinstance(value, int | np.integer) or value < least:
            raise InputError(f"{name} is {value!r}; expected an integer of at least {least}")
    if not (np.isfinite(radius) and radius > 0):
        raise InputError(f"radius is {radius}; expected a number above 0")
    if not isinstance(explanation, Explanation):
        raise InputError(f"explanation is a {type(explanation).__name__}; expected an Explanation")
    if explain is not None and not callable(explain):
        raise InputError(
            f"explain is a {type(explain).__name__}; expected a function of rows and background "
            "that explains"
        )
    if explanation.values.ndim != 2:
        raise InputError(
            f"the explanation has values of shape {explanation.values.shape}; expected one output"
        )
    if lime is None and background is None and pool is None:
        raise InputError(
            "nothing to measure: lime, background and pool are None; expected at least one"
        )
    if explain is None and (background is not None or pool is not None):
        raise InputError("explain is None; background and pool need the function that explains")
    if lime is not None and lime.coefficients.shape[1:] != explanation.values.shape:
        raise InputError(
            f"lime has weights of shape {lime.coefficients.shape[1:]}; "
            f"expected {explanation.values.shape}, as in the explanation"
        )
    if pool is not None and len(pool) <= explanation.background_size:
        raise InputError(
            f"pool has {len(pool)} rows; expected more than the background's "
            f"{explanation.background_size}, or every draw is the same"
        )
