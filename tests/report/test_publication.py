"""What leaves the house tells nothing about a few people."""

from __future__ import annotations

import itertools
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_audit.groups import ALL, TIMES, UNKNOWN
from hitl_audit.publication import Publication, _Hidden, hidden_cells, publish

MINIMUM = 10
Sizes = dict[tuple[str, ...], int]


def test_a_small_group_takes_the_next_smallest_with_it() -> None:
    sizes: Sizes = {("a",): 300, ("b",): 40, ("c",): 25, ("d",): 4}
    found = hidden_cells(["x"], sizes, MINIMUM)
    assert found == {
        ("d",): "fewer than 10 people",
        ("c",): "with the totals it would give a smaller group away",
    }


def test_two_small_groups_that_are_enough_together_protect_each_other() -> None:
    sizes: Sizes = {("a",): 300, ("b",): 40, ("c",): 6, ("d",): 4}
    assert set(hidden_cells(["x"], sizes, MINIMUM)) == {("c",), ("d",)}
    sizes = {("a",): 300, ("b",): 40, ("c",): 5, ("d",): 4}
    assert set(hidden_cells(["x"], sizes, MINIMUM)) == {("b",), ("c",), ("d",)}


def test_the_unknown_need_no_company() -> None:
    sizes: Sizes = {("a",): 300, ("b",): 40, (UNKNOWN,): 2}
    assert set(hidden_cells(["x"], sizes, MINIMUM)) == {(UNKNOWN,)}
    # But they are the first to protect others.
    sizes = {("a",): 300, ("b",): 4, (UNKNOWN,): 22}
    assert set(hidden_cells(["x"], sizes, MINIMUM)) == {("b",), (UNKNOWN,)}


def test_exactly_the_minimum_is_published() -> None:
    assert hidden_cells(["x"], {("a",): 10, ("b",): 90}, MINIMUM) == {}
    assert hidden_cells(["x"], {("a",): 1, ("b",): 90}, 1) == {}


def test_no_line_of_a_crossing_gives_a_cell_away() -> None:
    # By its row, (b, f) would be 40 − 36; by its column 150 − 146; both lines need another.
    sizes: Sizes = {("a", "f"): 146, ("a", "m"): 200, ("b", "f"): 4, ("b", "m"): 36}
    assert set(hidden_cells(["x", "y"], sizes, MINIMUM)) == set(sizes)
    sizes |= {("c", "f"): 90, ("c", "m"): 80}
    found = hidden_cells(["x", "y"], sizes, MINIMUM)
    assert set(found) == {("b", "f"), ("b", "m"), ("c", "f"), ("c", "m")}


TABLES = st.dictionaries(
    st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz")), st.integers(1, 60), min_size=2
)


@given(TABLES, st.integers(1, 25))
def test_in_every_line_nothing_or_enough_is_hidden(
    sizes: dict[tuple[str, ...], int], minimum: int
) -> None:
    hidden = hidden_cells(["p", "q"], sizes, minimum)
    assert {cell for cell, n in sizes.items() if n < minimum} <= set(hidden)
    for place, value in [(None, ""), *itertools.product((0, 1), "abcdxyz")]:
        line = [c for c in sizes if place is None or c[place] == value]
        out = [c for c in line if c in hidden]
        if out and len(out) < len(line):
            assert len(out) >= 2
            assert sum(sizes[c] for c in out) >= minimum


def _rates(evidence: Any) -> dict[tuple[str, str, str], Any]:
    return {(r.metric, r.attribute, r.group): r for r in evidence.fairness.rates}


def test_subtraction_finds_no_small_group(audited: Any) -> None:
    """An attacker takes the published groups off every published total."""
    evidence = audited.results.evidence
    published = publish(evidence)
    shown, everything = _rates(published), _rates(evidence)
    small = {g for (m, a, g), r in everything.items() if m == "selection_rate" and r.n < MINIMUM}
    assert any("islands" in group for group in small)
    attributes = {a for _, a, _ in everything} - {ALL}
    total = shown["selection_rate", ALL, ALL].n
    for attribute in attributes:
        groups = {
            g: r.n for (m, a, g), r in shown.items() if (m, a) == ("selection_rate", attribute)
        }
        missing = total - sum(groups.values())
        lost = {
            g
            for (m, a, g) in everything
            if (m, a) == ("selection_rate", attribute) and g not in groups
        }
        known = {g for g in lost if UNKNOWN not in g.split(TIMES)}
        assert not known or (missing >= MINIMUM and len(lost) >= 2)
    # By the rows and columns of the crossing too.
    for value, margin in (("north", "region"), ("female", "sex"), ("islands", "region")):
        whole = shown.get(("selection_rate", margin, value))
        if whole is None:
            continue
        parts = [
            r.n
            for (m, a, g), r in shown.items()
            if m == "selection_rate" and TIMES in a and value in g.split(TIMES)
        ]
        rest = whole.n - sum(parts)
        gone = [
            g
            for (m, a, g) in everything
            if m == "selection_rate"
            and TIMES in a
            and value in g.split(TIMES)
            and (m, a, g) not in shown
            and UNKNOWN not in g.split(TIMES)
        ]
        assert not gone or rest >= MINIMUM


