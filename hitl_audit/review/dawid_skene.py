"""Who is how reliable, and what is probably true, from ratings alone. Pure NumPy.

The model of Dawid and Skene, "Maximum likelihood estimation of observer
error-rates using the EM algorithm", Applied Statistics 28 (1979), 20-28: unit i
has one true category z with P(z = k) = p[k]; given it, ratings are independent,
and rater j gives category l with probability π[j, k, l].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import InputError

__all__ = ["SMOOTHING", "DawidSkene", "check_smoothing", "fit_dawid_skene"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SMOOTHING = 4.0
"""Answers that are made up for each rater and true category. Without any, a confusion
that did not occur yet is held to be impossible, and the posterior of few units is far
too sure of itself; ``benchmarks/consensus.py`` measures what smoothing does."""

# Two starts whose criterion differs by less than this per unit have found the same maximum.
_SAME = 1e-6


@dataclass(frozen=True, eq=False)
class DawidSkene:
    """The model, fitted.

    Attributes:
        prevalence: (q,) p, the share of each true category.
        confusion: (j, q, q) π: rater, true category, given category; rows sum to 1.
            A true category that no unit of a rater has is a row of equal shares.
        posterior: (n, q) probability of each true category of each unit.
        log_likelihood: of the ratings.
        trace: the criterion after each iteration of the start that was kept: the
            log-likelihood, with smoothing plus the logarithm of the prior. It never falls.
        iterations: of this start.
        converged: whether it changed by less than the tolerance in the end.
        starts, agreeing: number of starts, and how many of them ended at the
            same value of the criterion, as the best one.
        smoothing: s.
    """

    prevalence: FloatArray
    confusion: FloatArray
    posterior: FloatArray
    log_likelihood: float
    trace: tuple[float, ...]
    iterations: int
    converged: bool
    starts: int
    agreeing: int
    smoothing: float


def fit_dawid_skene(
    codes: IntArray,
    categories: int,
    *,
    raters: IntArray | None = None,
    smoothing: float = SMOOTHING,
    starts: int = 10,
    max_iterations: int = 2000,
    tolerance: float = 1e-10,
    random_state: int = 0,
) -> DawidSkene:
    """Fit the model by EM.

    EM finds a local maximum, so it is started several times: from the shares of
    the votes (as in the paper), and from shares in which each vote has a random
    weight. The best end is kept. The likelihood does not know what
    the categories are called; they are named so that given and true category
    agree as often as possible.

    Args:
        codes: (n, c) category of each rating, 0 to q − 1; −1 where there is none.
        categories: q.
        raters: (c,) the rater of each column, 0 to j − 1, if some rated several
            times; default: a rater per column.
        smoothing: s ≥ 0 answers that are made up for each rater and true
            category: half of them right, half spread evenly over all
            categories; and s units spread evenly over the true categories.
            That is the most probable value under Dirichlet priors with 1 + these
            numbers. 0 is maximum likelihood, as in the paper; then a confusion
            that did not occur has probability 0.
        starts: at least 1.
        max_iterations: of each start.
        tolerance: a start ends when the criterion changes by less than this per unit.
        random_state: the seed.

    Raises:
        InputError: no rating, or an option that cannot be used.
    """
    _check(codes, categories, smoothing, starts, max_iterations, tolerance)
    who = np.arange(codes.shape[1]) if raters is None else np.asarray(raters)
    rows, back, number = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    data = _Data(rows, number.astype(np.float64), who, int(who.max()) + 1, categories, smoothing)
    rng = np.random.default_rng(random_state)
    ends = [data.climb(data.start(None), max_iterations, tolerance)]
    for _ in range(starts - 1):
        ends.append(data.climb(data.start(rng), max_iterations, tolerance))
    # The first of those that are as good as the best: with ties, the paper's start.
    best_value = max(end[0][-1] for end in ends)
    good = [end for end in ends if best_value - end[0][-1] <= _SAME * len(codes)]
    trace, posterior, converged = good[0]

    p, pi = data.maximise(posterior)
    posterior, likelihood = data.expect(p, pi)
    named = _named(data, posterior)
    return DawidSkene(
        prevalence=p[named],
        confusion=pi[:, named],
        posterior=posterior[back.reshape(-1)][:, named],
        log_likelihood=likelihood,
        trace=tuple(trace),
        iterations=len(trace),
        converged=converged,
        starts=starts,
        agreeing=len(good),
        smoothing=smoothing,
    )


def check_smoothing(smoothing: float) -> None:
    """Refuse what is no pseudo-count.

    Raises:
        InputError: it is negative or not finite.
    """
    if not 0 <= smoothing < np.inf:
        raise InputError(f"Dawid-Skene: smoothing is {smoothing}; accepted: a number from 0 on")


class _Data:
    """The different rows of ratings, how often each occurs, and the two steps of EM on them."""

    def __init__(
        self,
        rows: IntArray,
        number: FloatArray,
        who: IntArray,
        raters: int,
        q: int,
        smoothing: float,
    ) -> None:
        self.rows, self.number, self.who, self.raters, self.q = rows, number, who, raters, q
        self.smoothing = smoothing
        self.prior = smoothing / 2 * (np.eye(q) + 1 / q)
        # (rows, j q): how often each rater gave each category to each row.
        given = np.zeros((len(rows), raters * q + 1))
        at = np.arange(len(rows))
        for column, j in zip(rows.T, who, strict=True):
            given[at, np.where(column < 0, raters * q, j * q + column)] += 1
        self.given = given[:, :-1]

    def start(self, rng: np.random.Generator | None) -> FloatArray:
        """Shares of the votes; with a generator, every vote has a random weight."""
        votes = self.given
        if rng is not None:
            votes = votes * rng.exponential(size=votes.shape)
        shares = votes.reshape(len(votes), self.raters, self.q).sum(axis=1)
        total = shares.sum(axis=1, keepdims=True)
        return np.where(total > 0, shares / np.where(total > 0, total, 1), 1 / self.q)

    def maximise(self, posterior: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The parameters that fit given true categories best."""
        weighted = posterior * self.number[:, None]
        units = weighted.sum(axis=0) + self.smoothing / self.q
        p = units / units.sum()
        counts = (weighted.T @ self.given).reshape(self.q, self.raters, self.q).swapaxes(0, 1)
        counts = counts + self.prior
        total = counts.sum(axis=2, keepdims=True)
        return p, np.where(total > 0, counts / np.where(total > 0, total, 1), 1 / self.q)

    def expect(self, p: FloatArray, pi: FloatArray) -> tuple[FloatArray, float]:
        """The probable true categories given the parameters, and the log-likelihood."""
        with np.errstate(divide="ignore"):
            log_p, log_pi = np.log(p), np.log(pi)
        joint = np.broadcast_to(log_p, (len(self.rows), self.q)).copy()
        # Column by column, so that log 0 counts only where it was observed.
        for column, j in zip(self.rows.T, self.who, strict=True):
            there = column >= 0
            joint[there] += log_pi[j].T[column[there]]
        top = joint.max(axis=1, keepdims=True)
        shares = np.exp(joint - top)
        total = shares.sum(axis=1, keepdims=True)
        likelihood = float(self.number @ (top + np.log(total))[:, 0])
        return shares / total, likelihood

    def climb(
        self, posterior: FloatArray, max_iterations: int, tolerance: float
    ) -> tuple[list[float], FloatArray, bool]:
        """EM from one start: the criterion at each step, the last posterior, and if it settled."""
        trace: list[float] = []
        for _ in range(max_iterations):
            p, pi = self.maximise(posterior)
            posterior, value = self.expect(p, pi)
            if self.smoothing > 0:
                value += float((self.prior * np.log(pi)).sum())
                value += self.smoothing / self.q * float(np.log(p).sum())
            trace.append(value)
            settled = len(trace) > 1 and abs(value - trace[-2]) <= tolerance * self.number.sum()
            if settled:
                return trace, posterior, True
        return trace, posterior, False


