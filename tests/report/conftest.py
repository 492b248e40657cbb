"""A report that has everything that is hard to set."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from hitl_audit.charts import Chart, Series
from hitl_audit.report.document import (
    Facts,
    Figure,
    Heading,
    Note,
    Opinion,
    OpinionRow,
    Paragraph,
    Points,
    Report,
    Section,
    SignatureField,
    Table,
)

HOSTILE = r"#panic() *x* $ <b> @ref \\ </script><img src=x onerror=alert(1)> =1+1 `raw` {{7*7}} \n_"
DIGEST = "sha256:" + "9f86d081884c7d659a2feaa0c55ad015" * 2
ARABIC, HEBREW, CHINESE = "مرحبا بالعالم", "שלום עולם", "漢字の例"
LONG_WORD = "an_identifier_that_never_ends_" * 5 + "X" * 120


def _groups(count: int) -> tuple[str, ...]:
    return tuple(f"Group {i + 1:02d} · Native Hawaiian or Other Pac." for i in range(count))


def _interval_chart(count: int) -> Chart:
    names = _groups(count)
    values = tuple(None if i == 4 else 0.45 + 0.4 * math.sin(i) ** 2 for i in range(count))
    return Chart(
        kind="intervals",
        message=f"Approval rates differ among {count} groups; two groups have no value.",
        alt=f"Point and interval for {count} groups, from 45% to 85%.",
        value_label="Selection rate",
        series=(
            Series(
                "Model",
                names,
                values,
                low=tuple(None if v is None else v - 0.05 for v in values),
                high=tuple(None if v is None else min(v + 0.07, 1.0) for v in values),
                notes=tuple(f"n = {30 + 7 * i:,}" for i in range(count)),
            ),
        ),
        thresholds=((0.8, "four fifths of the best rate"),),
        percent=True,
    )


def _paired_chart() -> Chart:
    names = ("White", "Black", HOSTILE, HEBREW)
    return Chart(
        kind="intervals",
        message="People and model together decide closer to parity than the model alone.",
        alt="Two points with intervals for each of four groups.",
        value_label="True positive rate",
        series=(
            Series("Model alone", names, (0.9, 0.71, 0.8, 0.6), (0.88, 0.6, 0.7, 0.3), (0.92, 0.8, 0.9, 0.8), ("n = 811", "n = 97", "n = 44", "n = 9")),
            Series("_People & model", names, (0.89, 0.78, None, 0.7), (0.87, 0.7, None, 0.4), (0.91, 0.85, None, 0.9), ("n = 811", "n = 97", "n = 0", "n = 9")),
        ),
        thresholds=((0.8, "at least 80%"), (0.95, "target")),
        percent=True,
    )  # fmt: skip


def _bars_chart() -> Chart:
    names = (
        "Loan to value",
        "Credit history (consumer)",
        "Debt to income",
        "Unverified information",
        "Cosigner",
    )
    return Chart(
        kind="bars",
        message="Unverified information carries most of the gap between the groups.",
        alt="Signed bars of five features, from −0.08 to 0.04.",
        value_label="Contribution to the gap in approval rate",
        series=(Series("Contribution", names, (-0.031, -0.02, 0.004, -0.081, 0.042), (-0.04, -0.03, -0.003, -0.1, 0.01), (-0.02, -0.01, 0.01, -0.06, 0.07)),),
    )  # fmt: skip


def _roc_chart() -> Chart:
    x = tuple(i / 50 for i in range(51))
    curves = tuple(
        Series(
            name,
            x,
            tuple(v**power for v in x),
            low=tuple(max(0.0, v**power - 0.05) for v in x),
            high=tuple(min(1.0, v**power + 0.05) for v in x),
        )
        for name, power in (
            ("All applications", 0.25),
            ("Black applicants", 0.4),
            ("Hispanic", 0.35),
        )
    )
    return Chart(
        kind="lines",
        message="The model ranks applications of all groups well above chance.",
        alt="Three ROC curves above the diagonal.",
        value_label="True positive rate",
        x_label="False positive rate",
        series=curves,
        diagonal=True,
        value_range=(0.0, 1.0),
    )


def _calibration_chart() -> Chart:
    x = tuple(0.05 + i / 10 for i in range(10))
    return Chart(
        kind="lines",
        message="Scores between 40% and 60% are too optimistic.",
        alt="Observed rate against score for ten bins with intervals.",
        value_label="Observed approval rate",
        x_label="Mean score of the bin",
        series=(
            Series("Observed", x, (0.03, 0.1, 0.2, None, 0.3, 0.41, 0.6, 0.74, 0.86, 0.97), (0.0, 0.05, 0.1, None, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9), (0.1, 0.2, 0.3, None, 0.4, 0.5, 0.7, 0.8, 0.9, 1.0)),
            Series("Promised", x, x),
        ),
        thresholds=((0.5, "decision threshold"),),
        percent=True,
    )  # fmt: skip


def _numbers(caption: str, groups: tuple[str, ...]) -> Table:
    rows = tuple(
        (g, f"{30 + 7 * i:,}", f"{60 + i % 30}.{i % 10}%", f"{55 + i % 30}.0%", f"{65 + i % 30}.0%")
        for i, g in enumerate(groups)
    )
    return Table(
        caption=caption,
        columns=("Group", "n", "Rate", "Low", "High"),
        rows=rows,
        align=("left", "right", "right", "right", "right"),
    )


def build_sample() -> Report:
    summary = (
        Facts(
            pairs=(
                ("Model", "Gradient boosting on 23 features, version 2026-11"),
                ("Data", "Boston mortgage applications, 1,193 rows held out"),
                ("Data digest", DIGEST),
                ("Decision", "Approve at a probability of 50% or more"),
            ),
            code=frozenset({"Data digest"}),
        ),
        Opinion(
            rows=(
                OpinionRow("Approval ratio by race", "at least 0.80", "0.843", "0.811 to 0.880", "met", "Every group's interval lies above 0.80."),
                OpinionRow("Approval ratio by race and sex", "at least 0.80", "0.651", "0.562 to 0.744", "not met", "Black women are approved 0.65 times as often as white men."),
                OpinionRow("True positive rate by sex", "within ±0.10", "−0.071", "−0.180 to 0.040", "insufficient data", "About 420 more decisions on women would decide it."),
                OpinionRow("Human agreement", "at least 0.80", "–", "–", "not assessed", "No judgments recorded."),
            )
        ),
        Heading("Three things to know"),
        Points(
            (
                "The model approves fewer Black applicants than white ones with the same outcome.",
                "Unverified information carries most of that gap.",
                "Explanations of 11% of the cases are too unstable to be given as reasons.",
            ),
            numbered=True,
        ),
        Note("Applicants who never applied are not in the data; nothing here is about them."),
        Note("Simulated judgments: no person has looked at these cases.", tone="warning"),
    )  # fmt: skip
    sections = [
        Section(
            "scope",
            "Scope and intended use",
            (
                Paragraph(
                    "This part says what the model is for, on whom it was measured, and what was not "
                    "measured. " * 4
                ),
                Heading("What is not measured"),
                Points(("Applications that were withdrawn.", "Effects after the loan is granted.")),
                Paragraph(HOSTILE),
                Table("Hostile cells", ("Name " + HOSTILE, "Value"), ((HOSTILE, "1"), ("<b>&amp;</b>", "2")), ("left", "right")),
            ),
        ),
        Section(
            "plan",
            "The pre-registered plan",
            (
                Facts((("Plan digest", DIGEST), ("Registered", "23 November 2026, 07:26 UTC"), (LONG_WORD[:60], LONG_WORD)), frozenset({"Plan digest"})),
                Table(
                    "Criteria as they were promised",
                    ("Criterion", "By", "Threshold", "Decision", "Why"),
                    (
                        ("Approval ratio", "race", "≥ 0.80", "met", "Four fifths, as the policy of 2024 asks."),
                        ("Approval ratio", "race × sex", "≥ 0.80", "not met", "The same, for intersections; " + LONG_WORD),
                        ("True positive rate", "sex", "± 0.10", "insufficient data", "Equal opportunity."),
                        ("Agreement", "–", "≥ 0.80", "not assessed", "–"),
                    ),
                    ("left", "left", "left", "left", "left"),
                    tone_column=3,
                ),
            ),
        ),
        Section("performance", "Performance", (Figure(_roc_chart(), _numbers("Values of the ROC curves", _groups(6))), Figure(_calibration_chart(), _numbers("Values of the calibration curve", _groups(4))))),
        Section("fairness", "Fairness", (Paragraph("Rates by group, each with its interval."), Figure(_paired_chart(), _numbers("Rates of model and people", ("White", "Black", HOSTILE, HEBREW))), Figure(_interval_chart(6), _numbers("Rates of six groups", _groups(6))))),
        Section("groups", "Sixty groups", (Figure(_interval_chart(60), _numbers("Rates of sixty groups", _groups(60))),)),
        Section("gap", "What carries the gap", (Figure(_bars_chart(), _numbers("Contributions", _groups(5))),)),
        Section("empty", "An empty section", ()),
        Section("nothing", "Tables with nothing", (Table("Overrides by reviewers", ("Case", "Reviewer", "Reason"), (), ("left", "left", "left"), empty="No reviewer overrode a decision."), Opinion(rows=()))),
        Section("wide", "A wide table", (Table("Fourteen columns", tuple(f"Column number {i}" for i in range(14)), tuple(tuple(f"{i * j / 7:.3f}" for j in range(14)) for i in range(20)), ("right",) * 14),)),
        Section("scripts", "Scripts of the world", (Paragraph(f"Arabic {ARABIC}, Hebrew {HEBREW}, Greek Ωμέγα, Cyrillic Привет, accents Ťěšín."), Paragraph(f"{ARABIC} ({HEBREW}) 12,345."), Paragraph(f"Chinese {CHINESE}, emoji 😀, control \x07."), _numbers("Groups in many scripts", (ARABIC, HEBREW, CHINESE, "Ελληνικά", "Русский")))),
        Section("long", "A long table", (_numbers("Rates of one hundred and fifty groups", _groups(150)),)),
        Section(
            "signatures",
            "Signatures",
            (
                Paragraph("Signed in this order."),
                SignatureField("prepared", "Data scientist", "I prepared this document from the evidence attached to it."),
                SignatureField("attested", "Domain expert", "I judged the cases myself and stand by the judgments recorded."),
                SignatureField("approved", "Compliance officer", "I have read the document and approve its release.", locks=True),
            ),
        ),
    ]  # fmt: skip
    return Report(
        title="Mortgage approvals, Boston",
        subtitle="Explainability and fairness of the approval model, with human review",
        document_id="HA-2026-1123-7F3A",
        generated="23 November 2026, 07:40 UTC",
        summary=summary,
        sections=tuple(sections),
        banner="SIMULATED JUDGMENTS",
        language="en-GB",
        keywords=("fairness", "explainability"),
    )


@pytest.fixture(scope="session")
def sample() -> Report:
    return build_sample()


class Audited(NamedTuple):
    """A small audit with small groups, names and ids, and what it was made from."""

    audit: Any
    results: Any
    report: Any
    people: pd.DataFrame


def make_people(rows: int = 420) -> pd.DataFrame:
    """People with names; 6 of them live on the islands, 4 have no recorded sex."""
    rng = np.random.default_rng(11)
    income = rng.normal(50, 15, rows)
    sex = rng.choice(["female", "male"], rows).astype(object)
    sex[:4] = None
    region = rng.choice(["north", "south", "west"], rows, p=[0.5, 0.3, 0.2]).astype(object)
    region[10:16] = "islands"
    return pd.DataFrame(
        {
            "person": [f"Zxqv{i:04d} Quillfeather" for i in range(rows)],
            "email": [f"zxqv{i:04d}@mail.invalid" for i in range(rows)],
            "income": income,
            "debt": rng.normal(20, 8, rows),
            "sex": sex,
            "region": region,
            "good": (income + rng.normal(0, 15, rows) > 50).astype(int),
        }
    )


PLAN: dict[str, Any] = {
    "audit": {"title": "Small audit", "favorable_label": "grant", "unfavorable_label": "refuse"},
    "data": {
        "target": "good",
        "id": "person",
        "sensitive": ["sex", "region"],
        "features": ["income", "debt"],
        "excluded": {"email": "identifies a person"},
        "labels": {"income": "Income ($1000s)"},
    },
    "criteria": [
        {"metric": "selection_rate", "by": "sex", "at_least": 0.5, "reason": "a first bar"},
        {"metric": "selection_rate", "by": ["sex", "region"], "at_least": 0.8},
        {"metric": "true_positive_rate", "by": "region", "compare": "difference", "at_most": 0.1},
        {"metric": "accuracy", "compare": "value", "at_least": 0.6},
    ],
    "explain": {"lime_samples": 200, "background": 20},
    "review": {"cases": 12},
    "profiles": [
        {"id": "us-disparate-impact"},
        {"id": "nyc-ll144", "by": {"sex": "sex", "region": "race_ethnicity"}},
    ],
}


@pytest.fixture(scope="session")
def audited() -> Audited:
    from sklearn.linear_model import LogisticRegression

    from hitl_audit.audit import Audit
    from hitl_audit.plan import AuditPlan

    people = make_people()
    model = LogisticRegression().fit(people[["income", "debt"]], people["good"])
    at = [datetime(2026, 3, 2, 9, 0, tzinfo=UTC)]

    def clock() -> datetime:
        at[0] += timedelta(seconds=1)
        return at[0]

    plan = AuditPlan.from_dict(PLAN)
    audit = Audit(model, people, people["good"], plan=plan, ids=list(people["person"]), now=clock)
    results = audit.run(progress=False)
    return Audited(audit, results, audit.report(), people)
