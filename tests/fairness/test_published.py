"""Published counts, and the definitions of other libraries by their formulas."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from hitl_audit.fairness.group_metrics import GroupMetrics, group_metrics

# ProPublica's COMPAS analysis, two years, all 7,214 defendants: true negatives, false
# positives, false negatives and true positives of "high risk" against "arrested again".
COMPAS = {
    "African-American": (990, 805, 532, 1369),
    "Caucasian": (1139, 349, 461, 505),
    "other": (552, 128, 223, 161),
}


@pytest.fixture(scope="module")
def compas() -> GroupMetrics:
    cells = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])
    counts = np.array(list(COMPAS.values()))
    rows = np.repeat(np.tile(cells, (3, 1)), counts.ravel(), axis=0)
    return group_metrics(
        rows[:, 0],
        rows[:, 1],
        sensitive_features={"race": np.repeat(list(COMPAS), counts.sum(1))},
        reference={"race": "Caucasian"},
        metrics=[
            "selection_rate",
            "true_positive_rate",
            "false_positive_rate",
            "false_negative_rate",
            "precision",
            "false_discovery_rate",
            "false_omission_rate",
            "count",
        ],
    )


def test_propublicas_error_rates(compas: GroupMetrics) -> None:
    rates = compas.by_group[["false_positive_rate", "false_negative_rate"]].mul(100).round(2)
    assert compas.counts.rows == 7214
    assert rates.index.tolist() == list(COMPAS)
    assert rates.to_numpy()[:2].tolist() == [[44.85, 27.99], [23.45, 47.72]]
    overall = {rate.metric: round(100 * (rate.value or 0), 2) for rate in compas.overall}
    assert (overall["false_positive_rate"], overall["false_negative_rate"]) == (32.35, 37.4)


def share(group: str, counted: tuple[int, ...], among: tuple[int, ...]) -> Fraction:
    cells = COMPAS[group]
    return Fraction(sum(cells[i] for i in counted), sum(cells[i] for i in among))


def compared(found: GroupMetrics, metric: str, compare: str, group: str) -> float:
    frame = found.comparison_frame()
    row = frame.query("metric == @metric and compare == @compare and group == @group")
    return float(row["value"].item())


@pytest.mark.parametrize("group", ["African-American", "other"])
def test_aif360s_definitions(compas: GroupMetrics, group: str) -> None:
    """Unprivileged against privileged; a ratio may exceed 1."""
    white = "Caucasian"
    chosen, positive, negative = ((1, 3), (0, 1, 2, 3)), ((3,), (2, 3)), ((1,), (0, 1))
    disparate_impact = share(group, *chosen) / share(white, *chosen)
    parity = share(group, *chosen) - share(white, *chosen)
    opportunity = share(group, *positive) - share(white, *positive)
    odds = (opportunity + share(group, *negative) - share(white, *negative)) / 2
    assert compared(compas, "selection_rate", "ratio", group) == float(disparate_impact)
    assert compared(compas, "selection_rate", "difference", group) == float(parity)
    tpr = compared(compas, "true_positive_rate", "difference", group)
    fpr = compared(compas, "false_positive_rate", "difference", group)
    assert tpr == float(opportunity)
    assert (tpr + fpr) / 2 == pytest.approx(float(odds), abs=1e-15)
    # Fairlearn's ratio is of the least to the most favored, whoever that is.
    black = compared(compas, "selection_rate", "ratio", "African-American")
    assert black > 1
    assert float(compas.ratio()["value"]["selection_rate"]) < 1


@pytest.mark.parametrize("group", ["African-American", "other"])
def test_aequitas_definitions(compas: GroupMetrics, group: str) -> None:
    """Disparity = metric of the group / metric of the reference."""
    for ours, counted, among in (
        ("selection_rate", (1, 3), (0, 1, 2, 3)),  # Aequitas' pprev
        ("precision", (3,), (1, 3)),
        ("false_discovery_rate", (1,), (1, 3)),  # fdr
        ("false_omission_rate", (2,), (0, 2)),  # for
        ("false_positive_rate", (1,), (0, 1)),  # fpr
        ("false_negative_rate", (2,), (2, 3)),  # fnr
    ):
        disparity = share(group, counted, among) / share("Caucasian", counted, among)
        assert compared(compas, ours, "ratio", group) == float(disparity)
    # Aequitas' ppr is a share of all positives and no selection rate.
    positives = {name: cells[1] + cells[3] for name, cells in COMPAS.items()}
    ppr = Fraction(positives[group], positives["Caucasian"])
    assert compared(compas, "selection_rate", "ratio", group) != pytest.approx(float(ppr), abs=0.05)
