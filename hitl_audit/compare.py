"""Two audits side by side: what moved since the last one, and is any promise worse off. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from hitl_audit.changes import METHOD, AuditChange, Change, CriterionChange, Side, change_of
from hitl_audit.evidence import Evidence
from hitl_audit.findings import Comparison, Criterion, Finding, metric_words, percent
from hitl_audit.groups import ALL, TIMES

__all__ = ["change_words", "compare_audits"]

RANK = {"met": 2, "insufficient data": 1, "not assessed": 1, "not met": 0}
MORE_IS_BETTER = frozenset(
    {"accuracy", "precision", "true_positive_rate", "roc_auc", "average_precision"}
)
LESS_IS_BETTER = frozenset({"false_positive_rate", "brier_score"})
TOP = 10
Better = Literal["more", "less", "smaller", "none"]
Key = tuple[str, tuple[str, ...], str]


def compare_audits(before: Evidence, after: Evidence) -> AuditChange:
    """What moved between two audits.

    Promises are matched by what they are about (metric, attributes, comparison), groups by
    name. The interval on a change takes the two audits for independent samples; where they
    use the same rows it is too wide, so a change that it shows is there all the same.
    """
    same_data = before.data.digest == after.data.digest
    criteria = _criteria(before, after)
    notes = []
    if same_data:
        notes.append(
            "Both audits use the same rows. The intervals treat them as independent and are "
            "therefore wider than they need to be: a change they show is there all the same."
        )
    if before.plan.confidence != after.plan.confidence:
        notes.append(
            f"The earlier audit states intervals of {before.plan.confidence:.0%}, the later one of "
            f"{after.plan.confidence:.0%}; an interval on a change combines the two."
        )
    if before.audit.title != after.audit.title:
        notes.append(
            f"The audits have different titles: “{before.audit.title}” and “{after.audit.title}”."
        )
    rates = _rates(before, after)
    if rates:
        expected = (1 - after.plan.confidence) * len(rates)
        notes.append(
            f"Of the {len(rates)} rates compared by group, about {expected:.0f} would seem to have "
            "moved by chance alone."
        )
    return AuditChange(
        before=_side(before),
        after=_side(after),
        same_data=same_data,
        same_model=before.model.digest == after.model.digest,
        same_plan=before.plan.digest == after.plan.digest,
        criteria=criteria,
        performance=_performance(before, after),
        rates=rates,
        importance=_importance(before, after),
        confidence=after.plan.confidence,
        method=METHOD,
        notes=tuple(notes),
        worse=any(c.worse for c in criteria),
    )


def _side(evidence: Evidence) -> Side:
    return Side(
        title=evidence.audit.title,
        document_id=f"HA-{evidence.digest.removeprefix('sha256:')[:8].upper()}",
        created=evidence.created,
        rows=evidence.data.rows,
        data_digest=evidence.data.digest,
        model_digest=evidence.model.digest,
        plan_digest=evidence.plan.digest,
    )


def _key(criterion: Criterion) -> Key:
    return criterion.metric, tuple(criterion.by), criterion.compare


def _criteria(before: Evidence, after: Evidence) -> tuple[CriterionChange, ...]:
    old = {_key(f.criterion): f for f in before.findings}
    new = {_key(f.criterion): f for f in after.findings}
    made = [_criterion(old.get(key), finding) for key, finding in new.items()]
    made += [_criterion(finding, None) for key, finding in old.items() if key not in new]
    return tuple(made)


def _criterion(old: Finding | None, new: Finding | None) -> CriterionChange:
    shown = new or old
    assert shown is not None  # noqa: S101 - one of them is given
    criterion = shown.criterion
    groups = _groups(old, new) if old and new else ()
    was, now = (str(f.status) if f else "" for f in (old, new))
    lower = bool(old and new) and RANK[now] < RANK[was]
    moved = [c for c in groups if c.direction == "worse"]
    weaker = old is not None and new is not None and _is_weaker(old.criterion, new.criterion)
    dropped = new is None
    words = _criterion_words(criterion, was, now, moved, weaker=weaker)
    return CriterionChange(
        id=shown.id,
        metric=criterion.metric,
        by=tuple(criterion.by),
        compare=criterion.compare,
        promised_before=_promise(old.criterion) if old else "",
        promised_after=_promise(new.criterion) if new else "",
        status_before=was,
        status_after=now,
        groups=groups,
        worse=lower or bool(moved) or dropped or weaker,
        words=words,
    )


def _promise(criterion: Criterion) -> str:
    if criterion.compare == "difference" and criterion.at_most is not None:
        return f"within ±{float(criterion.at_most) * 100:g} points"
    bounds = (("at least", criterion.at_least), ("at most", criterion.at_most))
    return ", ".join(f"{word} {float(b) * 100:g}%" for word, b in bounds if b is not None)


def _is_weaker(old: Criterion, new: Criterion) -> bool:
    """Whether the new promise allows what the old one did not."""
    (old_low, old_high), (new_low, new_high) = old.bounds, new.bounds
    lower = old_low is not None and (new_low is None or new_low < old_low)
    upper = old_high is not None and (new_high is None or new_high > old_high)
    return lower or upper or (old.decide == "interval" and new.decide == "point")


def _criterion_words(
    criterion: Criterion, was: str, now: str, moved: list[Change], *, weaker: bool
) -> str:
    about = metric_words(criterion.metric).capitalize()
    by = f" by {TIMES.join(criterion.by)}" if criterion.by else ""
    if not now:
        return f"{about}{by}: promised before ({was}), and no longer promised."
    if not was:
        return f"{about}{by}: promised for the first time; {now}."
    said = f"{about}{by}: {was} → {now}" if was != now else f"{about}{by}: {now}, as before"
    if moved:
        said += "; clearly further from the promise: " + ", ".join(c.group for c in moved)
    if weaker:
        said += "; the promise is weaker than before"
    return f"{said}."


def _better(criterion: Criterion) -> Better:
    if criterion.compare == "difference":
        return "smaller"
    if criterion.at_most is None:
        return "more"
    return "less" if criterion.at_least is None else "none"


def _groups(old: Finding, new: Finding) -> tuple[Change, ...]:
    def known(finding: Finding) -> dict[tuple[str, str], Comparison]:
        found = [v.comparison for v in finding.verdicts]
        return {(c.group, c.reference): c for c in found}

    earlier, later = known(old), known(new)
    made = []
    for key, c in later.items():
        was = earlier.get(key)
        if was is not None:
            made.append(
                change_of(
                    c.metric,
                    c.compare,
                    (c.attribute, c.group, c.reference),
                    (was.value, was.low, was.high, was.count.total),
                    (c.value, c.low, c.high, c.count.total),
                    better=_better(new.criterion),
                    note="small group" if c.small or was.small else "",
                )
            )
    return tuple(made)


def _performance(before: Evidence, after: Evidence) -> tuple[Change, ...]:
    old = {s.metric: s for s in before.performance.overall.scores}
    made = []
    for s in after.performance.overall.scores:
        was = old.get(s.metric)
        if was is not None:
            better: Better = (
                "more"
                if s.metric in MORE_IS_BETTER
                else "less"
                if s.metric in LESS_IS_BETTER
                else "none"
            )
            made.append(
                change_of(
                    s.metric,
                    "value",
                    (ALL, ALL, ""),
                    (was.value, was.low, was.high, was.n),
                    (s.value, s.low, s.high, s.n),
                    better=better,
                )
            )
    return tuple(made)


def _rates(before: Evidence, after: Evidence) -> tuple[Change, ...]:
    old = {(r.attribute, r.group, r.metric): r for r in before.fairness.rates}
    made = []
    for r in after.fairness.rates:
        was = old.get((r.attribute, r.group, r.metric))
        if was is not None and r.attribute != ALL:
            note = "small group" if "small group" in (r.status, was.status) else ""
            made.append(
                change_of(
                    r.metric,
                    "value",
                    (r.attribute, r.group, ""),
                    (was.value, was.low, was.high, was.n),
                    (r.value, r.low, r.high, r.n),
                    better="none",
                    note=note,
                )
            )
    return tuple(made)


def _importance(before: Evidence, after: Evidence) -> tuple[tuple[str, int, int], ...]:
    def places(evidence: Evidence) -> dict[str, int]:
        if not evidence.explanations:
            return {}
        top = evidence.explanations[0].importance[:TOP]
        return {one.label: place for place, one in enumerate(top, start=1)}

    old, new = places(before), places(after)
    if not old or not new:
        return ()
    return tuple((name, old.get(name, 0), new.get(name, 0)) for name in dict.fromkeys([*new, *old]))


def change_words(found: AuditChange) -> str:
    """The comparison in lines for people."""
    a, b = found.before, found.after
    lines = [
        f"{a.document_id} of {a.created[:10]} ({a.rows:,} rows) → "
        f"{b.document_id} of {b.created[:10]} ({b.rows:,} rows)",
        ", ".join(
            f"{'same' if same else 'another'} {what}"
            for what, same in (
                ("data", found.same_data),
                ("model", found.same_model),
                ("plan", found.same_plan),
            )
        ),
        "",
    ]
    for one in found.criteria:
        mark = "worse  " if one.worse else "       "
        lines.append(f"{mark}{one.words}")
        lines += [f"         {_line(c)}" for c in _worth_a_line(one.groups)]
    moved = [c for c in found.performance if c.direction in ("better", "worse")]
    lines += ["", "Performance: " + ("no clear change." if not moved else "")]
    lines += [f"         {_line(c)}" for c in moved]
    lines += ["", *found.notes]
    lines.append(
        "At least one promise is worse off." if found.worse else "No promise is worse off."
    )
    return "\n".join(lines)


def _worth_a_line(groups: Iterable[Change]) -> list[Change]:
    return [c for c in groups if c.change is not None][:6]


def _line(c: Change) -> str:
    in_points = c.compare == "difference"

    def value(v: float | None) -> str:
        return percent(v).removesuffix("%") if in_points else percent(v)

    who = f"{c.group}: " if c.group != ALL else f"{metric_words(c.metric)}: "
    change = f"change {percent(c.change).removesuffix('%')} points"
    if c.low is not None and c.high is not None:
        low, high = (percent(v).removesuffix("%") for v in (c.low, c.high))
        change += f" ({low} to {high})"
    return (
        f"{who}{value(c.before)} (n = {c.before_n:,}) → {value(c.after)} (n = {c.after_n:,}); "
        f"{change}, {c.direction}"
    )
