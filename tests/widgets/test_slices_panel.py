"""The slices panel: what it shows of the errors, and the cohort that a click makes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

from hitl_audit.error_slices import error_branches, find_error_slices
from hitl_audit.errors import InputError
from hitl_audit.findings import percent
from hitl_audit.widgets.cohort import Cohort
from hitl_audit.widgets.slices_panel import SlicesPanel
from hitl_audit.widgets.slices_words import SlicesSetting

HOSTILE = "<img src=x onerror=alert(1)>"
LABELS = {"ratio": "Debt ratio", "owner": HOSTILE}


def setting(rows: int = 3000, *, losses: bool = False) -> SlicesSetting:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "ratio": rng.normal(33, 6, rows).round(1),
            "owner": rng.choice(["yes", "no"], rows),
            "term": np.where(rng.random(rows) < 0.15, np.nan, rng.integers(10, 31, rows)),
        },
        index=[f"C{i}" for i in range(rows)],
    )
    hot = (X["ratio"] > 37) & (X["owner"] == "yes")
    wrong = (rng.random(rows) < np.where(hot, 0.5, 0.08)).astype(np.int64)
    truth = rng.integers(0, 2, rows)
    who = pd.DataFrame(
        {"race": rng.choice(["asian", "black", "white"], rows, p=[0.005, 0.295, 0.7])},
        index=X.index,
    )
    errors = wrong * 2.5 + rng.random(rows) if losses else wrong
    return SlicesSetting(
        found=find_error_slices(X, errors, labels=LABELS),
        branches=error_branches(X, errors, labels=LABELS),
        table=X,
        y_true=truth,
        y_pred=np.where(wrong, 1 - truth, truth),
        sensitive=who,
        labels={"race": "Race"},
        decisions=("Approve", "Deny"),
    )


class Said:
    """A panel, and what it said to the page; everything must be JSON."""

    def __init__(self, about: SlicesSetting, min_group: int = 30) -> None:
        self.cohort = Cohort(about.table, min_group=min_group)
        self.widget = SlicesPanel(about, self.cohort)
        self.heard: list[dict[str, Any]] = []
        self.widget.send = lambda content, buffers=None: self.heard.append(
            json.loads(json.dumps(content, allow_nan=False))
        )

    def ask(self, act: str, **more: Any) -> list[dict[str, Any]]:
        self.heard.clear()
        self.widget.receive({"kind": "slices", "serial": 7, "act": act, **more})
        return list(self.heard)

    def shown(self, act: str, **more: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.ask(act, **more)[-1]["shown"]
        return found


@pytest.fixture(scope="module")
def about() -> SlicesSetting:
    return setting()


@pytest.fixture
def panel(about: SlicesSetting) -> Said:
    return Said(about)


def test_slices_and_tree_are_those_that_were_found(panel: Said, about: SlicesSetting) -> None:
    schema, answer = panel.ask("open")
    found, told = about.found, schema["schema"]
    assert [row["id"] for row in told["slices"]] == [one.id for one in found.slices]
    for row, one in zip(told["slices"], found.slices, strict=True):
        assert row["group"] == one.words
        assert row["words"] == percent(one.value)
        assert row["span"] == f"{percent(one.low)} to {percent(one.high)}"
        assert row["n"] == f"n = {one.n:,}"
    assert any(row["chip"]["words"] == "confirmed" for row in told["slices"])
    nodes = {f"T{node.id}": node for node in found.tree}
    assert {row["id"] for row in told["tree"]} == set(nodes)
    p_values = [b.p_value for b in about.branches if b.p_value is not None]
    adjusted = false_discovery_control(p_values, method="bh")
    tested = {
        f"T{b.node.id}": p
        for b, p in zip([b for b in about.branches if b.p_value is not None], adjusted, strict=True)
    }
    read: list[str] = []
    for row in told["tree"]:
        node = nodes[row["id"]]
        assert row["level"] == node.depth + 1
        assert row["parent"] == ("" if node.parent < 0 else f"T{node.parent}")
        assert not row["parent"] or row["parent"] in read  # parents are read first
        assert row["words"] == percent(node.value)
        p = tested.get(row["id"])
        expected = "" if p is None or row["small"] else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
        assert row["p"].removeprefix("adjusted ") == expected
        read.append(row["id"])
    assert answer["shown"]["name"] == ""
    assert answer["shown"]["size"] == "3,000 of 3,000 cases (100.0%)"


def test_a_slice_that_is_clicked_is_the_cohort(panel: Said, about: SlicesSetting) -> None:
    heard: list[str] = []
    panel.cohort.observe(lambda _: heard.append(panel.cohort.name), "revision")
    one = about.found.slices[0]
    shown = panel.shown("choose", id=one.id)
    assert heard == [one.words]
    members = one.holds(about.table)
    assert (panel.cohort.members == members).all()
    assert panel.cohort.conditions == tuple(c.words for c in one.conditions)
    half = f"{percent(one.value)} ({percent(one.low)} to {percent(one.high)}, n = {one.n:,})"
    assert panel.cohort.note == shown["note"]
    assert shown["note"].endswith(f"in the other half the error rate is {half}, {one.status}.")
    assert len(panel.cohort.frame()) == members.sum()
    assert shown["chosen"] == one.id
    wrong = about.y_true != about.y_pred
    n = int(members.sum())
    assert shown["size"] == f"{n:,} of 3,000 cases ({percent(n / 3000)})"
    assert f"Wrong in {int(wrong[members].sum()):,} cases" in shown["errors"]
    assert f"all other cases {percent(float(wrong[~members].mean()))}" in shown["errors"]
    given = int((wrong & (about.y_pred == 1))[members].sum())
    assert f"Wrongly “Approve”: {given:,};" in shown["errors"]
    (who,) = shown["who"]
    assert who["title"] == "Race"
    for row in who["rows"]:
        inside = about.sensitive["race"] == row["group"]
        assert row["words"] == percent(float(inside[members].mean()))
        assert row["span"] == f"everybody {percent(float(inside.mean()))}"


def test_a_node_that_is_clicked_is_the_cohort(panel: Said, about: SlicesSetting) -> None:
    deep = max(about.branches, key=lambda branch: branch.node.depth)
    shown = panel.shown("choose", id=f"T{deep.node.id}")
    assert shown["chosen"] == f"T{deep.node.id}"
    assert len(shown["conditions"]) == deep.node.depth
    inside = np.ones(3000, dtype=bool)
    for condition, met in deep.steps:
        inside &= condition.holds(about.table[condition.feature]) == met
    assert (panel.cohort.members == inside).all()
    assert panel.shown("choose", id="T0")["name"] == ""  # the root is everybody
    assert not panel.cohort.chosen


def test_everybody_again(panel: Said, about: SlicesSetting) -> None:
    panel.shown("choose", id=about.found.slices[0].id)
    shown = panel.shown("clear")
    assert (shown["name"], shown["chosen"], shown["who"]) == ("", "", [])
    assert not panel.cohort.chosen


def test_what_somebody_else_chose_is_shown_and_nothing_is_marked(
    panel: Said, about: SlicesSetting
) -> None:
    panel.shown("choose", id=about.found.slices[0].id)
    panel.heard.clear()
    panel.cohort.choose("By hand", ["C1", "C2"])
    (told,) = panel.heard
    assert (told["shown"]["name"], told["shown"]["chosen"]) == ("By hand", "")


def test_small_cohorts_say_insufficient_data_and_nothing_else(about: SlicesSetting) -> None:
    panel = Said(about, min_group=2000)
    told = panel.ask("open")[0]["schema"]
    assert all(row["chip"]["words"] == "insufficient data" for row in told["slices"])
    shown = panel.shown("choose", id=about.found.slices[0].id)
    assert shown["small"]
    assert shown["few"] == "insufficient data: fewer than 2000 cases"
    assert shown["errors"] == ""
    assert shown["who"] == []


def test_losses_are_numbers_not_percent() -> None:
    told = Said(setting(losses=True)).ask("open")[0]["schema"]
    assert told["kind"] == "mean loss"
    assert told["slices"]
    assert not any("%" in row["words"] for row in (*told["slices"], *told["tree"]))


@pytest.mark.parametrize("id", ["S99", "T99", "T", 3, None])
def test_what_is_not_there_cannot_be_chosen(panel: Said, id: Any) -> None:
    heard = panel.ask("choose", id=id)
    assert [m["about"] for m in heard] == ["refused", "answer"]
    assert "expected a slice or a node" in heard[0]["words"]
    assert not panel.cohort.chosen


def test_other_messages(panel: Said) -> None:
    assert panel.ask("fly")[0]["words"] == "got 'fly' from the page"
    panel.heard.clear()
    panel.widget.receive({"kind": "fairness", "serial": 1, "act": "open"})
    assert panel.heard == []


def test_the_cohort_must_be_of_the_same_cases(about: SlicesSetting) -> None:
    with pytest.raises(InputError, match="expected the same cases"):
        SlicesPanel(about, Cohort(about.table.head(5)))
