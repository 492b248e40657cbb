"""The model card: Markdown with the metadata header that model hubs read.

The header follows the Hugging Face model card specification (``model-index``
with tasks, data sets and metrics); the text follows Mitchell et al. 2019,
*Model Cards for Model Reporting*. Every text of the plan or the data is escaped:
Markdown readers render HTML.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from hitl_audit.evidence import Evidence
from hitl_audit.findings import metric_words, percent
from hitl_audit.report.compose import SIMULATED, document_id
from hitl_audit.report.page_one import not_covered
from hitl_audit.report.views import decided_words
from hitl_audit.report.wording import (
    criterion_words,
    interval,
    interval_name,
    label,
    model_name,
    sentence,
    threshold_words,
    value_words,
    when,
)

__all__ = ["escaped", "model_card"]

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~$])")
TASK = "tabular-classification"


def escaped(text: str) -> str:
    """A text that Markdown shows as it is: no markup, no HTML, no new line."""
    plain = " ".join(text.split())
    plain = _SPECIAL.sub(r"\\\1", plain).replace("&", "&amp;").replace("\\<", "&lt;")
    plain = plain.replace("\\>", "&gt;")
    # What begins a line may be a list, a quotation or a rule.
    plain = re.sub(r"^([-=])", r"\\\1", plain)
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", plain)


def model_card(evidence: Evidence, *, generated: str) -> str:
    """The model card of the audited model.

    Args:
        evidence: as published.
        generated: when it is made, UTC text.
    """
    parts = [
        _header(evidence),
        f"# {escaped(model_name(evidence))}",
        _banner(evidence),
        "## Model details",
        _facts(
            (
                ("Model", model_name(evidence)),
                ("Kind", evidence.model.kind),
                ("Description", evidence.model.description),
                ("Owner", evidence.audit.owner),
                ("Decision", f"{evidence.audit.favorable_label} from {evidence.model.threshold:g}"),
                (f"Digest ({evidence.model.digest_of})", evidence.model.digest),
            )
        ),
        "## Intended use",
        sentence(escaped(evidence.audit.intended_use or "Not stated in the plan")),
        f"Purpose of the audit: {sentence(escaped(evidence.audit.purpose or 'not stated'))}",
        "## Out of scope",
        _points(not_covered(evidence)),
        "## Data",
        _facts(
            (
                ("Rows audited", f"{evidence.data.rows:,}"),
                ("Recorded favorable", f"{evidence.data.favorable_rows:,}"),
                ("Description", evidence.data.description),
                ("Protected attributes", ", ".join(w for _, w in evidence.data.sensitive)),
                ("Among the inputs", ", ".join(evidence.data.protected_inputs) or "none"),
                ("Digest", evidence.data.digest),
            )
        ),
        "## Performance",
        _table(
            ("Measure", "n", "Value", interval_name(evidence)),
            (
                (metric_words(s.metric), f"{s.n:,}", percent(s.value), interval(s.low, s.high))
                for s in evidence.performance.overall.scores
            ),
        ),
        "## Fairness",
        *_fairness(evidence),
        "## What was promised, and found",
        f"Decided by the interval, not the point estimate: {decided_words(evidence)}.",
        _findings(evidence),
        "## Explanations",
        _explanations(evidence),
        "## Human oversight",
        sentence(escaped(evidence.oversight.words)),
        "## Limitations",
        _points(
            (
                "The recorded outcome is what was decided or observed; where it is unfair, a model "
                "that agrees with it is unfair too.",
                "This card says which promises were met, not that a law is kept.",
            )
        ),
        "## Audit",
        _facts(
            (
                ("Document", document_id(evidence)),
                ("Evidence", evidence.digest),
                ("Plan", evidence.plan.digest),
                ("Plan registered", when(evidence.plan.registered_at)),
                ("Results", when(evidence.created)),
                ("Card made", when(generated)),
            )
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _header(evidence: Evidence) -> str:
    """YAML; values are JSON texts, which YAML reads as they are."""
    results = [
        {
            "task": {"type": TASK, "name": evidence.audit.decision},
            "dataset": {"name": evidence.audit.title, "type": "private"},
            "metrics": [
                {
                    "type": s.metric,
                    "name": metric_words(s.metric),
                    "value": s.value,
                    "args": {"n": s.n, "low": s.low, "high": s.high, "method": s.method},
                }
                for s in evidence.performance.overall.scores
                if s.value is not None
            ],
        }
    ]
    header: dict[str, Any] = {
        "language": ["en"],
        "tags": ["tabular", "audit", "fairness", "explainability"],
        "pipeline_tag": TASK,
        "metrics": [s.metric for s in evidence.performance.overall.scores],
        "model-index": [{"name": model_name(evidence), "results": results}],
    }
    lines = [f"{key}: {json.dumps(value, ensure_ascii=True)}" for key, value in header.items()]
    return "\n".join(["---", *lines, "---"])


def _banner(evidence: Evidence) -> str:
    return f"**{SIMULATED}**" if evidence.oversight.any_simulated else ""


def _facts(pairs: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"- **{escaped(k)}:** {escaped(v)}" for k, v in pairs if v)


def _points(texts: Iterable[str]) -> str:
    return "\n".join(f"- {escaped(text)}" for text in texts)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns)]
    body = [[escaped(cell) or " " for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in (*lines, *body))


def _fairness(evidence: Evidence) -> list[str]:
    parts = []
    for attribute in evidence.fairness.attributes:
        rows = [
            (r.group, metric_words(r.metric), f"{r.n:,}", percent(r.value), interval(r.low, r.high))
            for r in evidence.fairness.rates
            if r.attribute == attribute and r.metric != "count"
        ]
        parts += [
            f"### By {escaped(label(evidence, attribute).lower())}",
            _table(("Group", "Rate", "n", "Value", interval_name(evidence)), rows),
        ]
    return parts


def _findings(evidence: Evidence) -> str:
    rows = []
    for finding in evidence.findings:
        for verdict in finding.verdicts:
            c = verdict.comparison
            rows.append(
                (
                    f"{finding.id}. {criterion_words(evidence, finding)}",
                    "all rows" if not finding.criterion.by else c.group,
                    f"{c.count.total:,}",
                    threshold_words(finding),
                    value_words(c),
                    interval(c.low, c.high, points=c.compare == "difference"),
                    verdict.status.value,
                )
            )
    bound = interval_name(evidence)
    return _table(("Promise", "Group", "n", "Threshold", "Value", bound, "Decision"), rows)


def _explanations(evidence: Evidence) -> str:
    if not evidence.explanations:
        return "The plan asked for no explanations."
    record = evidence.explanations[0]
    return _table(
        ("Feature", "n", f"Mean size of the attribution ({record.scale})"),
        ((i.label, f"{i.n:,}", f"{i.mean_abs:.4f}") for i in record.importance[:10]),
    )
