"""What the recorded judgments say about the model. Pure.

The unit is the case: a case counts as agreed when the latest verdict of every
reviewer who judged it is *agree*; *unsure* and *escalate* are no agreement.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist, median
from typing import TYPE_CHECKING

from hitl_audit.errors import InputError
from hitl_audit.intervals import Count, wilson
from hitl_audit.review.judgment import ANSWERS, Judgment
from hitl_audit.review.sampling import CaseSample

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MIN_CASES", "Oversight", "Share", "summarise"]

MIN_CASES = 10
"""Below this many judged cases no share is estimated."""


@dataclass(frozen=True)
class Share:
    """A share of cases, with its uncertainty.

    Attributes:
        count, n: cases that have the property, of cases judged; unweighted.
        value, low, high: estimate for all cases of the population, with its
            interval; ``None`` when there are too few.
        confidence: of the interval.
        method: name of the estimate and its interval.
        status: ``"estimated"``, ``"insufficient data"`` or ``"not assessed"``.
    """

    count: int
    n: int
    value: float | None
    low: float | None
    high: float | None
    confidence: float
    method: str
    status: str


@dataclass(frozen=True)
class Oversight:
    """The judgments of one sample, summed up.

    Attributes:
        status: ``"assessed"``, ``"insufficient data"`` or ``"not assessed"``.
        words: the summary in one or two sentences.
        sampled, judged: cases drawn, and cases with at least one final verdict.
        reviewers: number of people (or simulations) with a final verdict.
        verdicts: ``(verdict, number)``, one latest verdict per case and reviewer.
        agreement: cases in which every reviewer agrees with the model.
        blind_agreement: cases in which everyone who decided before seeing the
            model's decision decided the same; of those with such a decision.
        median_seconds: median time on task of one reviewer on one case.
        reasons: ``(reason, number)`` of the verdicts counted, most frequent first.
        corrections: number of corrections recorded; a correction replaces the
            verdict it corrects in every count.
        outside_sample: judgments on cases that are not in the sample, or on
            another model or plan; they enter no number.
        any_simulated: at least one judgment was made by a program.
    """

    status: str
    words: str
    sampled: int
    judged: int
    reviewers: int
    verdicts: tuple[tuple[str, int], ...]
    agreement: Share
    blind_agreement: Share
    median_seconds: float | None
    reasons: tuple[tuple[str, int], ...]
    corrections: int
    outside_sample: int
    any_simulated: bool

    def frame(self) -> pd.DataFrame:
        """One row per number: measure, value, low, high, n, method."""
        import pandas as pd

        rows: list[tuple[str, float | None, float | None, float | None, int | None, str]] = [
            (name, value, None, None, None, "count")
            for name, value in (
                ("sampled cases", self.sampled),
                ("judged cases", self.judged),
                ("reviewers", self.reviewers),
                *((f"verdict: {verdict}", number) for verdict, number in self.verdicts),
                *((f"reason: {reason}", number) for reason, number in self.reasons),
                ("corrections", self.corrections),
                ("judgments outside the sample", self.outside_sample),
            )
        ]
        rows += [
            (name, share.value, share.low, share.high, share.n, share.method)
            for name, share in (
                ("agreement with the model", self.agreement),
                ("blind decision equals the model's", self.blind_agreement),
            )
        ]
        rows.append(("seconds on task", self.median_seconds, None, None, None, "median"))
        columns = ["measure", "value", "low", "high", "n", "method"]
        return pd.DataFrame(rows, columns=columns).assign(simulated=self.any_simulated)


def summarise(
    judgments: Iterable[Judgment],
    sample: CaseSample,
    *,
    model_digest: str | None = None,
    plan_digest: str | None = None,
    confidence: float = 0.95,
) -> Oversight:
    """Sum up what the reviewers of a sample said.

    Under a random design a share is a proportion with the Wilson interval.
    Under a stratified design it is the Hájek estimate
    ``Σ(y/π) / Σ(1/π)`` with ``V = Σ(1−π)/π²·(y−ŷ)² / (Σ1/π)²``; where all
    cases say the same V is 0, and the Wilson interval at the effective size
    ``(Σ1/π)² / Σ(1/π²)`` (Kish) is given instead.

    Args:
        judgments: events in the order of the ledger.
        sample: the cases that were to be judged.
        model_digest, plan_digest: count only judgments on this model, under
            this plan; ``None`` counts all.
        confidence: of the intervals.

    Raises:
        InputError: a confidence that is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; accepted: a number between 0 and 1")
    chances = {case.case_id: case.inclusion_probability for case in sample.cases}
    events = tuple(judgments)
    inside = [
        event
        for event in events
        if event.case_id in chances
        and model_digest in (None, event.model_digest)
        and plan_digest in (None, event.plan_digest)
    ]

    latest: dict[tuple[str, str], Judgment] = {}
    blind: dict[tuple[str, str], Judgment] = {}
    seconds: dict[tuple[str, str], float] = {}
    for event in inside:
        key = (event.case_id, event.reviewer)
        (blind if event.phase == "blind" else latest)[key] = event
        if event.seconds is not None:
            seconds[key] = seconds.get(key, 0.0) + event.seconds

    agreed = _all_of((case, event.answer == "agree") for (case, _), event in latest.items())
    same = _all_of(
        (key[0], event.answer == latest[key].model_decision)
        for key, event in blind.items()
        if key in latest and latest[key].model_decision and event.answer != "unsure"
    )
    timed = [seconds[key] for key in latest if key in seconds]
    weighted = sample.design != "random"
    agreement = _share(agreed, chances, weighted=weighted, confidence=confidence)
    verdicts = Counter(event.answer for event in latest.values())
    reasons = Counter(reason for event in latest.values() for reason in event.reasons)
    simulated = any(event.simulated for event in events)
    reviewers = len({reviewer for _, reviewer in latest})
    return Oversight(
        status="assessed" if agreement.status == "estimated" else agreement.status,
        words=_words(agreement, len(chances), reviewers, begun=bool(inside), simulated=simulated),
        sampled=len(chances),
        judged=len(agreed),
        reviewers=reviewers,
        verdicts=tuple((verdict, verdicts[verdict]) for verdict in ANSWERS["final"]),
        agreement=agreement,
        blind_agreement=_share(same, chances, weighted=weighted, confidence=confidence),
        median_seconds=median(timed) if timed else None,
        reasons=tuple(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        corrections=sum(event.phase == "correction" for event in inside),
        outside_sample=len(events) - len(inside),
        any_simulated=simulated,
    )


def _all_of(votes: Iterable[tuple[str, bool]]) -> dict[str, bool]:
    """Per case, whether every vote on it is true."""
    cases: dict[str, bool] = {}
    for case, vote in votes:
        cases[case] = cases.get(case, True) and vote
    return cases


def _share(
    votes: Mapping[str, bool], chances: Mapping[str, float], *, weighted: bool, confidence: float
) -> Share:
    n, count = len(votes), sum(votes.values())
    if n < MIN_CASES:
        status = "insufficient data" if n else "not assessed"
        return Share(count, n, None, None, None, confidence, "", status)
    if not weighted:
        low, high = _wilson(count, n, confidence)
        return Share(count, n, count / n, low, high, confidence, "Wilson", "estimated")
    weights = {case: 1 / chances[case] for case in votes}
    total = math.fsum(weights.values())
    value = math.fsum(weights[case] for case, vote in votes.items() if vote) / total
    if count in (0, n):
        effective = total**2 / math.fsum(w * w for w in weights.values())
        low, high = _wilson(round(effective) if count else 0, round(effective), confidence)
        method = "Hájek, Wilson at the effective size"
        return Share(count, n, float(count > 0), low, high, confidence, method, "estimated")
    variance = (
        math.fsum(
            (1 - chances[case]) * weights[case] ** 2 * (vote - value) ** 2
            for case, vote in votes.items()
        )
        / total**2
    )
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(variance)
    low, high = max(0.0, value - reach), min(1.0, value + reach)
    return Share(count, n, value, low, high, confidence, "Hájek", "estimated")


def _wilson(count: int, n: int, confidence: float) -> tuple[float, float]:
    interval = wilson(Count(count, n), confidence=confidence)
    assert interval is not None  # n is at least 1  # noqa: S101
    return interval


def _words(agreement: Share, sampled: int, reviewers: int, *, begun: bool, simulated: bool) -> str:
    if agreement.status == "not assessed":
        return f"not assessed: no {'final verdicts' if begun else 'judgments'} recorded"
    people = "1 reviewer" if reviewers == 1 else f"{reviewers} reviewers"
    words = f"{people} judged {agreement.n} of {sampled} sampled cases"
    if agreement.value is None or agreement.low is None or agreement.high is None:
        words = f"insufficient data: {words}; a share needs at least {MIN_CASES} judged cases"
    else:
        words += (
            f"; everyone agreed with the model in {agreement.count} of {agreement.n}, "
            f"estimated {agreement.value:.1%} of all cases "
            f"({agreement.confidence:.0%} interval {agreement.low:.1%} to {agreement.high:.1%})"
        )
    return f"SIMULATED JUDGMENTS: {words}" if simulated else words
