"""One answer out of several reviewers', with the votes and the dissent kept beside it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.intervals import Count, wilson
from hitl_audit.review.agreement import check_options
from hitl_audit.review.agreement_measuring import MIN_UNITS
from hitl_audit.review.agreement_ratings import Label, Ratings, read_ratings
from hitl_audit.review.consensus_result import Consensus, Fit, UnitConsensus
from hitl_audit.review.consensus_reviewers import (
    Accuracy,
    Confusion,
    against_model,
    against_reference,
)
from hitl_audit.review.dawid_skene import (
    SMOOTHING,
    DawidSkene,
    check_smoothing,
    fit_dawid_skene,
)

__all__ = ["METHODS", "TIES", "consensus", "decided"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

METHODS = ("majority", "plurality", "unanimous", "dawid_skene")
TIES = ("none", "adjudicate")

_STARTS = 10
_TIE = 1e-9  # posteriors closer than this are equal


def consensus(
    ratings: pd.DataFrame,
    *,
    method: str = "majority",
    ties: Label = "none",
    truth: Mapping[Any, Any] | pd.Series[Any] | None = None,
    categories: Sequence[Label] | None = None,
    smoothing: float = SMOOTHING,
    confidence: float = 0.95,
    random_state: int = 0,
) -> Consensus:
    """Find one answer per unit, and keep every vote.

    Reviewers are measured against the truth where it is given. Against the
    consensus they are measured without their own vote: for each unit, what the
    others decide by the same method (only where they do). With Dawid and Skene's
    model it is the model's own estimate, their vote included; both are
    agreement with colleagues, not proof of being right.

    Args:
        ratings: units (index) × reviewers (columns); text, numbers or truth
            values; missing (``None``, NaN) where a reviewer did not answer.
        method: ``"majority"``: more than half of the votes; ``"plurality"``:
            most votes; ``"unanimous"``: all votes; ``"dawid_skene"``: the most
            probable category under the model, in which each reviewer's errors
            count. The model needs three reviewers and 10 units with two votes
            or more; with less, its outcome is *insufficient data*.
        ties: what becomes of a unit with votes that the method does not decide:
            ``"none"``: no label; ``"adjudicate"``: no label, and marked for a
            further reviewer; or a category, which then is the label.
        truth: gold standard: unit → category (a mapping, or a Series indexed by
            unit); units may lack it.
        categories: every answer that could be given; see
            :func:`~hitl_audit.review.agreement_ratings.read_ratings`.
        smoothing: of the model; see
            :func:`~hitl_audit.review.dawid_skene.fit_dawid_skene`.
        confidence: of the intervals.
        random_state: the seed of the model's starts.

    Raises:
        InputError: ratings, a truth or an option that cannot be used.
    """
    if method not in METHODS:
        raise InputError(
            f'consensus: method is "{method}"; accepted: {", ".join(METHODS)}'
            f"{did_you_mean(str(method), METHODS)}"
        )
    check_options(confidence, random_state)
    check_smoothing(smoothing)
    gold = _gold(truth)
    table = read_ratings(ratings, categories=categories, also=tuple(gold.values()))
    tie_code = _tie_code(ties, table)
    known = _known(ratings, table, gold)
    counts = table.counts

    model: DawidSkene | None = None
    why = _too_little(table, counts) if method == "dawid_skene" else ""
    if method == "dawid_skene" and not why:
        model = fit_dawid_skene(
            table.codes,
            len(table.categories),
            smoothing=smoothing,
            starts=_STARTS,
            random_state=random_state,
        )
        codes = _most_probable(model.posterior, counts)
    elif why:
        codes = np.full(len(table.units), -1, dtype=np.int64)
    else:
        codes = decided(counts, method)
    units = _units(table, counts, codes, method, ties, tie_code, model, confidence, bool(why))

    compared = _against_consensus(table, counts, method, model, confidence, bool(why))
    of_all: Accuracy | None = None
    if gold:
        compared += [
            against_reference(name, "truth", table, table.codes[:, j], known, confidence)
            for j, name in enumerate(table.raters)
        ]
        ruled = (codes < 0) & (counts.sum(axis=1) > 0) & (not why)
        final = np.where(ruled, tie_code, codes)
        of_all, _ = against_reference("consensus", "truth", table, final, known, confidence)

    return Consensus(
        units=units,
        accuracies=tuple(accuracy for accuracy, _ in compared),
        confusions=tuple(confusion for _, many in compared for confusion in many),
        accuracy=of_all,
        fit=_fit(model, table),
        words=_words(units, method, why, model, of_all),
        status="insufficient data" if why or not counts.any() else "assessed",
        method=method,
        ties=ties,
        categories=table.categories,
        raters=table.raters,
        confidence=float(confidence),
        random_state=int(random_state),
        votes=tuple(
            tuple(table.categories[code] if code >= 0 else None for code in row)
            for row in table.codes.tolist()
        ),
    )


def decided(counts: FloatArray, method: str) -> IntArray:
    """The category that the votes decide for, per unit; −1 where they do not.

    Args:
        counts: (n, q) votes.
        method: ``"majority"``, ``"plurality"`` or ``"unanimous"``.
    """
    total = counts.sum(axis=1)
    top = counts.max(axis=1, initial=0)
    if method == "majority":
        enough = 2 * top > total
    elif method == "unanimous":
        enough = (top == total) & (total > 0)
    else:
        enough = (total > 0) & ((counts == top[:, None]).sum(axis=1) == 1)
    first = counts.argmax(axis=1) if counts.shape[1] else np.zeros(len(counts), dtype=np.int64)
    return np.where(enough, first, -1)


def _against_consensus(
    table: Ratings,
    counts: FloatArray,
    method: str,
    model: DawidSkene | None,
    confidence: float,
    too_little: bool,
) -> list[tuple[Accuracy, list[Confusion]]]:
    """Each reviewer against the model, or against what the others decide."""
    compared = []
    for j, name in enumerate(table.raters):
        if model is not None:
            compared.append(against_model(name, table, j, model, confidence))
            continue
        answers = table.codes[:, j]
        own = np.zeros_like(counts)
        own[answers >= 0, answers[answers >= 0]] = 1
        others = np.full_like(answers, -1) if too_little else decided(counts - own, method)
        compared.append(
            against_reference(name, "consensus of the others", table, answers, others, confidence)
        )
    return compared


def _most_probable(posterior: FloatArray, counts: FloatArray) -> IntArray:
    top = posterior.max(axis=1)
    single = (posterior >= top[:, None] - _TIE).sum(axis=1) == 1
    return np.where(single & (counts.sum(axis=1) > 0), posterior.argmax(axis=1), -1)


def _too_little(table: Ratings, counts: FloatArray) -> str:
    """Why the model cannot be fitted; nothing if it can."""
    active = int((table.codes >= 0).any(axis=0).sum())
    if active < 3:
        return (
            f"the Dawid-Skene model needs at least 3 reviewers, and {active} answered: of two who "
            "differ, nothing tells which is right"
        )
    paired = int((counts.sum(axis=1) > 1).sum())
    if paired < MIN_UNITS:
        return (
            f"the Dawid-Skene model needs at least {MIN_UNITS} units with two votes, "
            f"and there are {paired}"
        )
    return ""


def _gold(truth: Mapping[Any, Any] | pd.Series[Any] | None) -> dict[str, Label]:
    if truth is None:
        return {}
    if not isinstance(truth, Mapping | pd.Series):
        raise InputError(
            f"truth is a {type(truth).__name__}; accepted: a mapping or a Series, unit → category"
        )
    pairs = [(str(unit), label) for unit, label in truth.items() if not _is_missing(label)]
    if len(dict(pairs)) < len(pairs):
        raise InputError("truth: a unit is there more than once")
    if not pairs:
        raise InputError("truth: got no labels, expected at least one (or no truth at all)")
    return dict(pairs)


def _is_missing(label: object) -> bool:
    return label is None or str(label) in ("nan", "NaT", "<NA>")


def _known(ratings: pd.DataFrame, table: Ratings, gold: Mapping[str, Label]) -> IntArray:
    """(n,) place of the true category; −1 where it is not known."""
    place = {category: i for i, category in enumerate(table.categories)}
    known = np.array(
        [place[gold[unit]] if unit in gold else -1 for unit in table.units], dtype=np.int64
    )
    if gold and not (known >= 0).any():
        here = ", ".join(table.units[:3])
        raise InputError(
            f'truth: no unit of the ratings is in it; it has "{next(iter(gold))}", …, '
            f"the ratings have {here}, …"
        )
    return known


def _tie_code(ties: Label, table: Ratings) -> int:
    """The place of the category that undecided units get; −1 for none."""
    if ties in TIES:
        return -1
    if ties not in table.categories:
        accepted = [*TIES, *map(str, table.categories)]
        raise InputError(
            f'consensus: ties is "{ties}"; accepted: {", ".join(accepted)}'
            f"{did_you_mean(str(ties), accepted)}"
        )
    return table.categories.index(ties)


def _units(
    table: Ratings,
    counts: FloatArray,
    codes: IntArray,
    method: str,
    ties: Label,
    tie_code: int,
    model: DawidSkene | None,
    confidence: float,
    too_little: bool,
) -> tuple[UnitConsensus, ...]:
    names, raters = table.categories, table.raters
    share_of: dict[tuple[int, int], tuple[float, float]] = {}
    found = []
    whole = counts.astype(np.int64).tolist()
    rows = table.codes.tolist()
    posteriors = model.posterior.tolist() if model is not None else None
    for i, (code, unit) in enumerate(zip(codes.tolist(), table.units, strict=True)):
        votes = [(k, number) for k, number in enumerate(whole[i]) if number]
        total = sum(number for _, number in votes)
        if too_little and total:
            outcome, resolved = "insufficient data", "nobody"
        elif not total:
            outcome, resolved = "no votes", "nobody"
        elif code >= 0:
            outcome, resolved = "decided", "model" if model is not None else "votes"
        else:
            outcome = _undecided(votes, method)
            resolved = "adjudication" if ties == "adjudicate" else "nobody"
            if tie_code >= 0:
                code, resolved = tie_code, "tie rule"
        label = names[code] if code >= 0 else None
        share = low = high = None
        if total:
            for_it = whole[i][code] if code >= 0 else max(number for _, number in votes)
            key = (for_it, total)
            if key not in share_of:
                bounds = wilson(Count(*key), confidence=confidence)
                assert bounds is not None  # noqa: S101
                share_of[key] = bounds
            share, (low, high) = for_it / total, share_of[key]
        found.append(
            UnitConsensus(
                unit=unit,
                label=label,
                outcome=outcome,
                resolved_by=resolved,
                share=share,
                low=low,
                high=high,
                n_votes=total,
                entropy=_entropy([number / total for _, number in votes]) if total else 0.0,
                votes=tuple((names[k], number) for k, number in votes),
                dissent=tuple(
                    (raters[j], names[vote])
                    for j, vote in enumerate(rows[i])
                    if vote >= 0 and vote != code
                ),
                posterior=tuple(zip(names, posteriors[i], strict=True))
                if posteriors is not None and total
                else (),
            )
        )
    return tuple(found)


def _undecided(votes: Sequence[tuple[int, int]], method: str) -> str:
    most = max(number for _, number in votes)
    if method == "unanimous":
        return "not unanimous"
    tied = sum(number == most for _, number in votes) > 1
    return "tie" if tied or method == "dawid_skene" else "no majority"


def _entropy(shares: Sequence[float]) -> float:
    return abs(-math.fsum(share * math.log2(share) for share in shares))


def _fit(model: DawidSkene | None, table: Ratings) -> Fit | None:
    if model is None:
        return None
    return Fit(
        prevalence=tuple(zip(table.categories, model.prevalence.tolist(), strict=True)),
        log_likelihood=model.log_likelihood,
        iterations=model.iterations,
        converged=model.converged,
        starts=model.starts,
        agreeing=model.agreeing,
        smoothing=model.smoothing,
    )


def _words(
    units: Sequence[UnitConsensus],
    method: str,
    why: str,
    model: DawidSkene | None,
    accuracy: Accuracy | None,
) -> str:
    voted = [unit for unit in units if unit.n_votes]
    if not voted:
        return "insufficient data: no votes"
    if why:
        return f"insufficient data: {why}"
    decided_units = sum(unit.outcome == "decided" for unit in voted)
    single = sum(unit.n_votes == 1 for unit in voted)
    dissent = sum(unit.outcome == "decided" and bool(unit.dissent) for unit in voted)
    words = (
        f"{method.replace('dawid_skene', 'Dawid-Skene')}: {decided_units} of {len(voted)} units "
        f"with votes decided, {dissent} of them against at least one reviewer"
    )
    ruled = sum(unit.resolved_by == "tie rule" for unit in voted)
    waiting = sum(unit.resolved_by == "adjudication" for unit in voted)
    open_units = sum(unit.label is None for unit in voted) - waiting
    for number, what in (
        (ruled, "decided by the tie rule"),
        (waiting, "left to adjudication"),
        (open_units, "without a label"),
    ):
        if number:
            words += f"; {number} {what}"
    if single:
        words += f"; {single} rest on a single vote"
    words += "."
    if model is not None:
        words += (
            f" The model {'converged' if model.converged else 'did NOT converge'} after "
            f"{model.iterations} iterations; {model.agreeing} of {model.starts} starts ended there."
        )
    if accuracy is not None and accuracy.value is not None:
        words += f" It matches the truth in {accuracy.value:.1%} of {accuracy.n} units."
    return words
