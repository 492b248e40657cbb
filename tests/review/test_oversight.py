from __future__ import annotations

import uuid
from typing import Any

import pytest

from hitl_audit.errors import InputError
from hitl_audit.review.ledger import Judgment
from hitl_audit.review.oversight import summarise
from hitl_audit.review.sampling import CaseSample, SampledCase, sample_cases


def judgment(case_id: str, answer: str, **changes: Any) -> Judgment:
    fields: dict[str, Any] = {
        "event_id": str(uuid.uuid4()),
        "case_id": case_id,
        "design": "random",
        "inclusion_probability": 0.1,
        "reviewer": "Dana",
        "role": "expert",
        "phase": "final",
        "answer": answer,
        "reasons": ("unfair",) if answer == "disagree" else (),
        "rationale": "",
        "shown": ("case", "prediction"),
        "model_digest": "m",
        "plan_digest": "p",
        "at": "2026-01-31T12:00:00.000000Z",
        "seconds": 10.0,
        "model_decision": "favorable",
    }
    return Judgment(**(fields | changes))


def blind(case_id: str, answer: str, **changes: Any) -> Judgment:
    return judgment(
        case_id, answer, **({"phase": "blind", "model_decision": None, "seconds": 5.0} | changes)
    )


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


def test_blind_answers_alone_are_no_verdicts(sample: CaseSample) -> None:
    oversight = summarise([blind(sample.case_ids[0], "favorable")], sample)
    assert oversight.words == "not assessed: no final verdicts recorded"


def test_few_judged_cases_are_counted_but_give_no_share(sample: CaseSample) -> None:
    oversight = summarise([judgment(case, "agree") for case in sample.case_ids[:9]], sample)
    assert oversight.status == "insufficient data"
    assert oversight.words.startswith("insufficient data: 1 reviewer judged 9 of 20 sampled cases")
    assert (oversight.agreement.count, oversight.agreement.n) == (9, 9)
    assert oversight.agreement.value is None


def test_agreement_is_by_case_with_the_wilson_interval(sample: CaseSample) -> None:
    events = [judgment(case, "agree") for case in sample.case_ids]
    events += [judgment(case, "agree", reviewer="Eve") for case in sample.case_ids[:16]]
    events += [
        judgment(case, answer, reviewer="Eve")
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


def test_the_latest_verdict_counts_and_corrections_are_reported(sample: CaseSample) -> None:
    events = [judgment(case, "agree") for case in sample.case_ids]
    wrong = events[3]
    change = {"phase": "correction", "seconds": None}
    events.append(judgment(wrong.case_id, "unsure", corrects=wrong.event_id, **change))
    events.append(judgment(wrong.case_id, "disagree", corrects=events[-1].event_id, **change))
    oversight = summarise(events, sample)
    assert oversight.corrections == 2
    assert dict(oversight.verdicts) == {"agree": 19, "disagree": 1, "unsure": 0, "escalate": 0}
    assert oversight.agreement.count == 19
    assert oversight.median_seconds == 10.0


def test_blind_decisions_are_compared_with_the_models(sample: CaseSample) -> None:
    answers = ["favorable"] * 15 + ["unfavorable"] * 3 + ["unsure"] * 2
    events = []
    for case, answer in zip(sample.case_ids, answers, strict=True):
        events += [blind(case, answer), judgment(case, "agree")]
    oversight = summarise(events, sample)
    assert (oversight.blind_agreement.count, oversight.blind_agreement.n) == (15, 18)
    assert oversight.median_seconds == 15.0


def test_other_cases_models_and_plans_enter_no_number(sample: CaseSample) -> None:
    events = [judgment(case, "agree") for case in sample.case_ids]
    strangers = [
        judgment("picked by hand", "disagree"),
        judgment(sample.case_ids[0], "disagree", model_digest="other"),
        judgment(sample.case_ids[0], "disagree", plan_digest="other"),
    ]
    oversight = summarise(events + strangers, sample, model_digest="m", plan_digest="p")
    assert oversight.agreement.count == 20
    assert oversight.outside_sample == 3


def test_one_simulated_event_flags_everything(sample: CaseSample) -> None:
    events = [judgment(case, "agree") for case in sample.case_ids]
    oversight = summarise(
        [*events[1:], judgment(events[0].case_id, "agree", simulated=True)], sample
    )
    assert oversight.any_simulated
    assert oversight.words.startswith("SIMULATED JUDGMENTS: ")
    assert oversight.frame()["simulated"].all()


def stratified(agree: int) -> tuple[CaseSample, list[Judgment]]:
    cases = [SampledCase(f"a{i}", 0.1, "a", "") for i in range(10)]
    cases += [SampledCase(f"b{i}", 0.5, "b", "") for i in range(10)]
    sample = CaseSample("stratified", 120, 0, tuple(cases))
    answers = ["agree"] * agree + ["disagree"] * (20 - agree)
    return sample, [
        judgment(case.case_id, answer) for case, answer in zip(cases, answers, strict=True)
    ]


def test_a_stratified_sample_is_weighted() -> None:
    # By hand: stratum a all agree (weight 10 each), 4 of 10 in b (weight 2 each).
    sample, events = stratified(14)
    agreement = summarise(events, sample).agreement
    value = (10 * 10 + 4 * 2) / 120
    variance = (
        10 * 0.9 * 100 * (1 - value) ** 2 + 4 * 0.5 * 4 * (1 - value) ** 2 + 6 * 0.5 * 4 * value**2
    ) / 120**2
    assert agreement.value == pytest.approx(value)
    assert agreement.low == pytest.approx(value - 1.959964 * variance**0.5, abs=1e-6)
    assert agreement.high == pytest.approx(min(1.0, value + 1.959964 * variance**0.5), abs=1e-6)
    assert agreement.method == "Hájek"
    assert (agreement.count, agreement.n) == (14, 20)


@pytest.mark.parametrize(("agree", "value"), [(20, 1.0), (0, 0.0)])
def test_a_stratified_sample_of_one_opinion_is_not_certain(agree: int, value: float) -> None:
    sample, events = stratified(agree)
    agreement = summarise(events, sample).agreement
    assert agreement.value == value
    assert agreement.low is not None
    assert agreement.high is not None
    # (Σw)² / Σw² = 120² / 1040 = 13.8, so 14 cases: Wilson leaves 21.5 % open.
    assert agreement.high - agreement.low == pytest.approx(0.2153, abs=1e-4)


def test_frame_lists_every_number(sample: CaseSample) -> None:
    events = [judgment(case, "agree") for case in sample.case_ids]
    frame = summarise(events, sample).frame().set_index("measure")
    assert frame.loc["judged cases", "value"] == 20
    assert frame.loc["verdict: agree", "value"] == 20
    assert frame.loc["agreement with the model", "n"] == 20
    assert frame["low"].loc["agreement with the model"] < 1


def test_an_impossible_confidence_is_refused(sample: CaseSample) -> None:
    with pytest.raises(InputError, match="confidence is 95"):
        summarise([], sample, confidence=95)
