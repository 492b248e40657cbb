from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from hitl_audit.canonical import canonical_bytes
from hitl_audit.errors import InputError
from hitl_audit.review.judgment import Judgment
from hitl_audit.review.oversight import Oversight, summarise
from hitl_audit.review.sampling import CaseSample, SampledCase, sample_cases
from tests.review.review_events import (
    adjudication,
    blind,
    correction,
    verdict,
    withdrawal,
)
from tests.review.review_world import make_world


@pytest.fixture
def sample() -> CaseSample:
    return sample_cases(range(200), 20)


def test_without_judgments_it_is_not_assessed(sample: CaseSample) -> None:
    oversight = summarise([], sample)
    assert oversight.status == "not assessed"
    assert oversight.words == "not assessed: no judgments recorded"
    assert (oversight.sampled, oversight.judged, oversight.reviewers) == (20, 0, 0)
    assert oversight.agreement.value is None
    assert oversight.median_seconds is None
    assert not oversight.any_simulated
    assert not oversight.kpis
    assert not oversight.side_by_side
    assert oversight.frame().set_index("measure").loc["sampled cases", "value"] == 20


def test_blind_answers_alone_are_no_verdicts(sample: CaseSample) -> None:
    oversight = summarise([blind(sample.case_ids[0], "favorable")], sample)
    assert oversight.words == "not assessed: no final verdicts recorded"
    assert oversight.kpi("agreement with the model").status == "not assessed"


def test_few_judged_cases_are_counted_but_give_no_share(sample: CaseSample) -> None:
    oversight = summarise([verdict(case, "agree") for case in sample.case_ids[:9]], sample)
    assert oversight.status == "insufficient data"
    assert oversight.words.startswith("insufficient data: 1 reviewer judged 9 of 20 sampled cases")
    assert (oversight.agreement.count, oversight.agreement.n) == (9, 9)
    assert oversight.agreement.value is None
    kpi = oversight.kpi("override rate")
    assert (kpi.status, kpi.n, kpi.needed) == ("insufficient data", 9, 10)


def test_agreement_is_by_case_with_the_wilson_interval(sample: CaseSample) -> None:
    events = [verdict(case, "agree") for case in sample.case_ids]
    events += [verdict(case, "agree", "r2") for case in sample.case_ids[:16]]
    events += [
        verdict(case, answer, "r2")
        for case, answer in zip(
            sample.case_ids[16:], ("disagree", "disagree", "unsure", "escalate"), strict=True
        )
    ]
    oversight = summarise(events, sample)
    assert oversight.status == "assessed"
    assert oversight.reviewers == 2
    assert dict(oversight.verdicts) == {"agree": 36, "disagree": 2, "unsure": 1, "escalate": 1}
    assert oversight.reasons == (("unfair", 2),)
    agreement = oversight.agreement
    assert (agreement.count, agreement.n, agreement.value) == (16, 20, 0.8)
    # Wilson for 16 of 20 at 95 %, as R's prop.test(16, 20, correct = FALSE) prints it.
    assert agreement.low == pytest.approx(0.5839826, abs=1e-6)
    assert agreement.high == pytest.approx(0.9193423, abs=1e-6)
    assert "agreed with the model in 16 of 20, estimated 80.0% of all cases" in oversight.words
    kpi = oversight.kpi("agreement with the model")
    assert (kpi.value, kpi.low, kpi.high) == (agreement.value, agreement.low, agreement.high)


def test_the_standing_verdict_counts_and_corrections_are_reported(sample: CaseSample) -> None:
    events: list[Any] = [verdict(case, "agree") for case in sample.case_ids]
    first = correction(events[3], "unsure")
    events += [first, correction(first, "disagree"), withdrawal(events[4])]
    oversight = summarise(events, sample)
    assert oversight.corrections == 2
    assert dict(oversight.verdicts) == {"agree": 18, "disagree": 1, "unsure": 0, "escalate": 0}
    assert (oversight.agreement.count, oversight.agreement.n) == (18, 19)
    assert oversight.median_seconds == 10.0
    assert oversight.excluded == (("withdrawn by its author", 1),)


def test_blind_decisions_are_compared_with_the_models(sample: CaseSample) -> None:
    answers = ["favorable"] * 15 + ["unfavorable"] * 3 + ["unsure"] * 2
    events = []
    for case, answer in zip(sample.case_ids, answers, strict=True):
        events += [blind(case, answer), verdict(case, "agree")]
    oversight = summarise(events, sample)
    assert (oversight.blind_agreement.count, oversight.blind_agreement.n) == (15, 18)
    assert oversight.median_seconds == 15.0


