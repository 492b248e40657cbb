"""The fold of events into what stands, against a plain second way to do it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_audit.errors import InputError
from hitl_audit.review.event import read_event
from hitl_audit.review.judgment import Judgment, Withdrawal
from hitl_audit.review.records import Redaction
from hitl_audit.review.sampling import CaseSample, SampledCase
from hitl_audit.review.verdicts import Answer, majority, standing_answers
from tests.review.review_events import adjudication, blind, correction, verdict, withdrawal

SAMPLE = CaseSample(
    "random", 100, 0, tuple(SampledCase(case, 0.04, "", "") for case in ("a", "b", "c", "d"))
)


def only(events: list[Any], **options: Any) -> Answer:
    (answer,) = standing_answers(events, **options).answers
    return answer


def test_both_steps_of_a_reviewer_are_one_answer() -> None:
    first = blind("a", "unfavorable", confidence=2, at="2026-01-31T11:59:00.000000Z")
    last = verdict("a", "agree", model_score=0.7)
    answer = only([first, last], sample=SAMPLE)
    assert (answer.blind, answer.confidence, answer.verdict) == ("unfavorable", 2, "agree")
    assert (answer.decision, answer.model_decision, answer.model_score) == (
        "favorable",
        "favorable",
        0.7,
    )
    assert answer.seconds == 15.0
    assert answer.inclusion_probability == 0.04  # the sample's, not the event's
    assert (answer.blind_id, answer.verdict_id) == (first.event_id, last.event_id)


def test_the_last_correction_stands_and_keeps_the_time_of_the_first_verdict() -> None:
    first = verdict("a", "agree")
    second = correction(first, "unsure", at="2026-02-01T00:00:00.000000Z")
    third = correction(second, "disagree", at="2026-02-02T00:00:00.000000Z")
    found = standing_answers([first, second, third])
    (answer,) = found.answers
    assert (answer.verdict, answer.decision, answer.corrections) == ("disagree", "unfavorable", 2)
    assert answer.verdict_at == first.at
    assert answer.seconds == 10.0
    assert found.corrections == 2


@pytest.mark.parametrize(
    ("events", "stands"),
    [
        (lambda f, c: [f, withdrawal(f)], None),
        (lambda f, c: [f, c, withdrawal(c)], None),
        (lambda f, c: [f, c, withdrawal(f)], "disagree"),
        (lambda f, c: [f, withdrawal(f), c], "disagree"),
        (lambda f, c: [f, withdrawal(f), verdict("a", "unsure")], "unsure"),
        (lambda f, c: [f, withdrawal(f, reviewer="r2")], "agree"),
        (lambda f, c: [withdrawal(f), f], "agree"),
    ],
    ids=[
        "withdrawn",
        "a withdrawn correction does not bring the old verdict back",
        "a replaced verdict is withdrawn",
        "corrected after it was withdrawn",
        "judged again",
        "withdrawn by somebody else",
        "withdrawn before it was there",
    ],
)
def test_withdrawals(events: Any, stands: str | None) -> None:
    first = verdict("a", "agree")
    found = standing_answers(events(first, correction(first, "disagree"))).answers
    assert [answer.verdict for answer in found] == ([stands] if stands else [])


def test_a_withdrawn_blind_answer_leaves_the_verdict() -> None:
    first = blind("a", "favorable")
    answer = only([first, verdict("a", "agree"), withdrawal(first)])
    assert (answer.blind, answer.verdict, answer.seconds) == (None, "agree", 10.0)


def test_a_redaction_changes_no_answer() -> None:
    event = verdict("a", "disagree")
    sealed = event.seal(lambda: b"0" * 16)
    without_words = read_event(sealed.body)
    assert isinstance(without_words, Judgment)
    assert without_words.rationale == ""
    redaction = Redaction(
        event_id="1" * 8 + "-1111-4111-8111-" + "1" * 12,
        at=event.at,
        plan_digest="p",
        model_digest="m",
        redacts=event.event_id,
        fields=("rationale",),
        by="dpo",
        reason="erasure request",
    )
    assert only([without_words, redaction]) == only([event])


def test_what_does_not_count_is_listed_with_the_reason() -> None:
    ok = verdict("a", "agree")
    events = [
        verdict("a", "agree", model_digest="other"),
        verdict("a", "agree", plan_digest="other"),
        verdict("z", "agree"),
        verdict("z", "agree", design="purposive", inclusion_probability=None),
        correction(verdict("b", "agree"), "unsure"),
        ok,
        ok,  # sent twice
        withdrawal(ok, reviewer="r9"),
    ]
    found = standing_answers(events, SAMPLE, model_digest="m", plan_digest="p")
    assert [(e.case_id, e.why) for e in found.excluded] == [
        ("a", "on another model"),
        ("a", "under another plan"),
        ("z", "on a case outside the sample"),
        ("z", "on a case picked by hand, which enters no rate"),
        ("b", "corrects or withdraws a record that is not there"),
        ("a", "withdraws what somebody else said"),
    ]
    assert [answer.verdict for answer in found.answers] == ["agree"]


def test_a_correction_of_somebody_elses_verdict_does_not_count() -> None:
    other = verdict("a", "agree", "r2")
    stolen = replace(correction(other, "disagree"), reviewer="r1")
    assert [a.verdict for a in standing_answers([other, stolen]).answers] == ["agree"]


def test_kinds_of_task_are_kept_apart() -> None:
    events = [
        verdict("a", "agree"),
        verdict("a", "disagree", task="repeat"),
        verdict("gold", "agree", task="gold"),
        verdict("b", "agree", task="planted", model_decision="unfavorable"),
    ]
    found = standing_answers(events, SAMPLE)
    assert [(a.case_id, a.task) for a in found.answers] == [
        ("a", "ordinary"),
        ("a", "repeat"),
        ("gold", "gold"),
        ("b", "planted"),
    ]
    assert [case.case_id for case in found.cases()] == ["a"]
    assert not found.excluded


@pytest.mark.parametrize(
    ("answers", "decision", "how", "dissent"),
    [
        (["agree"], "favorable", "one reviewer", 0),
        (["disagree", "disagree"], "unfavorable", "unanimous", 0),
        (["agree", "disagree", "disagree"], "unfavorable", "majority", 1),
        (["agree", "disagree"], None, "tie", 0),
        (["agree", "unsure"], "favorable", "one reviewer", 0),
        (["unsure", "escalate"], None, "undecided", 0),
    ],
)
def test_the_human_decision_on_a_case(
    answers: list[str], decision: str | None, how: str, dissent: int
) -> None:
    events = [verdict("a", answer, f"r{i}") for i, answer in enumerate(answers)]
    (case,) = standing_answers(events).cases()
    assert (case.decision, case.how, case.dissent) == (decision, how, dissent)
    assert case.reviewers == len(answers)
    assert case.escalated == ("escalate" in answers)
    assert case.overrides == (None if decision is None else decision == "unfavorable")


def test_an_adjudication_settles_and_the_last_one_stands() -> None:
    yes, no = verdict("a", "agree", "r1"), verdict("a", "disagree", "r2")
    first = adjudication("a", "favorable", yes, no)
    second = adjudication("a", "unfavorable", yes, no)
    (case,) = standing_answers([yes, no, first, second]).cases()
    assert (case.decision, case.how, case.dissent) == ("unfavorable", "adjudicated", 1)
    (case,) = standing_answers([yes, no, first, second, withdrawal(second)]).cases()
    assert case.decision == "favorable"
    unsure = adjudication("a", "unsure", yes, no)
    (case,) = standing_answers([yes, no, unsure]).cases()
    assert (case.decision, case.how) == (None, "tie")
    (case,) = standing_answers([yes, no, first, unsure]).cases()
    assert (case.decision, case.how) == ("favorable", "adjudicated")


def test_nobody_adjudicates_a_case_of_their_own() -> None:
    yes, no = verdict("a", "agree", "r1"), verdict("a", "disagree", "r2")
    found = standing_answers([yes, no, adjudication("a", "favorable", yes, no, reviewer="R2 ")])
    assert found.cases()[0].how == "tie"
    assert found.excluded[0].why.startswith("adjudicates a case on which the same person")


def test_blind_decisions_of_a_case_are_counted_without_unsure() -> None:
    events = [
        blind("a", answer, f"r{i}")
        for i, answer in enumerate(("favorable", "unsure", "unfavorable", "unfavorable"))
    ]
    (case,) = standing_answers(events).cases()
    assert (case.blind, case.decision, case.how) == ("unfavorable", None, "undecided")


def test_ratings_are_cases_by_reviewers() -> None:
    events = [
        blind("a", "unsure", "r1"),
        verdict("a", "disagree", "r1"),
        verdict("a", "agree", "r2"),
        verdict("b", "unsure", "r2"),
    ]
    found = standing_answers(events)
    final = found.ratings("final")
    assert list(final.loc["a"]) == ["unfavorable", "favorable"]
    assert list(final.index) == ["a"]
    verdicts = found.ratings("verdict")
    assert list(verdicts.loc["b"]) == [None, "unsure"]
    assert found.ratings("blind").loc["a", "r1"] == "unsure"
    with pytest.raises(InputError, match=r'phase is "finale".*did you mean "final"'):
        found.ratings("finale")


def test_frame_has_a_row_per_answer() -> None:
    frame = standing_answers([verdict("a", "agree"), verdict("b", "unsure")]).frame()
    assert frame["verdict"].to_list() == ["agree", "unsure"]
    assert list(standing_answers([]).frame().columns) == list(frame.columns)


def test_majority() -> None:
    assert majority(["x", "y", "x", None]) == "x"
    assert majority(["x", "y"]) is None
    assert majority([None]) is None
    assert majority(["x", "y", "z", "z"]) == "z"


step = st.tuples(
    st.sampled_from(["final", "correction", "withdrawal", "blind"]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["r1", "r2"]),
    st.sampled_from(["agree", "disagree", "unsure"]),
    st.integers(0, 7),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(step, max_size=14))
def test_the_fold_equals_looking_for_the_last_verdict(steps: list[Any]) -> None:
    events: list[Judgment | Withdrawal] = []
    for kind, case, reviewer, answer, place in steps:
        if kind == "final":
            events.append(verdict(case, answer, reviewer))
        elif kind == "blind":
            events.append(blind(case, "unsure", reviewer))
        elif place < len(events) and isinstance(old := events[place], Judgment):
            if kind == "withdrawal":
                events.append(withdrawal(old, reviewer=reviewer))
            elif old.phase != "blind":
                events.append(correction(old, answer))
    expected = {}
    for case in ("a", "b"):
        for reviewer in ("r1", "r2"):
            own = [
                e
                for e in events
                if isinstance(e, Judgment)
                and (e.case_id, e.reviewer) == (case, reviewer)
                and e.phase != "blind"
            ]
            gone = {
                e.withdraws for e in events if isinstance(e, Withdrawal) and e.reviewer == reviewer
            }
            if own and own[-1].event_id not in gone:
                expected[case, reviewer] = own[-1].answer
    found = {
        (a.case_id, a.reviewer): a.verdict for a in standing_answers(events).answers if a.verdict
    }
    assert found == expected
