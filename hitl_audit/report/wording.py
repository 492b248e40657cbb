"""Numbers, names and thresholds in the words of the document."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from hitl_audit.evidence import Evidence
from hitl_audit.findings import Comparison, Finding, metric_words, percent
from hitl_audit.groups import TIMES
from hitl_audit.intervals import Count
from hitl_audit.report.document import Points
from hitl_audit.report.tracing import told

__all__ = [
    "criterion_words",
    "in_a_row",
    "in_points",
    "in_words",
    "interval",
    "interval_name",
    "interval_numbers",
    "label",
    "metric_meaning",
    "model_name",
    "noted",
    "number",
    "p_words",
    "rate_words",
    "sentence",
    "small_number",
    "status_words",
    "threshold_words",
    "value_words",
    "when",
]


def model_name(evidence: Evidence) -> str:
    """Name and version of the model."""
    model = evidence.model
    return f"{model.name}, version {model.version}" if model.version else model.name


def when(utc: str, *, exact: bool = False) -> str:
    """``2026-11-23T07:26:28.250000Z`` → ``2026-11-23 07:26:28 UTC``; ``exact`` keeps ``.250``."""
    return f"{utc[:10]} {utc[11 : 23 if exact else 19]} UTC" if len(utc) > 19 else utc


def sentence(text: str) -> str:
    """A text with a capital and a full stop."""
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def label(evidence: Evidence, attribute: str) -> str:
    """Plain words for an attribute or a crossing of them, starting with a capital."""
    words = dict(evidence.data.sensitive)
    return TIMES.join(words.get(a, a) for a in attribute.split(TIMES))


def in_a_row(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else list(names))


def in_words(evidence: Evidence, text: str) -> str:
    """A text of the tool with the plan's words for columns like ``marital_status``.

    Names without an underscore are words already, and could be any other word too.
    """
    for column, words in (*evidence.data.sensitive, *evidence.data.features):
        if "_" in column and words != column:
            plain = (words[:1].lower() + words[1:]).replace("\\", r"\\")
            text = re.sub(rf"(?<!\w){re.escape(column)}(?!\w)", plain, text)
    return sentence(text)


def noted(evidence: Evidence, notes: Iterable[str]) -> Points:
    """Notes of a result as a list, in the plan's words."""
    return Points(tuple(in_words(evidence, note) for note in notes))


def interval_name(evidence: Evidence) -> str:
    """``95% interval``, with the plan's confidence."""
    return f"{evidence.plan.confidence:.0%} interval"


def interval(low: float | None, high: float | None, *, points: bool = False) -> str:
    """An interval of proportions, or of differences in points."""
    if low is None or high is None:
        return "–"
    if points:
        return f"{in_points(low)} to {in_points(high)} points"
    return f"{percent(low)} to {percent(high)}"


def interval_numbers(low: float | None, high: float | None) -> str:
    """An interval of plain numbers."""
    return "–" if low is None or high is None else f"{number(low)} to {number(high)}"


def in_points(value: float | None) -> str:
    """A difference in percentage points: ``−4.1``."""
    return "–" if value is None else percent(value).removesuffix("%")


def p_words(value: float | None) -> str:
    """A p value."""
    if value is None:
        return "–"
    return told("< 0.001", value) if value < 0.001 else f"{value:.3f}"


def number(value: float | None, digits: int = 3) -> str:
    """A plain number."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def small_number(value: float | None) -> str:
    """A number that may be far below one: ``1.2e-15``."""
    return f"{value:.1e}" if value is not None and 0 < abs(value) < 0.001 else number(value)


def status_words(status: str) -> str:
    """Why a number decides nothing, or nothing."""
    return "" if status == "ok" else status


def rate_words(count: Count) -> str:
    """The share that a count is."""
    return told(percent(count.rate), count.successes, count.total)


def threshold_words(finding: Finding) -> str:
    """What was promised."""
    criterion = finding.criterion
    if criterion.compare == "difference" and criterion.at_most is not None:
        within = told(f"{float(criterion.at_most) * 100:g}", criterion.at_most)
        return f"within ±{within} points"
    parts = []
    if criterion.at_least is not None:
        least = told(f"{float(criterion.at_least) * 100:g}", criterion.at_least)
        parts.append(f"at least {least}%")
    if criterion.at_most is not None:
        most = told(f"{float(criterion.at_most) * 100:g}", criterion.at_most)
        parts.append(f"at most {most}%")
    return ", ".join(parts)


def criterion_words(evidence: Evidence, finding: Finding) -> str:
    """What a promise is about."""
    criterion = finding.criterion
    kind = {"ratio": ", ratio", "difference": ", difference", "value": ""}[criterion.compare]
    by = TIMES.join(label(evidence, a).lower() for a in criterion.by)
    name = metric_words(criterion.metric).capitalize() + kind
    return f"{name}, by {by}" if by else f"{name}, all together"


def metric_meaning(evidence: Evidence, finding: Finding) -> str:
    """What the metric of a promise measures, for readers who do not know its name."""
    yes = f"“{evidence.audit.favorable_label}”"
    no = f"“{evidence.audit.unfavorable_label}”"
    meaning = {
        "selection_rate": f"How often the model decides {yes}",
        "true_positive_rate": f"How often it decides {yes} where {yes} is recorded",
        "false_positive_rate": f"How often it decides {yes} where {no} is recorded",
        "true_negative_rate": f"How often it decides {no} where {no} is recorded",
        "false_negative_rate": f"How often it decides {no} where {yes} is recorded",
        "accuracy": "How often its decision is the recorded one; deciding "
        f"{yes} always: {percent(evidence.data.favorable_rows / evidence.data.rows)}",
        "precision": f"How often {yes} is recorded where it decides {yes}",
    }[finding.criterion.metric]
    kind = {
        "ratio": ", as a share of the reference group's rate",
        "difference": ", compared with the reference group",
        "value": "",
    }
    return f"{meaning}{kind[finding.criterion.compare]}."


def value_words(comparison: Comparison) -> str:
    """The measured value in the unit of its promise."""
    if comparison.compare == "difference":
        return f"{in_points(comparison.value)} points"
    return percent(comparison.value)
