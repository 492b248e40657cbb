"""Score bands: do predictions come true in each, and has the population moved? Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import InputError
from hitl_audit.intervals import Count, wilson

__all__ = ["Band", "StabilityIndex", "calibration_bands", "population_stability"]

Floats = npt.NDArray[np.float64]
BANDS = 10
# A band that nobody is in has no logarithm: half a case is put there.
HALF = 0.5


@dataclass(frozen=True)
class Band:
    """Cases of similar score.

    Attributes:
        above, up_to: the scores of the band.
        n: cases in it.
        count: favorable outcomes among them.
        predicted: mean score.
        observed, low, high: share of favorable outcomes, with its Wilson interval.
        outside: the prediction lies outside the interval.
    """

    above: float
    up_to: float
    n: int
    count: int
    predicted: float
    observed: float
    low: float
    high: float
    outside: bool


@dataclass(frozen=True)
class StabilityIndex:
    """Population stability index of the scores.

    Attributes:
        value: the index; 0 if nothing moved.
        low, high: percentile interval, bootstrap over the rows of both.
        n_then, n_now: rows at training, and audited.
        shares: (above, up to, share then, share now) per band.
        expected_by_chance: mean of the index if nothing moved:
            (bands − 1)(1/n then + 1/n now) (Yurdakul 2018, chapter 3).
        confidence: of the interval.
        method: name of the interval.
    """

    value: float
    low: float
    high: float
    n_then: int
    n_now: int
    shares: tuple[tuple[float, float, float, float], ...]
    expected_by_chance: float
    confidence: float
    method: str


def calibration_bands(
    y_true: npt.ArrayLike, y_score: npt.ArrayLike, *, confidence: float, bands: int = BANDS
) -> tuple[Band, ...]:
    """Bands of equal numbers of cases in order of score; equal scores stay together.

    Raises:
        InputError: no rows, or two lengths.
    """
    truth, score = np.asarray(y_true, dtype=np.int64), np.asarray(y_score, dtype=np.float64)
    if not len(score) or truth.shape != score.shape:
        raise InputError(
            f"got {truth.shape} outcomes and {score.shape} scores; expected as many, at least one"
        )
    edges = np.unique(np.quantile(score, np.linspace(0, 1, bands + 1)[1:-1]))
    place = np.searchsorted(edges, score, side="left")
    bounds = [0.0, *map(float, edges), 1.0]
    made = []
    for i in range(len(edges) + 1):
        inside = place == i
        n = int(inside.sum())
        if n:
            count = Count(int(truth[inside].sum()), n)
            predicted = float(score[inside].mean())
            low, high = wilson(count, confidence=confidence) or (0.0, 1.0)
            made.append(
                Band(
                    above=bounds[i],
                    up_to=bounds[i + 1],
                    n=n,
                    count=count.successes,
                    predicted=predicted,
                    observed=count.successes / n,
                    low=low,
                    high=high,
                    outside=not low <= predicted <= high,
                )
            )
    return tuple(made)


def _index(then: Floats, now: Floats) -> Floats:
    """The index of counts per band (last axis); empty bands count half a case."""
    p = np.maximum(then, HALF) / then.sum(axis=-1, keepdims=True)
    q = np.maximum(now, HALF) / now.sum(axis=-1, keepdims=True)
    return np.asarray(((q - p) * np.log(q / p)).sum(axis=-1), dtype=np.float64)


def population_stability(
    then: npt.ArrayLike,
    now: npt.ArrayLike,
    *,
    confidence: float,
    random_state: int,
    bands: int = BANDS,
    n_boot: int = 2000,
) -> StabilityIndex:
    """How far the scores of now are from those of then (Siddiqi 2006).

    Args:
        then: (rows,) scores of the training rows; their quantiles cut the bands.
        now: (rows,) scores of the audited rows.
        confidence: of the interval.
        random_state: seed of the bootstrap.
        bands: how many.
        n_boot: resamples.

    Raises:
        InputError: one of them is empty.
    """
    old, new = np.asarray(then, dtype=np.float64), np.asarray(now, dtype=np.float64)
    if not len(old) or not len(new):
        raise InputError(f"got {len(old)} and {len(new)} scores; expected at least one of each")
    edges = np.unique(np.quantile(old, np.linspace(0, 1, bands + 1)[1:-1]))
    count = len(edges) + 1
    counts = [
        np.bincount(np.searchsorted(edges, s, side="left"), minlength=count).astype(np.float64)
        for s in (old, new)
    ]
    rng = np.random.default_rng(random_state)
    drawn = [rng.multinomial(int(c.sum()), c / c.sum(), size=n_boot) for c in counts]
    tail = (1 - confidence) / 2
    low, high = np.quantile(_index(*(d.astype(np.float64) for d in drawn)), [tail, 1 - tail])
    bounds = [0.0, *map(float, edges), 1.0]
    return StabilityIndex(
        value=float(_index(counts[0], counts[1])),
        low=float(low),
        high=float(high),
        n_then=len(old),
        n_now=len(new),
        shares=tuple(
            (
                bounds[i],
                bounds[i + 1],
                float(counts[0][i] / len(old)),
                float(counts[1][i] / len(new)),
            )
            for i in range(count)
        ),
        expected_by_chance=(count - 1) * (1 / len(old) + 1 / len(new)),
        confidence=confidence,
        method="multinomial bootstrap, percentile",
    )
