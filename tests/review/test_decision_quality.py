"""What overrides were worth, and hidden checks, against plain counting and statsmodels."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar

from hitl_audit.intervals import Count, wilson
from hitl_audit.review.decision_quality import mcnemar_exact
from hitl_audit.review.estimates import weighted_difference
from hitl_audit.review.oversight import Oversight, summarise
from hitl_audit.review.sampling import CaseSample, SampledCase
from tests.review.review_events import adjudication, blind, correction, verdict
from tests.review.review_world import decided, make_world


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_that_of_statsmodels(more: int, less: int) -> None:
    table = [[10, more], [less, 10]]
    assert mcnemar_exact(more, less) == pytest.approx(mcnemar(table, exact=True).pvalue)


def test_overrides_vindicated_and_harmful() -> None:
    # The model grants everything; 24 overrides, of which the truth of 20 is known: 15 were right.
    cases = [f"c{i}" for i in range(60)]
    events = [verdict(case, "disagree" if i < 24 else "agree") for i, case in enumerate(cases)]
    truth = {case: int(i >= 15) for i, case in enumerate(cases) if not 20 <= i < 24}
    found = review(events, cases, truth=truth)
    precision, harm = found.kpi("correction precision"), found.kpi("harm rate")
    assert (precision.count, precision.n, precision.value) == (15, 20, 0.75)
    assert (precision.low, precision.high) == pytest.approx(wilson(Count(15, 20)))
    assert (precision.truth_n, precision.truth_of) == (20, 24)
    assert (harm.count, harm.value) == (5, 0.25)
    lift = found.kpi("lift over the model")
    assert lift.value == pytest.approx((15 - 5) / 56)
    assert (lift.truth_n, lift.truth_of) == (56, 60)
    assert lift.p_value == pytest.approx(mcnemar([[0, 15], [5, 0]], exact=True).pvalue)
    assert lift.method == "Bonett-Price; McNemar exact test"
    assert "15 wrong turned right, 5 right turned wrong" in lift.words
    assert found.kpi("complementarity").status == "not assessed"  # nobody decided blind


@pytest.mark.parametrize("weighted", [False, True])
def test_effects_are_paired_and_weighted(weighted: bool) -> None:
    world = make_world(1, weighted=weighted)
    found = world.summary()
    cases = world.cases.assign(
        team=decided(world.table, "final"), human=decided(world.table, "blind")
    )
    two = cases.dropna(subset=["team"])
    three = two.dropna(subset=["human"])
    pi, truth = three["pi"].tolist(), three["truth"]
    right = {who: (three[who] == truth).tolist() for who in ("team", "human", "model")}
    lift = weighted_difference(
        (two["team"] == two["truth"]).tolist(),
        (two["model"] == two["truth"]).tolist(),
        two["pi"].tolist(),
        finite_population=False,
    )
    kpi = found.kpi("lift over the model")
    assert (kpi.value, kpi.low, kpi.high) == (lift.value, lift.low, lift.high)
    assert (kpi.p_value is None) == weighted  # the exact test knows no weights
    parts = [
        weighted_difference(right["team"], right[who], pi, finite_population=False)
        for who in ("model", "human")
    ]
    both = found.kpi("complementarity")
    best = max(
        sum(r / p for r, p in zip(right[who], pi, strict=True)) for who in ("model", "human")
    )
    team = sum(r / p for r, p in zip(right["team"], pi, strict=True))
    assert both.value == pytest.approx((team - best) / sum(1 / p for p in pi))
    assert both.low == min(part.low for part in parts if part.low is not None)


def test_suspected_label_errors_need_two_people_or_an_adjudicator() -> None:
    cases = [f"c{i}" for i in range(40)]
    events: list[Any] = []
    for i, case in enumerate(cases):
        if i < 12:  # two agree against the record in 6 cases
            events += [verdict(case, "agree" if i < 6 else "disagree", r) for r in ("r1", "r2")]
        elif i < 20:  # an adjudicator against the record
            yes, no = verdict(case, "agree", "r1"), verdict(case, "disagree", "r2")
            events += [yes, no, adjudication(case, "favorable", yes, no)]
        else:  # one reviewer alone says nothing
            events.append(verdict(case, "agree"))
    found = review(events, cases, truth=dict.fromkeys(cases, 0))
    kpi = found.kpi("suspected label errors")
    assert (kpi.count, kpi.n) == (6 + 8, 20)


def test_hidden_checks_enter_no_rate_and_are_counted_apart() -> None:
    cases = [f"c{i}" for i in range(20)]
    events: list[Any] = [verdict(case, "agree") for case in cases]
    gold = [f"gold{i}" for i in range(20)]
    events += [
        verdict(case, ["agree", "disagree", "unsure"][(i >= 14) + (i >= 18)], task="gold")
        for i, case in enumerate(gold)
    ]
    events += [
        verdict(f"p{i}", answer, task="planted", model_decision="unfavorable")
        for i, answer in enumerate(["disagree"] * 7 + ["escalate"] * 2 + ["agree"] * 3)
    ]
    repeats = [verdict(case, "agree", task="repeat") for case in cases[:12]]
    repeats += [correction(repeats[0], "disagree"), verdict(cases[13], "agree", "r9")]
    truth = dict.fromkeys(cases + gold[:17] + [gold[18]], 1)
    found = review(events + repeats, cases, truth=truth)
    kpi = found.kpi("hidden gold accuracy")
    # 18 decided (14 favorable), the truth of 17 of them is known to be favorable.
    assert (kpi.count, kpi.n, kpi.truth_n, kpi.truth_of) == (14, 17, 17, 18)
    assert "2 more were answered without a decision" in kpi.words
    caught = found.kpi("planted errors caught")
    assert (caught.count, caught.n) == (9, 12)
    again = found.kpi("same answer when asked again")
    assert (again.count, again.n) == (11, 12)
    assert found.kpi("override rate").n == 20
    assert found.agreement.count == 20
    row = found.by_reviewer[0]
    assert (row.gold, row.planted, row.repeats) == ((14, 17), (9, 12), (11, 12))


def test_reviewers_are_compared_with_their_peers() -> None:
    world = make_world(2, unsure=0.0)
    found = world.summary()
    table = world.table
    wide = table.pivot(index="case", columns="reviewer", values="final")
    for place, row in enumerate(found.by_reviewer):
        name = f"r{place}"
        own = table[table["reviewer"] == name]
        assert row.answers == len(own)
        assert row.median_seconds == pytest.approx(own["seconds"].median())
        assert row.too_fast == (own["seconds"] < 5).sum()
        assert row.overrides.value == pytest.approx((own["final"] != own["model"]).mean())
        assert row.accuracy.value == pytest.approx((own["final"] == own["truth"]).mean())
        others = [column for column in wide if column != name]
        peers = wide[others].eq(wide[name], axis=0).mean(axis=1)
        assert row.peers.value == pytest.approx(peers.mean())
        assert row.peer_cases == len(wide)


def test_coefficients_of_agreement_are_those_of_the_ratings() -> None:
    from hitl_audit.review.agreement import agreement
    from hitl_audit.review.verdicts import standing_answers

    world = make_world(3)
    found = world.summary()
    answers = standing_answers(world.events, world.sample)
    expected = {c.name: c for c in agreement(answers.ratings("final")).coefficients}
    assert {c.name for c in found.reviewer_agreement} >= {"Krippendorff's alpha", "Gwet's AC1"}
    for one in found.reviewer_agreement:
        assert one == expected[one.name]
    assert found.blind_reviewer_agreement
    assert make_world(3, reviewers=1).summary().reviewer_agreement == ()


def test_a_blind_majority_is_what_people_decide_alone() -> None:
    cases = [f"c{i}" for i in range(20)]
    events: list[Any] = []
    for case in cases:
        events += [
            blind(case, "favorable", "r1"),
            blind(case, "favorable", "r2"),
            blind(case, "unfavorable", "r3"),
        ]
        events += [verdict(case, "disagree", r) for r in ("r1", "r2", "r3")]
    found = review(events, cases, truth=dict.fromkeys(cases, 1))
    assert found.compared("accuracy").human.value == 1.0
    assert found.compared("accuracy").team.value == 0.0
    assert found.kpi("lift over people alone").value == -1.0
    assert found.kpi("complementarity").value == -1.0


def review(events: list[Any], cases: list[str], **options: Any) -> Oversight:
    sampled = tuple(SampledCase(case, 0.1, "", "") for case in cases)
    return summarise(events, CaseSample("random", 10 * len(cases), 0, sampled), **options)