def test_other_cases_models_and_plans_enter_no_number(sample: CaseSample) -> None:
    events = [verdict(case, "agree") for case in sample.case_ids]
    strangers = [
        verdict("picked by hand", "disagree", design="purposive", inclusion_probability=None),
        verdict(sample.case_ids[0], "disagree", "r2", model_digest="other"),
        verdict(sample.case_ids[0], "disagree", "r2", plan_digest="other"),
        verdict(sample.case_ids[0], "disagree", "r2", task="planted"),
    ]
    oversight = summarise(events + strangers, sample, model_digest="m", plan_digest="p")
    assert oversight.agreement.count == 20
    assert oversight.kpi("override rate").n == 20
    assert oversight.outside_sample == 3
    assert dict(oversight.excluded) == {
        "on a case picked by hand, which enters no rate": 1,
        "on another model": 1,
        "under another plan": 1,
        "answers to planted tasks, which enter no rate": 1,
    }


def test_answers_to_a_decision_that_was_not_the_models_do_not_count(sample: CaseSample) -> None:
    events = [verdict(case, "disagree") for case in sample.case_ids]
    model = dict.fromkeys(sample.case_ids, "favorable") | {sample.case_ids[0]: "unfavorable"}
    oversight = summarise(events, sample, model_decision=model)
    assert oversight.agreement.n == 19
    assert dict(oversight.excluded) == {"was shown another decision than the model's": 1}


def test_a_sample_picked_by_hand_gives_no_rate() -> None:
    cases = tuple(SampledCase(f"c{i}", None, "", "") for i in range(20))
    events = [
        verdict(case.case_id, "agree", design="purposive", inclusion_probability=None)
        for case in cases
    ]
    oversight = summarise(events, CaseSample("purposive", 20, 0, cases))
    assert oversight.status == "not assessed"
    assert "picked by hand (purposive)" in oversight.words
    assert oversight.agreement.value is None
    assert all(kpi.value is None for kpi in oversight.kpis if kpi.status != "counted")


def test_one_simulated_event_flags_everything(sample: CaseSample) -> None:
    events = [verdict(case, "agree") for case in sample.case_ids]
    events[0] = verdict(sample.case_ids[0], "agree", simulated=True)
    oversight = summarise(events, sample)
    assert oversight.any_simulated
    assert oversight.words.startswith("SIMULATED JUDGMENTS: ")
    assert oversight.frame()["simulated"].all()
    assert oversight.by_reviewer[0].simulated


def stratified(agree: int) -> tuple[CaseSample, list[Judgment]]:
    cases = [SampledCase(f"a{i}", 0.1, "a", "") for i in range(10)]
    cases += [SampledCase(f"b{i}", 0.5, "b", "") for i in range(10)]
    sample = CaseSample("stratified", 120, 0, tuple(cases))
    answers = ["agree"] * agree + ["disagree"] * (20 - agree)
    return sample, [
        verdict(case.case_id, answer) for case, answer in zip(cases, answers, strict=True)
    ]


def test_a_stratified_sample_is_weighted() -> None:
    # By hand: stratum a all agree (weight 10 each), 4 of 10 in b (weight 2 each).
    sample, events = stratified(14)
    oversight = summarise(events, sample)
    value = (10 * 10 + 4 * 2) / 120
    assert oversight.agreement.value == pytest.approx(value)
    assert oversight.agreement.method == "Hájek, Wilson at the effective size"
    assert (oversight.agreement.count, oversight.agreement.n) == (14, 20)
    override = oversight.kpi("override rate")
    assert override.value == pytest.approx(1 - value)
    assert override.weighted
    assert override.low is not None
    assert oversight.agreement.high is not None
    assert override.low == pytest.approx(1 - oversight.agreement.high)


@pytest.mark.parametrize(("agree", "value"), [(20, 1.0), (0, 0.0)])
def test_a_stratified_sample_of_one_opinion_is_not_certain(agree: int, value: float) -> None:
    sample, events = stratified(agree)
    agreement = summarise(events, sample).agreement
    assert agreement.value == value
    assert agreement.low is not None
    assert agreement.high is not None
    assert agreement.high - agreement.low > 0.2


