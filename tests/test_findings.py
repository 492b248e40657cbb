"""What decides a criterion, and what is said about it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_audit.errors import InputError, PlanError
from hitl_audit.findings import (
    Compare,
    Comparison,
    Count,
    Criterion,
    Status,
    decide,
    evaluate,
    percent,
    status_of,
)
from hitl_audit.intervals import koopman, scaled_interval

METHOD = {"ratio": "Koopman score", "difference": "Newcombe", "value": "Wilson"}
FOUR_FIFTHS = Criterion("selection_rate", ("race",), "ratio", at_least=Fraction("0.8"))


def compared(
    compare: Compare, count: Count, reference: Count | None = None, *, group: str = "black"
) -> Comparison:
    rate, base = count.rate, reference.rate if reference else None
    value: Fraction | None = rate
    if compare == "ratio":
        value = rate / base if rate is not None and base else None
    elif compare == "difference":
        value = rate - base if rate is not None and base is not None else None
    interval = scaled_interval(METHOD[compare], count, reference) if value is not None else None
    low, high = interval or (None, None)
    return Comparison(
        metric="selection_rate",
        attribute="race",
        group=group,
        reference="white" if reference else "",
        compare=compare,
        count=count,
        reference_count=reference,
        value=None if value is None else float(value),
        low=low,
        high=high,
        confidence=0.95,
        method=METHOD[compare],
        min_group=30,
        small=0 < count.total < 30,
    )


def criterion(compare: Compare, least: str = "", most: str = "") -> Criterion:
    return Criterion(
        "selection_rate",
        ("race",),
        compare,
        at_least=Fraction(least) if least else None,
        at_most=Fraction(most) if most else None,
    )


@pytest.mark.parametrize(
    ("promise", "count", "reference", "status"),
    [
        (criterion("ratio", "0.8"), Count(950, 1000), Count(960, 1000), "met"),
        (criterion("ratio", "0.8"), Count(500, 1000), Count(960, 1000), "not met"),
        (criterion("ratio", "0.8"), Count(75, 135), Count(700, 950), "insufficient data"),
        (criterion("ratio", "0.8", "1.25"), Count(950, 1000), Count(960, 1000), "met"),
        (criterion("ratio", "0.8", "1.25"), Count(960, 1000), Count(500, 1000), "not met"),
        (criterion("ratio", most="1.25"), Count(400, 1000), Count(500, 1000), "met"),
        (criterion("ratio", "0.8"), Count(8, 10), Count(960, 1000), "insufficient data"),
        (criterion("ratio", "0.8"), Count(50, 100), Count(0, 100), "insufficient data"),
        (criterion("ratio", "0.8"), Count(0, 0), Count(50, 100), "not assessed"),
        (criterion("difference", most="0.1"), Count(500, 1000), Count(510, 1000), "met"),
        (criterion("difference", most="0.1"), Count(300, 1000), Count(510, 1000), "not met"),
        (criterion("difference", most="0.1"), Count(510, 1000), Count(300, 1000), "not met"),
        (criterion("difference", most="0.1"), Count(40, 100), Count(50, 100), "insufficient data"),
        (criterion("value", "0.7"), Count(800, 1000), None, "met"),
        (criterion("value", "0.7"), Count(600, 1000), None, "not met"),
        (criterion("value", "0.7"), Count(70, 100), None, "insufficient data"),
        (criterion("value", "0.7", "0.9"), Count(950, 1000), None, "not met"),
        (criterion("value", most="0.1"), Count(0, 100), None, "met"),
    ],
)
def test_the_whole_interval_decides(
    promise: Criterion, count: Count, reference: Count | None, status: str
) -> None:
    assert decide(promise, compared(promise.compare, count, reference)).status == status


@pytest.mark.parametrize(
    ("count", "reference", "status"),
    [
        # Exactly four fifths, in numbers whose floats are not: 0.56 / 0.7 < 0.8.
        (Count(56, 100), Count(70, 100), Status.MET),
        (Count(40, 100), Count(50, 100), Status.MET),
        (Count(12, 30), Count(21, 42), Status.MET),
        (Count(39_999, 100_000), Count(50, 100), Status.NOT_MET),
        (Count(40_001, 100_000), Count(50, 100), Status.MET),
    ],
)
def test_exactly_the_threshold_passes(count: Count, reference: Count, status: Status) -> None:
    by_point = replace(FOUR_FIFTHS, decide="point")
    verdict = decide(by_point, compared("ratio", count, reference))
    assert verdict.status is status
    assert verdict.n_needed is None
    assert "the point estimate alone decides" in verdict.words
    assert "alone decides" not in decide(FOUR_FIFTHS, compared("ratio", count, reference)).words


def test_a_point_never_decides_for_a_small_group() -> None:
    verdict = decide(
        replace(FOUR_FIFTHS, decide="point"), compared("ratio", Count(20, 20), Count(70, 100))
    )
    assert verdict.status is Status.INSUFFICIENT
    assert verdict.n_needed == 30


@pytest.mark.parametrize(
    ("promise", "count", "reference"),
    [
        (criterion("ratio", "0.8"), Count(75, 135), Count(700, 950)),
        (criterion("ratio", "0.8"), Count(85, 111), Count(1527, 1681)),
        (criterion("ratio", "0.8"), Count(33, 40), Count(34, 40)),
        (criterion("difference", most="0.1"), Count(52, 100), Count(50, 100)),
        (criterion("difference", most="0.05"), Count(40, 100), Count(50, 100)),
        (criterion("value", "0.7"), Count(75, 100), None),
        (criterion("value", most="0.2"), Count(9, 60), None),
        (criterion("ratio", "0.8"), Count(9, 10), Count(90, 100)),
    ],
)
def test_rows_needed_by_brute_force(
    promise: Criterion, count: Count, reference: Count | None
) -> None:
    """The first number of rows, counted up one by one, at which the interval decides."""
    measured = compared(promise.compare, count, reference)
    verdict = decide(promise, measured)
    assert verdict.status is Status.INSUFFICIENT
    low, high = promise.bounds

    def decides(n: int) -> bool:
        interval = scaled_interval(measured.method, count, reference, factor=n / count.total)
        assert interval is not None
        inside = (low is None or interval[0] >= low) and (high is None or interval[1] <= high)
        outside = (low is not None and interval[1] < low) or (
            high is not None and interval[0] > high
        )
        return inside or outside

    start = max(count.total, 30 if measured.small else 0)
    expected = next(n for n in range(start, 100_000) if decides(n))
    assert verdict.n_needed == expected
    assert "would" in verdict.words


@given(a=st.integers(0, 400), n=st.integers(30, 400), b=st.integers(1, 400), m=st.integers(30, 400))
@settings(max_examples=60, deadline=None)
def test_rows_needed_decide_in_whole_rows_too(a: int, n: int, b: int, m: int) -> None:
    """With counts rounded to whole rows a little more than the number decides, half of it not."""
    count, reference = Count(min(a, n), n), Count(min(b, m), m)
    measured = compared("ratio", count, reference)
    verdict = decide(FOUR_FIFTHS, measured)
    if verdict.n_needed is None or measured.value is None or abs(measured.value - 0.8) < 0.02:
        return

    def at(rows: float) -> Status:
        factor = rows / n
        grown = [
            Count(min(round(c.successes * factor), t), t)
            for c in (count, reference)
            for t in (round(c.total * factor),)
        ]
        return decide(FOUR_FIFTHS, compared("ratio", *grown)).status

    assert at(verdict.n_needed * 1.25 + 20) in (Status.MET, Status.NOT_MET)
    assert at(max(n, verdict.n_needed / 2)) is Status.INSUFFICIENT


def test_no_number_of_rows_decides_at_the_threshold() -> None:
    verdict = decide(FOUR_FIFTHS, compared("ratio", Count(400, 1000), Count(500, 1000)))
    assert verdict.status is Status.INSUFFICIENT
    assert verdict.n_needed is None
    assert "nor would any realistic number" in verdict.words


@pytest.mark.parametrize("low", [0.6, 0.0])
def test_an_interval_of_another_method_shrinks_with_the_root_of_n(low: float) -> None:
    measured = replace(
        compared("ratio", Count(75, 100), Count(100, 100)),
        method="bootstrap",
        low=low,
        high=0.9,
    )
    needed = decide(FOUR_FIFTHS, measured).n_needed
    assert needed is not None
    if low:
        # log(0.8 / 0.75) = log(0.9 / 0.75) / √(n / 100)
        assert needed == pytest.approx(798, abs=2)
    else:
        assert needed == pytest.approx(900, abs=2)


def test_words_a_compliance_officer_reads() -> None:
    words = decide(FOUR_FIFTHS, compared("ratio", Count(75, 135), Count(700, 950))).words
    assert words == (
        "black: selection rate 75.4% of the rate of white (95% interval 63.7% to 86.9%, n = 135), "
        "the promise is at least 80%: the interval includes the threshold, so this many cases "
        "cannot decide; about 870 of them would, if all groups grow alike."
    )
    words = decide(
        criterion("difference", most="0.1"), compared("difference", Count(30, 100), Count(50, 100))
    ).words
    assert words.startswith("black: selection rate 20.0 percentage points below white (95%")
    assert "within ±10 percentage points" in words
    words = decide(
        criterion("value", "0.125"),
        replace(compared("value", Count(800, 1000)), attribute="all", group="all"),
    ).words
    assert words.startswith("All rows: selection rate 80.0% (95% interval ")
    assert words.endswith("the promise is at least 12.5%: the whole interval keeps it.")
    words = decide(FOUR_FIFTHS, compared("ratio", Count(5, 50), Count(0, 50))).words
    assert "undefined, because the rate of white is zero or has no cases" in words
    words = decide(FOUR_FIFTHS, compared("ratio", Count(5, 10), Count(50, 50))).words
    assert "fewer cases than the least number that may decide, 30" in words


def test_no_number_is_rounded_onto_the_threshold() -> None:
    measured = replace(
        compared("ratio", Count(500, 1000), Count(600, 1000)), value=0.79, low=0.75, high=0.79996
    )
    verdict = decide(FOUR_FIFTHS, measured)
    assert verdict.status is Status.NOT_MET
    assert "75.000% to 79.996%" in verdict.words


@pytest.mark.parametrize(
    ("groups", "status"),
    [
        ([], "not assessed"),
        ([(95, 100)], "met"),
        ([(950, 1000), (0, 0)], "insufficient data"),
        ([(0, 0)], "not assessed"),
        ([(950, 1000), (76, 100)], "insufficient data"),
        ([(950, 1000), (76, 100), (10, 100)], "not met"),
    ],
)
def test_a_finding_is_as_good_as_its_worst_group(
    groups: list[tuple[int, int]], status: str
) -> None:
    found = evaluate(
        "F1",
        FOUR_FIFTHS,
        [
            compared("ratio", Count(*counts), Count(960, 1000), group=f"group {i}")
            for i, counts in enumerate(groups)
        ],
    )
    assert found.status == status
    assert found.id == "F1"
    assert len(found.verdicts) == len(groups)
    assert all(verdict.status in found.words for verdict in found.verdicts[1:])


def test_a_finding_names_its_groups_but_not_fifty() -> None:
    many = [
        compared("ratio", Count(95, 100), Count(96, 100), group=f"group {i}") for i in range(50)
    ]
    words = evaluate("F2", FOUR_FIFTHS, many).words
    assert words == (
        "Selection rate by race, ratio to the reference group, promised at least 80%: met for "
        "group 0, group 1, group 2, group 3, group 4 and 45 more."
    )


def test_the_wrong_question_is_refused() -> None:
    with pytest.raises(InputError, match="got a value of selection_rate, expected a ratio"):
        decide(FOUR_FIFTHS, compared("value", Count(1, 2)))


@pytest.mark.parametrize(
    ("compare", "least", "most", "words"),
    [
        ("ratio", None, None, "no threshold"),
        ("difference", "0.1", None, "a difference takes at_most alone"),
        ("ratio", "1.25", "0.8", "more than at_most"),
    ],
)
def test_an_impossible_promise_is_refused(
    compare: Compare, least: str | None, most: str | None, words: str
) -> None:
    with pytest.raises(PlanError, match=words):
        Criterion(
            "selection_rate",
            compare=compare,
            at_least=Fraction(least) if least else None,
            at_most=Fraction(most) if most else None,
        )


def test_percent() -> None:
    assert [percent(v) for v in (0.7432, Fraction(4, 5), -0.0001, None, float("inf"))] == [
        "74.3%",
        "80.0%",
        "0.0%",
        "–",
        "∞",
    ]


def test_the_status_alone_is_that_of_the_decision() -> None:
    promise = Criterion("selection_rate", ("race",), at_least=Fraction(4, 5))
    for successes in range(0, 101, 5):
        count, reference = Count(successes, 100), Count(70, 100)
        value = successes / 70
        low, high = koopman(count, reference) or (None, None)
        for small in (False, True):
            compared = Comparison(
                "selection_rate", "race", "b", "a", "ratio", count, reference, value, low, high,
                0.95, "Koopman score", small=small, min_group=30,
            )  # fmt: skip
            assert status_of(promise, compared) is decide(promise, compared).status
    with pytest.raises(InputError, match="expected a ratio of accuracy"):
        status_of(Criterion("accuracy", ("race",), at_least=Fraction(1, 2)), compared)
