"""What the command line says in plain words."""

from __future__ import annotations

import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from hitl_audit.findings import Status, percent
from hitl_audit.groups import TIMES, UNKNOWN

if TYPE_CHECKING:
    from hitl_audit.demo import Demonstration
    from hitl_audit.evidence import Evidence

__all__ = ["demonstration_words", "findings_words"]

WIDTH = 92
MARKS = {
    Status.MET: "✓ met",
    Status.NOT_MET: "✕ not met",
    Status.INSUFFICIENT: "? insufficient data",
    Status.NOT_ASSESSED: "– not assessed",
}


def _paragraph(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def _program() -> str:
    """How this program was called, so that the next line can be typed as it stands."""
    called = Path(sys.argv[0])
    found = shutil.which(called.name)
    return called.name if found and Path(found).samefile(called) else str(called)


def findings_words(evidence: Evidence) -> str:
    """Every finding with its decision and the reason."""
    lines = []
    for finding in evidence.findings:
        lines.append(f"{finding.id}  {MARKS[finding.status]}")
        lines.append(_paragraph(finding.words, "    "))
        open_ = [
            v for v in finding.verdicts if v.status is not Status.MET and v.words != finding.words
        ]
        lines += [_paragraph(f"· {v.words}", "      ") for v in open_[:3]]
        if len(open_) > 3:
            lines.append(f"      · and {len(open_) - 3} more groups; see the document")
    if not lines:
        lines.append("The plan names no criteria, so nothing was decided.")
    lines += [_paragraph(note) for note in evidence.data.notes if note.startswith("The last run")]
    return "\n".join(lines)


def history_words(evidence: Evidence) -> str:
    """How people decided before the model, group by group."""
    if evidence.history is None:
        return ""
    decisions = evidence.history.decisions
    attribute = decisions.attributes[0]
    parts = [
        f"{c.group} applicants at {percent(c.value)} of the rate of {c.reference} "
        f"({percent(c.low)} to {percent(c.high)}, n = {c.count.total:,})"
        for c in decisions.comparisons("selection_rate", attribute, "ratio")
        if UNKNOWN not in c.group.split(TIMES)
    ]
    return (
        f"How people decided: over all {evidence.history.rows:,} applications they approved "
        + "; ".join(parts)
        + "."
    )


def demonstration_words(made: Demonstration) -> str:
    """What the demonstration found, what it is worth, and what to open next."""
    evidence = made.results.evidence
    checked = made.verification
    lines = [
        f"{evidence.audit.title}: {evidence.data.rows:,} real applications, unseen by the model",
        "",
        _paragraph(history_words(evidence)),
        "",
        "What was promised beforehand, and what the model's decisions show:",
        "",
        findings_words(evidence),
        "",
        _paragraph(f"Human oversight: {made.oversight.words}."),
        "",
        f"Verified: {checked.headline}.",
        _paragraph(
            "The document is signed with a key that was made for this demonstration and thrown "
            "away. That proves that nothing changed since; it proves nobody's identity. The places "
            f"of {' and '.join(checked.open_roles)} are open."
        ),
        "",
        "Open next:",
        f"  {made.folder / 'report.pdf'}     the document (start with page one)",
        f"  {made.folder / 'report.html'}    the same in a browser, with charts to explore",
        "  make notebook                   the same audit in JupyterLab, and cases to judge",
        f"  {_program()} verify {made.folder}    check the document yourself",
    ]
    return "\n".join(lines)