def test_hidden_groups_are_named_and_nowhere_counted(audited: Any) -> None:
    published = publish(audited.results.evidence)
    tree = json.loads(published.to_bytes())
    assert published.publication is not None
    hidden = {(a, g) for a, g, _ in published.publication.left_out}
    assert ("region", "islands") in hidden
    assert all(why for _, _, why in published.publication.left_out)

    def groups(value: Any, attribute: str = "") -> set[tuple[str, str]]:
        if isinstance(value, dict):
            attribute = value.get("attribute", attribute)
            here = {
                (attribute, value[n])
                for n in ("group", "reference", "highest", "lowest", "to")
                if isinstance(value.get(n), str)
            }
            return here.union(*(groups(v, attribute) for v in value.values()), set())
        if isinstance(value, list):
            return set().union(*(groups(v, attribute) for v in value))
        return set()

    assert not groups(tree) & hidden
    assert tree["fairness"]["counts"]["table"] == []
    gaps = [g for g in published.gaps if g.attribute == "region"]
    assert gaps
    assert all(g.value is None for g in gaps)
    tables = [t for p in published.analyses.profiles for t in p.tables.tables]
    assert all(row.n >= MINIMUM for t in tables for row in t.rows)


def test_decisions_are_those_of_all_groups(audited: Any) -> None:
    evidence = audited.results.evidence
    assert [f.status for f in publish(evidence).findings] == [f.status for f in evidence.findings]


def test_the_plan_can_allow_more(audited: Any) -> None:
    evidence = audited.results.evidence
    open_ = publish(evidence, Publication(minimum_group=1, reviewer_names=True))
    assert replace(open_, publication=None) == evidence
    assert open_.publication is not None
    assert open_.publication.reviewer_names
    assert open_.publication.left_out == ()


def test_publishing_twice_changes_nothing(audited: Any) -> None:
    once = publish(audited.results.evidence)
    assert publish(once) == once
    assert publish(once, Publication(minimum_group=3)) == once


@pytest.mark.parametrize("minimum", [0, -4])
def test_a_minimum_below_one_is_one(audited: Any, minimum: int) -> None:
    made = publish(audited.results.evidence, Publication(minimum_group=minimum))
    assert made.publication is not None
    assert made.publication.minimum_group == 1


def _everything(report: Any, folder: Path) -> dict[str, bytes]:
    """Every file of a report, the PDF with its streams unpacked and its text."""
    report.save(folder)
    found = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    unpacked = folder / "unpacked.pdf"
    subprocess.run(
        ["qpdf", "--qdf", "--object-streams=disable", folder / "report.pdf", unpacked], check=True
    )
    found["unpacked.pdf"] = unpacked.read_bytes()
    text = subprocess.run(
        ["pdftotext", folder / "report.pdf", "-"], check=True, capture_output=True
    )
    found["text"] = text.stdout
    return found


def test_no_value_of_an_identifying_column_is_in_any_file(audited: Any, tmp_path: Path) -> None:
    files = _everything(audited.report, tmp_path)
    assert len(files) >= 8
    for column in ("person", "email"):
        values = [str(v).encode() for v in audited.people[column]]
        assert len(set(values)) == len(values)
        for name, data in files.items():
            found = [v for v in values if v in data]
            assert found == [], (name, column)
    # A part of a name is not there either, in any case.
    for name, data in files.items():
        assert b"zxqv" not in data.lower(), name
    # The check reads what is there: a group that may be published is found.
    assert b"north" in files["text"]
    assert b"north" in files["evidence.json"]


def test_no_row_of_a_person_is_in_any_file(audited: Any, tmp_path: Path) -> None:
    """Incomes have 15 digits here: one of them in a file is a row of a person."""
    files = _everything(audited.report, tmp_path)
    incomes = [repr(v)[:12].encode() for v in audited.people["income"]]
    for name, data in files.items():
        assert [v for v in incomes if v in data] == [], name


@pytest.mark.parametrize(
    ("attribute", "group", "is_hidden"),
    [
        ("region", "islands", True),
        ("", "region: islands", True),
        ("", "region: south − islands", True),
        ("", "region: islands − south", True),
        ("", "region: south", False),
        ("", "sex: islands", False),
        ("sex", "islands", False),
        ("region", None, False),
    ],
)
def test_a_hidden_group_is_known_as_oversight_writes_it(
    attribute: str, group: str | None, is_hidden: bool
) -> None:
    hidden = _Hidden({"region": {"islands": "fewer than 10 people"}}, 10)
    assert hidden.has(attribute, group) is is_hidden