def _named(data: _Data, posterior: FloatArray) -> IntArray:
    """Which of the fitted classes is category 0, 1, …: the naming with the most agreement."""
    from scipy.optimize import linear_sum_assignment

    given = data.given.reshape(len(data.rows), data.raters, data.q).sum(axis=1)
    together = (posterior * data.number[:, None]).T @ given  # fitted class × given category
    fitted, name = linear_sum_assignment(together, maximize=True)
    order = np.empty(data.q, dtype=np.int64)
    order[name] = fitted
    return order


def _check(
    codes: IntArray,
    categories: int,
    smoothing: float,
    starts: int,
    max_iterations: int,
    tolerance: float,
) -> None:
    if not (codes >= 0).any():
        raise InputError("Dawid-Skene: got no ratings, expected at least one")
    if codes.max() >= categories or codes.min() < -1:
        raise InputError(
            f"Dawid-Skene: codes from {codes.min()} to {codes.max()}; accepted: −1 (none) to "
            f"{categories - 1}"
        )
    check_smoothing(smoothing)
    for name, value in (("starts", starts), ("max_iterations", max_iterations)):
        if not isinstance(value, int | np.integer) or value < 1:
            raise InputError(f"Dawid-Skene: {name} is {value}; accepted: an integer from 1 on")
    if not 0 < tolerance < np.inf:
        raise InputError(f"Dawid-Skene: tolerance is {tolerance}; accepted: a number above 0")
