"""Whether people are right: what their overrides were worth, and hidden checks of them. Pure.

Right is what the recorded truth says. Where it is missing a case enters none
of these numbers, and every number says of how many the truth is known.
"""

from __future__ import annotations

from dataclasses import replace

from hitl_audit.review.estimates import Difference, weighted_difference
from hitl_audit.review.kpi import Item, Kpi, gap, share
from hitl_audit.review.reviewed import Reviewed
from hitl_audit.review.verdicts import Answer, CaseDecision

__all__ = ["check_kpis", "effect_kpis", "mcnemar_exact", "override_quality_kpis", "repeated"]


def override_quality_kpis(data: Reviewed) -> list[Kpi]:
    """Correction precision and harm rate, of all and by group, and suspected label errors."""
    overrides = [
        case
        for case in data.cases
        if case.decision is not None
        and case.case_id in data.model
        and case.decision != data.model[case.case_id]
    ]
    # Two people who agree, or an adjudicator, against the record; one alone is no evidence.
    firm = [
        case
        for case in data.cases
        if case.decision is not None
        and (case.how == "adjudicated" or (case.how == "unanimous" and case.decided >= 2))
    ]
    found = []
    for group, cases in data.everyone_and_groups():
        own = [case for case in overrides if cases is None or case.case_id in cases]
        found += [
            _of_truth(
                data,
                "correction precision",
                own,
                right=True,
                group=group,
                words="overrides in which the human decision is the right one",
            ),
            _of_truth(
                data,
                "harm rate",
                own,
                right=False,
                group=group,
                words="overrides that turned a right decision into a wrong one; with two possible "
                "decisions it is 1 − correction precision",
            ),
            _of_truth(
                data,
                "suspected label errors",
                [case for case in firm if cases is None or case.case_id in cases],
                right=False,
                group=group,
                words="cases in which an adjudicator, or at least two reviewers without dissent, "
                "decided otherwise than the recorded truth; either side can be wrong",
            ),
        ]
    return found


def check_kpis(data: Reviewed) -> list[Kpi]:
    """Hidden gold cases, planted errors and repeated cases: about these reviewers, unweighted."""
    settings = data.settings
    gold = [a for a in data.answers.of_task("gold") if a.verdict is not None]
    decided = [a for a in gold if a.decision is not None]
    known = [a for a in decided if a.case_id in data.truth]
    planted = [a for a in data.answers.of_task("planted") if a.verdict is not None]
    return [
        share(
            "checks",
            "hidden gold accuracy",
            [_plain(a, a.decision == data.truth[a.case_id]) for a in known],
            settings,
            unit="answers",
            truth=(len(known), len(decided)),
            words=f"right decisions on cases whose answer was known beforehand; "
            f"{len(gold) - len(decided)} more were answered without a decision",
        ),
        share(
            "checks",
            "planted errors caught",
            [_plain(a, a.verdict in ("disagree", "escalate")) for a in planted],
            settings,
            unit="answers",
            words="of model decisions shown reversed on purpose, how many a reviewer disagreed "
            "with or escalated",
        ),
        share(
            "checks",
            "same answer when asked again",
            [_plain(a, same) for a, same in repeated(data)],
            settings,
            unit="answers",
            words="of cases that a reviewer judged twice",
        ),
    ]


def repeated(data: Reviewed) -> list[tuple[Answer, bool]]:
    """Every repeated answer, and whether it is the reviewer's first one again."""
    first = {(a.case_id, a.reviewer): a for a in data.ordinary if a.verdict is not None}
    return [
        (again, (before.decision or before.verdict) == (again.decision or again.verdict))
        for again in data.answers.of_task("repeat")
        if again.verdict is not None
        and (before := first.get((again.case_id, again.reviewer))) is not None
    ]