def test_an_adjudication_is_the_human_decision(sample: CaseSample) -> None:
    events: list[Any] = []
    for case in sample.case_ids:
        yes, no = verdict(case, "agree", "r1"), verdict(case, "disagree", "r2")
        events += [yes, no, adjudication(case, "unfavorable", yes, no)]
    oversight = summarise(events, sample)
    assert oversight.kpi("override rate").value == 1.0
    assert oversight.kpi("no human decision").value == 0.0
    without = [event for event in events if isinstance(event, Judgment)]
    assert summarise(without, sample).kpi("no human decision").value == 1.0


def test_cases_without_a_human_decision_are_named(sample: CaseSample) -> None:
    events = [verdict(case, "agree") for case in sample.case_ids]
    events += [verdict(case, "disagree", "r2") for case in sample.case_ids[:7]]
    found = summarise(events, sample, truth=dict.fromkeys(sample.case_ids, 1))
    kpi = found.kpi("override rate")
    assert kpi.n == 13
    assert kpi.words.endswith("; 7 of 20 judged cases have no human decision and are left out")
    assert "13 of 13 decided cases; 7 judged cases have no human decision)" in found.words


def test_the_value_is_read_back_from_its_bytes() -> None:
    for world in (make_world(1), make_world(2, weighted=True), make_world(3, n_cases=4)):
        oversight = world.summary()
        again = TypeAdapter(Oversight).validate_json(canonical_bytes(oversight))
        assert again == oversight


def test_an_older_document_without_the_new_numbers_can_be_read(sample: CaseSample) -> None:
    record = TypeAdapter(Oversight).dump_python(summarise([], sample), mode="json")
    newer = (
        "excluded",
        "truth_n",
        "kpis",
        "side_by_side",
        "by_reviewer",
        "reviewer_agreement",
        "blind_reviewer_agreement",
        "reference",
        "settings",
    )
    older = {name: value for name, value in record.items() if name not in newer}
    assert len(older) == 13
    assert TypeAdapter(Oversight).validate_python(older).kpis == ()


def test_nothing_about_a_case_or_a_person_leaves_the_house() -> None:
    world = make_world(4)
    secret = [
        verdict("case-0", "disagree", "Wilhelmina Sharp", rationale="knows the neighbour"),
        blind("case-0", "unfavorable", "Wilhelmina Sharp", note="met her"),
    ]
    world.events.extend(secret)
    oversight = world.summary()
    assert oversight.reviewers == 4
    text = canonical_bytes(oversight).decode() + oversight.frame().to_csv()
    for word in ("Wilhelmina", "neighbour", "met her", "case-0", '"r1"', "because"):
        assert word not in text
    assert [row.reviewer for row in oversight.by_reviewer] == [
        f"reviewer {i}" for i in (1, 2, 3, 4)
    ]


def test_frame_lists_every_number(sample: CaseSample) -> None:
    events = [verdict(case, "agree") for case in sample.case_ids]
    oversight = summarise(events, sample)
    frame = oversight.frame()
    by_measure = frame.set_index("measure")
    assert by_measure.loc["judged cases", "value"] == 20
    agreed = frame.loc[frame["measure"] == "verdict: agree", "value"]
    assert agreed.to_list() == [20, 20]  # of all, and of the one reviewer
    assert by_measure.loc["agreement with the model", "n"] == 20
    assert by_measure["low"].loc["agreement with the model"] < 1
    assert frame["value"].dtype == "float64"
    assert set(frame["status"]) <= {"estimated", "counted", "insufficient data", "not assessed"}
    assert (frame.loc[frame["status"] == "estimated", "value"].notna()).all()
    assert not frame.duplicated(["topic", "measure", "group"]).any()


def test_groups_are_those_recorded_in_the_sample() -> None:
    world = make_world(7)
    groups = dict(world.cases["group"])
    cases = tuple(
        replace(case, groups=(("race", str(groups[case.case_id])),)) for case in world.sample.cases
    )
    found = world.summary()
    recorded = replace(world, sample=replace(world.sample, cases=cases)).summary(groups=None)
    assert recorded == found


