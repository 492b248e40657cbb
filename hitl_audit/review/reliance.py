"""Whether people rely on the model when it is right, and only then. Pure.

Needs protocols in which the reviewer decides before the model's answer is
shown. With the initial (blind) decision, the model's and the final one, of
answers whose right decision is known (Schemmer, Kühl, Benz, Bartos & Satzger,
"Appropriate Reliance on AI Advice", IUI 2023, arXiv 2302.02187, section 3):

    RAIR = final right  / (initially wrong, model right)
    RSR  = final right  / (initially right, model wrong)

The unit is the answer of one reviewer on one case; answers on one case form a
cluster, and cases count 1/π.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hitl_audit.review.estimates import difference_of_rates
from hitl_audit.review.kpi import Item, Kpi, gap, rate_of, share
from hitl_audit.review.reviewed import Reviewed
from hitl_audit.review.verdicts import Answer

__all__ = ["Trial", "anchoring_kpis", "reliance_kpis", "trials"]

LOW_CONFIDENCE, HIGH_CONFIDENCE = (1, 2), (4, 5)


class Trial(NamedTuple):
    """One answer as the formulas see it; ``None`` where something is not known."""

    answer: Answer
    initial: str | None
    model: str
    final: str
    truth: str | None


class _Measure(NamedTuple):
    measure: str
    among: Callable[[Trial], bool]
    counted: Callable[[Trial], bool]
    words: str


_WITH_TRUTH = (
    _Measure(
        "relative AI reliance (RAIR)",
        lambda t: t.initial is not None and t.initial != t.truth and t.model == t.truth,
        lambda t: t.final == t.truth,
        "first wrong while the model was right: how often the answer became right",
    ),
    _Measure(
        "relative self-reliance (RSR)",
        lambda t: t.initial == t.truth and t.model != t.truth,
        lambda t: t.final == t.truth,
        "first right while the model was wrong: how often the answer stayed right",
    ),
    _Measure(
        "over-reliance",
        lambda t: t.model != t.truth,
        lambda t: t.final == t.model,
        "of the model's wrong decisions, how many people went along with",
    ),
    _Measure(
        "under-reliance",
        lambda t: t.model == t.truth,
        lambda t: t.final != t.model,
        "of the model's right decisions, how many people overrode",
    ),
)
_SWITCHES = (
    _Measure(
        "switched after the reveal",
        lambda t: t.initial is not None,
        lambda t: t.final != t.initial,
        "how often the final answer is not the one given before seeing the model's",
    ),
    _Measure(
        "switched to the model",
        lambda t: t.initial not in (None, t.model),
        lambda t: t.final == t.model,
        "the model had decided otherwise: how often the answer became the model's",
    ),
    _Measure(
        "switched away from the model",
        lambda t: t.initial == t.model,
        lambda t: t.final != t.model,
        "the model had decided the same: how often the answer changed nevertheless",
    ),
)


def trials(data: Reviewed) -> list[Trial]:
    """Ordinary answers with a decision after the reveal, on cases the model decided."""
    return [
        Trial(
            answer,
            answer.blind_decision,
            data.model[answer.case_id],
            answer.decision,
            data.truth.get(answer.case_id),
        )
        for answer in data.ordinary
        if answer.decision is not None and answer.case_id in data.model
    ]


def reliance_kpis(data: Reviewed) -> list[Kpi]:
    """Appropriate reliance, of all and by group, and switches after the reveal."""
    every = trials(data)
    found = []
    for group, cases in data.everyone_and_groups():
        own = [t for t in every if cases is None or t.answer.case_id in cases]
        found += [_kpi(data, m, own, group, needs_truth=True) for m in _WITH_TRUTH]
        found += [_kpi(data, m, own, group) for m in _SWITCHES]
    return found


def anchoring_kpis(data: Reviewed) -> list[Kpi]:
    """Whether the unsure follow the model more, and whether seeing it first changes answers."""
    every = trials(data)
    low, high = (
        [
            data.item(t.answer, t.final == t.model)
            for t in every
            if t.answer.confidence in accepted and t.initial not in (None, t.model)
        ]
        for accepted in (LOW_CONFIDENCE, HIGH_CONFIDENCE)
    )
    first, after = (
        [data.item(t.answer, t.final == t.model) for t in every if (t.initial is None) == opened]
        for opened in (True, False)
    )
    switched, equal = "switched to the model", "final decision equals the model's"
    return [
        _anchored(data, f"{switched}, low confidence", low, "blind confidence 1 or 2 of 5"),
        _anchored(data, f"{switched}, high confidence", high, "blind confidence 4 or 5 of 5"),
        _difference(
            data,
            f"{switched}, low − high confidence",
            (low, high),
            "above 0: people follow the model more where they had been unsure",
        ),
        _anchored(data, f"{equal}, model seen first", first, "answers without a blind decision"),
        _anchored(data, f"{equal}, blind decision first", after, "answers with a blind decision"),
        _difference(
            data,
            f"{equal}, model seen first − blind decision first",
            (first, after),
            "above 0: seeing the model first draws answers to it; a fair comparison only if "
            "chance assigned cases and reviewers to the two protocols",
        ),
    ]


def _anchored(data: Reviewed, measure: str, items: list[Item], words: str) -> Kpi:
    return share("anchoring", measure, items, data.settings, unit="answers", words=words)


def _difference(
    data: Reviewed, measure: str, items: tuple[list[Item], list[Item]], words: str
) -> Kpi:
    first, second = (rate_of(part, data.settings) for part in items)
    return gap(
        "anchoring",
        measure,
        difference_of_rates(first, second),
        data.settings,
        unit="answers",
        weighted=data.weighted,
        words=words,
    )


def _kpi(
    data: Reviewed,
    measure: _Measure,
    every: list[Trial],
    group: str,
    *,
    needs_truth: bool = False,
) -> Kpi:
    known = [t for t in every if t.truth is not None or not needs_truth]
    return share(
        "reliance",
        measure.measure,
        [data.item(t.answer, measure.counted(t)) for t in known if measure.among(t)],
        data.settings,
        group=group,
        unit="answers",
        truth=(len(known), len(every)) if needs_truth else None,
        words=measure.words,
    )