def effect_kpis(data: Reviewed) -> list[Kpi]:
    """Lift of the team over the model and over people alone, and complementarity; paired by case.

    Team is the human decision after the model's was seen, human alone the
    majority of the blind decisions. Complementary performance is team minus the
    better of the two; the interval of a smallest difference runs from the
    smaller low end to the smaller high end, so its low end lies above 0 only
    if the team beats both (an intersection-union test).
    """
    three, two = [], []
    for case in data.cases:
        if case.decision is not None and case.case_id in data.model:
            two.append(case)
            if case.blind is not None:
                three.append(case)
    lift = _right_difference(
        data,
        "lift over the model",
        two,
        "team",
        "model",
        "accuracy(human + model) − accuracy(model)",
    )
    over_model = _right_difference(data, "", three, "team", "model", "")
    over_human = _right_difference(
        data,
        "lift over people alone",
        three,
        "team",
        "human",
        "accuracy(human + model) − accuracy of the blind decisions",
    )
    return [lift, over_human, _complementarity(over_model, over_human)]


def mcnemar_exact(more: int, less: int) -> float:
    """Two-sided exact McNemar p value: are the discordant pairs split evenly?"""
    from scipy.stats import binom

    n = more + less
    return min(1.0, 2 * float(binom.cdf(min(more, less), n, 0.5))) if n else 1.0


def decision_of(data: Reviewed, case: CaseDecision, who: str) -> str | None:
    """The decision on a case of ``"model"``, ``"human"`` (blind) or ``"team"`` (final)."""
    if who == "model":
        return data.model.get(case.case_id)
    return case.blind if who == "human" else case.decision


def _of_truth(
    data: Reviewed,
    measure: str,
    cases: list[CaseDecision],
    *,
    right: bool,
    group: str,
    words: str,
) -> Kpi:
    known = [case for case in cases if case.case_id in data.truth]
    return share(
        "quality",
        measure,
        [data.item(c, (c.decision == data.truth[c.case_id]) == right) for c in known],
        data.settings,
        group=group,
        truth=(len(known), len(cases)),
        words=words,
    )


def _right_difference(
    data: Reviewed, measure: str, cases: list[CaseDecision], a: str, b: str, words: str
) -> Kpi:
    settings = data.settings
    known = [case for case in cases if case.case_id in data.truth]
    sides = [
        [decision_of(data, case, who) == data.truth[case.case_id] for case in known]
        for who in (a, b)
    ]
    more = sum(x and not y for x, y in zip(*sides, strict=True))
    less = sum(y and not x for x, y in zip(*sides, strict=True))
    if len(known) < settings.needed():
        status = "insufficient data" if known else "not assessed"
        found = Difference(
            len(known), None, None, None, settings.confidence, "", status, more, less
        )
    else:
        found = weighted_difference(
            sides[0],
            sides[1],
            [data.chances.get(case.case_id, 1.0) for case in known],
            confidence=settings.confidence,
            finite_population=False,
        )
    # The exact test knows no weights, so it is for equal chances only.
    tested = found.value is not None and not data.weighted
    counts = f"; {more} wrong turned right, {less} right turned wrong" if words else ""
    return gap(
        "effect",
        measure,
        found,
        settings,
        truth=(len(known), len(cases)),
        weighted=data.weighted,
        p_value=mcnemar_exact(more, less) if tested else None,
        test="McNemar exact test",
        words=f"{words}{counts}",
    )


def _complementarity(over_model: Kpi, over_human: Kpi) -> Kpi:
    named = replace(
        over_model,
        measure="complementarity",
        p_value=None,
        words="accuracy(human + model) − the better of accuracy(model) and accuracy(human alone)",
    )
    values = [kpi.value for kpi in (over_model, over_human) if kpi.value is not None]
    lows = [kpi.low for kpi in (over_model, over_human) if kpi.low is not None]
    highs = [kpi.high for kpi in (over_model, over_human) if kpi.high is not None]
    if not len(values) == len(lows) == len(highs) == 2:
        return named
    method = f"smaller of two differences, each {over_human.method.split(';')[0]}"
    return replace(named, value=min(values), low=min(lows), high=min(highs), method=method)


def _plain(answer: Answer, yes: bool) -> Item:
    """A unit that was placed by the plan, not drawn: it stands for itself."""
    return Item(answer.case_id, yes, 1.0, answer.reviewer)