@pytest.mark.parametrize(
    ("right", "words"),
    [
        (True, "; people made the decisions more accurate: +50.0 percentage points"),
        (False, "; people made the decisions less accurate: −50.0 percentage points"),
    ],
)
def test_the_words_say_whether_people_helped(sample: CaseSample, right: bool, words: str) -> None:
    cases = sample.case_ids
    events = [verdict(c, "disagree" if i < 10 else "agree") for i, c in enumerate(cases)]
    truth = {case: int((i >= 10) == right or i >= 10) for i, case in enumerate(cases)}
    found = summarise(events, sample, truth=truth).words
    assert words in found
    assert found.endswith("truth known of 20 of 20 decided cases)")
    assert (
        "cannot be told"
        in summarise([verdict(c, "agree") for c in cases], sample, truth=truth).words
    )
    html = summarise(events, sample, truth=truth)._repr_html_()
    assert "percentage points" in html
    assert "override rate" in html


def test_numbers_are_found_by_name(sample: CaseSample) -> None:
    oversight = make_world(5).summary()
    assert oversight.kpi("override rate", "race: a").group == "race: a"
    assert oversight.compared("accuracy", "race", "b − a").kind == "difference"
    with pytest.raises(InputError, match=r'measure is "overide rate".*did you mean "override'):
        oversight.kpi("overide rate")
    with pytest.raises(InputError, match=r"group of .override rate. is .race: z."):
        oversight.kpi("override rate", "race: z")
    with pytest.raises(InputError, match="nothing compared"):
        oversight.compared("accuracy", "sex")


def test_chart_shows_model_people_and_both() -> None:
    oversight = make_world(6).summary(min_group=10)
    chart = oversight.chart("true_positive_rate", "race")
    assert [series.name for series in chart.series] == [
        "model alone",
        "people alone",
        "people with the model",
    ]
    assert chart.series[0].x == ("a", "b")
    assert len(oversight.plot("accuracy").data) >= 3
    with pytest.raises(InputError, match='did you mean "accuracy"'):
        oversight.chart("acuracy")
    with pytest.raises(InputError, match='attribute is "sex"'):
        oversight.chart("accuracy", "sex")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 95}, "confidence is 95"),
        ({"min_cases": 0}, "min_cases is 0"),
        ({"min_group": -1}, "min_group is -1"),
        ({"n_boot": 0}, "n_boot is 0"),
        ({"too_fast_seconds": -1.0}, "too_fast_seconds is -1"),
        ({"now": datetime(2026, 1, 1)}, "without a time zone"),
        ({"truth": {"a": 2}}, "truth of case a is 2"),
        ({"model_decision": {"a": "yes"}}, "model_decision of case a is 'yes'"),
        ({"reference": {"sex": "f"}}, 'reference names the attribute "sex"'),
        ({"groups": {"sex": {}}, "reference": {"sex": "f"}}, 'is "f"; accepted'),
    ],
)
def test_impossible_settings_are_refused(
    sample: CaseSample, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        summarise([], sample, **options)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.booleans(), st.randoms())
def test_estimates_lie_in_their_intervals_and_do_not_depend_on_names(
    seed: int, reviewers: int, weighted: bool, random: Any
) -> None:
    world = make_world(seed, n_cases=25, reviewers=reviewers, weighted=weighted)
    found = world.summary(n_boot=50)
    for kpi in found.kpis:
        assert (kpi.value is None) == (kpi.status in ("insufficient data", "not assessed"))
        if kpi.value is not None and kpi.low is not None and kpi.high is not None:
            assert kpi.low <= kpi.high
            if "difference" not in kpi.measure and kpi.topic != "effect":
                assert kpi.low - 1e-9 <= kpi.value <= kpi.high + 1e-9
        if kpi.status == "estimated":
            assert kpi.n >= kpi.needed >= 10
        if kpi.truth_n is not None and kpi.truth_of is not None:
            assert kpi.truth_n <= kpi.truth_of
    # Reviewers answer in another order and under other names: nothing but their rows changes.
    order = sorted(world.table["reviewer"].unique(), key=lambda _: random.random())
    place = {name: i for i, name in enumerate(order)}
    shuffled = sorted(world.events, key=lambda e: place[e.reviewer])  # type: ignore[attr-defined]
    again = summarise(
        shuffled,
        world.sample,
        truth={str(c): int(v) for c, v in world.cases["truth"].items()},
        groups={"race": {str(c): str(g) for c, g in world.cases["group"].items()}},
        n_boot=50,
    )
    assert {(k.measure, k.group): k.count for k in again.kpis} == {
        (k.measure, k.group): k.count for k in found.kpis
    }
    for one, other in zip(again.kpis, found.kpis, strict=True):
        assert one.value == pytest.approx(other.value)
