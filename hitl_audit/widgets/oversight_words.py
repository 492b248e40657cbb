"""What the oversight panel shows, as plain words and places ready to be drawn. Pure.

Every number is one of an :class:`~hitl_audit.review.oversight.Oversight`; here
it gets its words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hitl_audit.findings import percent
from hitl_audit.plan import AuditPlan
from hitl_audit.report.wording import in_points, interval, number, p_words, sentence
from hitl_audit.review.agreement_result import Coefficient
from hitl_audit.review.escalation import EscalationRegister
from hitl_audit.review.kpi import Kpi
from hitl_audit.review.oversight import Oversight
from hitl_audit.widgets.review_seen import Seen, Work

__all__ = ["panel_words"]

_EFFECT = {
    "lift over the model": "People with the model, against the model alone",
    "lift over people alone": "… against people alone",
    "complementarity": "… against the better of both",
}
_RELIANCE = (
    "over-reliance",
    "under-reliance",
    "relative AI reliance (RAIR)",
    "relative self-reliance (RSR)",
    "switched to the model",
    "switched away from the model",
)
_FIRST = ("Krippendorff's alpha", "Gwet's AC1")


def panel_words(seen: Seen, plan: AuditPlan) -> dict[str, Any]:
    """Everything on the panel.

    Args:
        seen: the review as it stands.
        plan: labels of attributes and decisions, and what was asked for.
    """
    oversight = seen.oversight
    return {
        "state": "live" if oversight.judged or seen.work.last else "empty",
        "events": seen.events,
        "simulated": oversight.any_simulated,
        "confidence": f"{plan.fairness.confidence:.0%} interval",
        "last": seen.work.last,
        "recent": [list(one) for one in seen.work.recent],
        "said": f"{oversight.judged} of {oversight.sampled} cases judged",
        "progress": _progress(oversight, seen.work, plan),
        "reviewers": _reviewers(seen, plan),
        "agreement": _agreement(oversight),
        "overrides": _overrides(oversight, plan),
        "use": _use(oversight),
        "escalations": _escalations(seen.record.escalations),
    }


# -------------------------------------------------------------------- progress


def _progress(oversight: Oversight, work: Work, plan: AuditPlan) -> dict[str, Any]:
    cases, wanted = work.cases, plan.review.reviewers_per_case
    enough = "verdict" if wanted == 1 else f"{wanted} verdicts"
    parts = [(f"{enough}, or decided", cases.full)]
    if wanted > 1:
        parts.append(("some of them", cases.begun))
    parts.append(("none yet", cases.untouched))
    tiles = []
    if plan.review.reviewers:
        tiles = [
            _counted(kpi)
            for kpi in oversight.kpis
            if kpi.topic == "flow" and kpi.measure in ("backlog", "backlog overdue")
        ]
    if not tiles:  # nobody was given tasks beforehand: then the drawn cases are the queue
        left = cases.begun + cases.untouched
        tiles = [["Left in the queue", f"{left:,}", f"of {oversight.sampled:,} drawn cases"]]
    differ = f"of {oversight.judged} judged"
    if cases.settled:
        differ += f"; a third person decided on {cases.settled}"
    tiles.append(["Reviewers differ on", str(cases.differ), differ])
    if oversight.median_seconds is not None and not oversight.any_simulated:
        tiles.append(["Median time per case", _seconds(oversight.median_seconds), "one reviewer"])
    return {
        "sampled": oversight.sampled,
        "judged": oversight.judged,
        "parts": [[name, count] for name, count in parts],
        "tiles": tiles,
        "notes": [
            f"Not counted: {count} {why}." for why, count in oversight.excluded
        ],
    }  # fmt: skip


def _counted(kpi: Kpi) -> list[str]:
    name = "Left in the queue" if kpi.measure == "backlog" else "Overdue"
    return [name, f"{kpi.value or 0:,.0f}", f"of {kpi.n:,} tasks given"]


def _seconds(value: float) -> str:
    if value >= 120:
        return f"{value / 60:.1f} min"
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"


def _reviewers(seen: Seen, plan: AuditPlan) -> dict[str, Any]:
    """One row per reviewer; tasks only where the plan gave them out beforehand."""
    roles = {note.reviewer: note.role for note in seen.record.reviewers}
    tasks = {one.reviewer: one for one in seen.work.tasks} if plan.review.reviewers else {}
    rows = []
    for row in seen.oversight.by_reviewer:
        given = tasks.get(row.reviewer)
        waits = ""
        if given is not None:
            waits = f"{given.waiting} of {given.given} left"
            waits += f", {given.overdue} overdue" if given.overdue else ""
        rows.append(
            {
                "name": row.reviewer[:1].upper() + row.reviewer[1:],
                "role": roles.get(row.reviewer, ""),
                "simulated": row.simulated,
                "answers": row.answers,
                "waits": waits,
                "share": None if given is None else 1 - given.waiting / max(1, given.given),
                "verdicts": ", ".join(f"{count} {name}" for name, count in row.verdicts if count),
                "overrides": _figure(row.overrides.value, row.override_n),
                "controls": _controls(row.gold, row.planted, row.repeats),
            }
        )
    absent = seen.work.not_begun if plan.review.reviewers else 0
    note = ""
    if absent:
        note = f"{absent} more {'has' if absent == 1 else 'have'} tasks and no answer yet."
    return {"rows": rows, "note": note}


def _figure(value: float | None, n: int) -> str:
    if value is None:
        return f"insufficient data (n = {n})" if n else "–"
    return f"{percent(value)} of {n}"


def _controls(gold: tuple[int, int], planted: tuple[int, int], repeats: tuple[int, int]) -> str:
    named = (("known answers", gold), ("planted errors caught", planted), ("same again", repeats))
    return "; ".join(f"{name} {right} of {n}" for name, (right, n) in named if n)


# ------------------------------------------------------------------- estimates


def _estimate(
    name: str,
    n: str,
    value: float | None,
    low: float | None,
    high: float | None,
    status: str,
    *,
    tell: Callable[[float | None], str] = percent,
    between: Callable[[float | None, float | None], str] = interval,
    words: str = "",
    unit: str = "",
) -> dict[str, Any]:
    """One line: words for everybody, and places for those who see it drawn."""
    known = value is not None
    return {
        "name": name,
        "n": n,
        "value": f"{tell(value)}{unit}" if known else "",
        "interval": between(low, high) if low is not None else "",
        "status": "" if known else status,
        "words": words,
        "at": [value, low, high] if known else None,
    }


def _line(kpi: Kpi, name: str, *, words: str = "") -> dict[str, Any]:
    """A share; what it was counted from, and what it takes, where there is too little."""
    counted = "" if kpi.count is None else f"{kpi.count:,} of "
    return _estimate(
        name,
        f"{counted}{kpi.n:,} {kpi.unit}",
        kpi.value,
        kpi.low,
        kpi.high,
        _lacking(kpi),
        words=sentence(words) if words else "",
    )


def _lacking(kpi: Kpi) -> str:
    if kpi.status == "insufficient data" and kpi.needed > kpi.n:
        return f"insufficient data, needs {kpi.needed}"
    return kpi.status


def _difference(kpi: Kpi, name: str, *, words: str = "") -> dict[str, Any]:
    said = [sentence(words)] if words else []
    if kpi.p_value is not None:
        adjusted = "" if kpi.p_adjusted is None else f", {p_words(kpi.p_adjusted)} adjusted"
        said.append(f"p = {p_words(kpi.p_value)}{adjusted}".replace("= <", "<"))
    return _estimate(
        name,
        f"{kpi.n:,} {kpi.unit}",
        kpi.value,
        kpi.low,
        kpi.high,
        _lacking(kpi),
        tell=_signed_points,
        between=lambda low, high: f"{_signed_points(low)} to {_signed_points(high)}",
        words=" ".join(said),
        unit=" points",
    )


def _signed_points(value: float | None) -> str:
    words = in_points(value)
    return f"+{words}" if value is not None and value > 0 and words.strip("0.") else words


def _agreement(oversight: Oversight) -> dict[str, Any]:
    with_model = [
        _estimate(
            name,
            f"{share.count:,} of {share.n:,} cases",
            share.value,
            share.low,
            share.high,
            share.status,
            words=sentence(words),
        )
        for name, share, words in (
            ("With the model", oversight.agreement, "every reviewer agrees with the model"),
            (
                "Before seeing it",
                oversight.blind_agreement,
                "everyone who decided before seeing the model decided as it did",
            ),
        )
    ]
    after, before = oversight.reviewer_agreement, oversight.blind_reviewer_agreement
    return {
        "model": with_model,
        "reviewers": [
            {"title": "After seeing the model", **_coefficients(after)},
            {"title": "Before seeing the model", **_coefficients(before)},
        ]
        if after or before
        else [],
    }


def _coefficients(found: Iterable[Coefficient]) -> dict[str, Any]:
    """The two that are read first, and the others."""
    known = {one.name: one for one in found}
    if not known:
        return {"pairs": "", "first": [], "others": [], "none": "Not assessed: no two people yet."}
    some = next(iter(known.values()))
    pairs = (
        f"{_many(some.n_units, 'case')} with answers of two or more people: "
        f"{some.n_ratings:,} answers of {_many(some.n_raters, 'reviewer')}"
    )
    lines = {name: _coefficient(one) for name, one in known.items()}
    if all(one.value is None for one in known.values()):
        return {"pairs": pairs, "first": [], "others": [], "none": sentence(some.reading)}
    return {
        "pairs": pairs,
        "first": [lines[name] for name in _FIRST if name in lines],
        "others": [line for name, line in lines.items() if name not in _FIRST],
        "none": "",
    }


def _coefficient(one: Coefficient) -> dict[str, Any]:
    return _estimate(
        one.name,
        _many(one.n_units, "case"),
        one.value,
        one.low,
        one.high,
        one.status,
        tell=lambda value: number(value, 2),
        between=lambda low, high: f"{number(low, 2)} to {number(high, 2)}",
        words=sentence(one.reading),
    )


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _overrides(oversight: Oversight, plan: AuditPlan) -> list[dict[str, Any]]:
    """One view per direction: everybody, each group, and differences at the same score."""
    covered = {k.group: k for k in oversight.kpis if k.topic == "coverage"}
    yes, no = plan.audit.favorable_label, plan.audit.unfavorable_label
    found = []
    for measure, name in (
        ("override rate", "Any"),
        ("override rate, unfavorable to favorable", f"“{no}” by the model, “{yes}” by people"),
        ("override rate, favorable to unfavorable", f"“{yes}” by the model, “{no}” by people"),
    ):
        kpis = [k for k in oversight.kpis if k.topic == "overrides" and k.measure == measure]
        if not kpis:
            continue
        lines = []
        for kpi in kpis:
            line = _line(kpi, _group(kpi.group, plan) or "All judged cases")
            drawn = covered.get(kpi.group)
            if drawn is not None and drawn.count is not None:
                line["n"] += f"; {drawn.count:,} of {drawn.n:,} drawn judged"
            lines.append(line)
        gaps = [
            _difference(k, _group(k.group, plan))
            for k in oversight.kpis
            if k.topic == "overrides" and k.measure == f"{measure}, difference at the same score"
        ]
        weighted = any(k.weighted for k in kpis)
        notes = [sentence(kpis[0].words)]
        if weighted:
            notes.append(
                "Cases had different chances to be drawn: each counts one over its chance."
            )
        found.append({"name": name, "lines": lines, "gaps": gaps, "notes": notes})
    return found


def _group(group: str, plan: AuditPlan) -> str:
    attribute, _, name = group.partition(": ")
    return f"{plan.label(attribute)}: {name}" if name else group


def _use(oversight: Oversight) -> dict[str, Any]:
    """What people made of the model's answer, and what they added."""
    named = {
        k.measure: k for k in oversight.kpis if k.topic in ("reliance", "effect") and not k.group
    }
    reliance = [
        _line(named[measure], measure[:1].upper() + measure[1:], words=named[measure].words)
        for measure in _RELIANCE
        if measure in named
    ]
    effect = [
        _difference(named[measure], name, words=named[measure].words)
        for measure, name in _EFFECT.items()
        if measure in named
    ]
    truth = "The plan holds the judgments against nothing, so nobody can say which were right."
    if oversight.truth_n:
        truth = (
            f"Right means: as recorded in the data, known for {oversight.truth_n:,} of "
            f"{oversight.judged:,} judged cases."
        )
    return {"reliance": reliance, "effect": effect if oversight.truth_n else [], "truth": truth}


# ----------------------------------------------------------------- escalations


def _escalations(register: EscalationRegister) -> dict[str, Any]:
    order = {"overdue": 0, "open": 1, "resolved": 2, "taken back": 3}
    items = sorted(register.items, key=lambda i: (order[i.status], i.deadline or "~", i.raised_at))
    return {
        "words": register.words,
        "open": sum(item.status == "open" for item in items),
        "overdue": sum(item.status == "overdue" for item in items),
        "rows": [
            {
                "subject": item.subject,
                "condition": item.condition,
                "role": item.role,
                "deadline": item.deadline,
                "status": item.status,
                "outcome": item.outcome,
                "simulated": item.simulated,
            }
            for item in items
        ],
    }
