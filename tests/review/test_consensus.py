"""Consensus by hand-counted votes, by brute force, and against a known truth."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_audit.canonical import canonical_bytes
from hitl_audit.errors import InputError
from hitl_audit.intervals import Count, wilson
from hitl_audit.review.consensus import METHODS, consensus
from hitl_audit.review.dawid_skene import fit_dawid_skene

OWN = "consensus by the model, own vote included"

VOTES = pd.DataFrame(
    [
        ["yes", "yes", "yes", "no"],
        ["yes", "yes", "no", "no"],
        ["yes", "yes", "no", "maybe"],
        ["no", "no", "no", "no"],
        ["no", None, None, None],
        [None, None, None, None],
    ],
    columns=["Ann", "Bo", "Cy", "Di"],
    index=["u1", "u2", "u3", "u4", "u5", "u6"],
)


@pytest.mark.parametrize(
    ("method", "labels", "outcomes"),
    [
        (
            "majority",
            ["yes", None, None, "no", "no", None],
            ["decided", "tie", "no majority", "decided", "decided", "no votes"],
        ),
        (
            "plurality",
            ["yes", None, "yes", "no", "no", None],
            ["decided", "tie", "decided", "decided", "decided", "no votes"],
        ),
        (
            "unanimous",
            [None, None, None, "no", "no", None],
            ["not unanimous"] * 3 + ["decided"] * 2 + ["no votes"],
        ),
    ],
)
def test_votes_decide(method: str, labels: list[Any], outcomes: list[str]) -> None:
    found = consensus(VOTES, method=method)
    assert [unit.label for unit in found.units] == labels
    assert [unit.outcome for unit in found.units] == outcomes
    assert found.frame()["label"].tolist() == labels


@pytest.mark.parametrize(
    ("ties", "label", "resolved"),
    [("none", None, "nobody"), ("adjudicate", None, "adjudication"), ("no", "no", "tie rule")],
)
def test_the_tie_rule_is_followed_and_said(ties: str, label: str | None, resolved: str) -> None:
    found = consensus(VOTES, ties=ties)
    for unit in found.units[1:3]:
        assert (unit.label, unit.resolved_by) == (label, resolved)
    assert found.units[0].resolved_by == "votes"
    # Where nobody voted there is nothing to break.
    assert (found.units[5].label, found.units[5].resolved_by) == (None, "nobody")
    said = {"none": "2 without a label", "adjudicate": "2 left to adjudication"}
    assert said.get(ties, "2 decided by the tie rule") in found.words
    assert found.words.startswith("majority: 3 of 5 units with votes decided, 1 of them against")
    assert "1 rest on a single vote" in found.words


def test_votes_and_dissent_are_kept() -> None:
    found = consensus(VOTES)
    first, second, third = found.units[:3]
    assert first.dissent == (("Di", "no"),)
    assert first.votes == (("no", 1), ("yes", 3))
    assert first.share == 0.75
    assert (first.low, first.high) == wilson(Count(3, 4))
    assert first.entropy == pytest.approx(-(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)))
    assert second.dissent == (("Ann", "yes"), ("Bo", "yes"), ("Cy", "no"), ("Di", "no"))
    assert second.entropy == 1
    assert (third.n_votes, third.share) == (4, 0.5)
    assert found.units[5].share is None
    frame = found.frame()
    assert frame["dissent"][0] == "Di: no"
    for name in VOTES:
        kept = frame[f"vote: {name}"].tolist()
        assert kept == [None if pd.isna(vote) else vote for vote in VOTES[name]]


def crowd(
    seed: int, n: int = 300, accuracies: tuple[float, ...] = (0.95, 0.85, 0.7, 0.6, 0.55)
) -> tuple[pd.DataFrame, pd.Series[Any]]:
    rng = np.random.default_rng(seed)
    truth = rng.choice(["approve", "deny"], n, p=[0.8, 0.2])
    other = np.where(truth == "approve", "deny", "approve")
    right = rng.random((n, len(accuracies))) < accuracies
    answers = np.where(right, truth[:, None], other[:, None]).astype(object)
    answers[rng.random(answers.shape) < 0.2] = None
    units = [f"case {i}" for i in range(n)]
    frame = pd.DataFrame(answers, index=units, columns=[f"r{j}" for j in range(len(accuracies))])
    return frame, pd.Series(truth, index=units)


def by_reviewer(table: pd.DataFrame, against: str) -> dict[str, dict[str, Any]]:
    rows: list[dict[Any, Any]] = table.to_dict("records")
    return {row["reviewer"]: row for row in rows if row["against"] == against}


def test_reviewers_against_the_truth() -> None:
    ratings, truth = crowd(0)
    found = consensus(ratings, truth=truth)
    table = by_reviewer(found.reviewers(), "truth")
    gold = truth.tolist()
    for name in found.raters:
        pairs = [(t, a) for t, a in zip(gold, ratings[name], strict=True) if not pd.isna(a)]
        matching = sum(t == a for t, a in pairs)
        assert table[name]["n"] == len(pairs)
        assert table[name]["value"] == pytest.approx(matching / len(pairs))
        interval = wilson(Count(matching, len(pairs)))
        assert (table[name]["low"], table[name]["high"]) == pytest.approx(interval, abs=1e-5)
        for row in found.confusion(name).query("against == 'truth'").to_dict("records"):
            of_reference = [a for t, a in pairs if t == row["reference"]]
            assert row["count"] == of_reference.count(row["answer"])
            assert row["n"] == len(of_reference)
            assert row["value"] == pytest.approx(row["count"] / row["n"])
            assert row["low"] <= row["value"] <= row["high"]
    labels = [(unit.label, t) for unit, t in zip(found.units, gold, strict=True) if unit.label]
    assert found.accuracy is not None
    assert found.accuracy.n == len(labels)
    assert found.accuracy.value == pytest.approx(np.mean([label == t for label, t in labels]))
    assert f"matches the truth in {found.accuracy.value:.1%}" in found.words


@pytest.mark.parametrize("method", ["majority", "plurality", "unanimous"])
def test_reviewers_against_the_others_without_their_own_vote(method: str) -> None:
    ratings, _ = crowd(1, n=80)
    found = consensus(ratings, method=method)
    assert {a.against for a in found.accuracies} == {"consensus of the others"}
    table = by_reviewer(found.reviewers(), "consensus of the others")
    rows = [[None if pd.isna(vote) else vote for vote in row] for row in ratings.to_numpy()]
    for j, name in enumerate(found.raters):
        matching = total = 0
        for row in rows:
            others = [vote for i, vote in enumerate(row) if i != j and vote is not None]
            counted = Counter(others).most_common()
            if row[j] is None or not counted:
                continue
            label, most = counted[0]
            decides = {
                "majority": 2 * most > len(others),
                "plurality": len(counted) == 1 or counted[1][1] < most,
                "unanimous": most == len(others),
            }
            if decides[method]:
                total += 1
                matching += row[j] == label
        assert table[name]["n"] == total
        assert table[name]["value"] == pytest.approx(matching / total)


def test_the_model_weighs_reviewers() -> None:
    ratings, truth = crowd(2, n=1000)
    votes, model = (consensus(ratings, method=m, truth=truth) for m in ("plurality", "dawid_skene"))
    assert votes.accuracy is not None
    assert model.accuracy is not None
    right = [
        sum(unit.label == truth[unit.unit] for unit in found.units) for found in (votes, model)
    ]
    assert right[1] > right[0]
    codes = ratings.map({"approve": 0, "deny": 1}.get).fillna(-1).to_numpy(dtype=np.int64)
    fit = fit_dawid_skene(codes, 2)
    assert model.fit is not None
    assert dict(model.fit.prevalence)["deny"] == pytest.approx(fit.prevalence[1])
    for unit, posterior in zip(model.units, fit.posterior, strict=True):
        assert dict(unit.posterior) == pytest.approx(
            dict(zip(["approve", "deny"], posterior, strict=True))
        )
        if unit.n_votes:
            assert unit.label == ["approve", "deny"][int(posterior.argmax())]
    assert {a.against for a in model.accuracies} == {OWN, "truth"}
    rows = by_reviewer(model.reviewers(), OWN)
    for name, rating, confusion in zip(model.raters, codes.T, fit.confusion, strict=True):
        there = rating >= 0
        expected = fit.posterior[there, rating[there]].mean()
        assert rows[name]["value"] == pytest.approx(expected)
        assert rows[name]["low"] < expected < rows[name]["high"]
        ours = model.confusion(name).query("against != 'truth'")
        assert ours["value"].to_numpy().reshape(2, 2) == pytest.approx(confusion)
        assert ours["count"].sum() == pytest.approx(there.sum())
    assert "The model converged after" in model.words
    columns = model.frame().columns
    assert {"posterior: approve", "posterior: deny"} <= set(columns)


TOO_LITTLE = {
    "two reviewers": (crowd(3)[0][["r0", "r1"]], "at least 3 reviewers, and 2 answered"),
    "few units": (crowd(3)[0].iloc[:8], "at least 10 units with two votes, and there are 8"),
}


@pytest.mark.parametrize("case", TOO_LITTLE)
def test_too_little_for_the_model_is_said(case: str) -> None:
    ratings, why = TOO_LITTLE[case]
    found = consensus(ratings, method="dawid_skene", ties="approve")
    assert found.status == "insufficient data"
    assert why in found.words
    assert found.fit is None
    for unit in found.units:
        assert unit.label is None
        assert unit.outcome in ("insufficient data", "no votes")
        assert len(unit.dissent) == unit.n_votes
    assert canonical_bytes(found)


def test_nobody_voted() -> None:
    for method in METHODS:
        found = consensus(pd.DataFrame({"a": [None], "b": [None]}), method=method)
        assert found.status == "insufficient data"
        assert found.units[0].outcome == "no votes"
        empty = consensus(pd.DataFrame({"a": []}), method=method)
        assert len(empty.frame()) == 0


def test_few_answers_give_no_rate() -> None:
    ratings, truth = crowd(4, n=9)
    found = consensus(ratings, truth=truth)
    assert set(found.reviewers()["status"]) == {"insufficient data"}
    assert found.reviewers()["value"].isna().all()
    assert found.confusion()["value"].isna().all()
    assert found.confusion()["count"].sum() > 0


def test_truth_may_be_partial_and_name_further_categories() -> None:
    found = consensus(VOTES, truth={"u1": "yes", "u4": "never", "elsewhere": "yes", "u2": None})
    assert found.categories == ("maybe", "never", "no", "yes")
    assert found.accuracy is not None
    assert found.accuracy.n == 2


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "method": ({"method": "mayority"}, 'did you mean "majority"'),
    "ties": ({"ties": "coin"}, 'ties is "coin"; accepted: none, adjudicate, maybe, no, yes'),
    "truth of no unit": ({"truth": {"x": "yes"}}, "no unit of the ratings is in it"),
    "truth without labels": ({"truth": {}}, "got no labels"),
    "truth that is a list": ({"truth": ["yes"]}, "accepted: a mapping or a Series"),
    "truth of another kind": ({"truth": {"u1": 1}}, "numbers and text"),
    "truth outside the categories": (
        {"truth": {"u1": "never"}, "categories": ["no", "maybe", "yes"]},
        'truth: "never" is not among',
    ),
    "truth twice": ({"truth": pd.Series(["yes", "no"], index=["u1", "u1"])}, "more than once"),
    "confidence": ({"confidence": 0}, "confidence is 0"),
    "seed": ({"random_state": 1.5}, "random_state is 1.5"),
    "smoothing": ({"smoothing": -1}, "smoothing is -1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case: str) -> None:
    options, message = BAD[case]
    with pytest.raises(InputError, match=message):
        consensus(VOTES, **options)


def test_an_unknown_reviewer_is_named() -> None:
    with pytest.raises(InputError, match='did you mean "Ann"'):
        consensus(VOTES).confusion("Anne")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(["a", "b", "c", None]), min_size=3, max_size=3),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(["majority", "plurality", "unanimous"]),
    st.randoms(use_true_random=False),
)
def test_who_sits_where_does_not_matter(rows: list[Any], method: str, random: Any) -> None:
    ratings = pd.DataFrame(rows, columns=list("xyz"), dtype=object)
    before = consensus(ratings, method=method)
    columns = list("xyz")
    random.shuffle(columns)
    after = consensus(ratings[columns], method=method)
    for one, two, row in zip(before.units, after.units, rows, strict=True):
        assert (one.label, one.outcome, one.votes) == (two.label, two.outcome, two.votes)
        assert sorted(one.dissent) == sorted(two.dissent)
        cast = [vote for vote in row if vote is not None]
        assert one.n_votes == len(cast) == sum(number for _, number in one.votes)
        assert len(one.dissent) == len(cast) - (cast.count(one.label) if one.label else 0)
        if method == "unanimous":
            assert (one.label is not None) == (len(set(cast)) == 1)
        if method == "majority":
            assert (one.label is not None) == any(2 * n > len(cast) for n in Counter(cast).values())


def test_figure_page_and_bytes() -> None:
    ratings, truth = crowd(5)
    found = consensus(ratings, method="dawid_skene", truth=truth)
    figure = found.plot()
    assert [trace.name for trace in figure.data] == [
        OWN,
        "truth",
    ]
    assert "vote: r0" in found._repr_html_()
    again = consensus(ratings, method="dawid_skene", truth=truth)
    assert canonical_bytes(found) == canonical_bytes(again)
