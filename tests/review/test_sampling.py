from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_audit.errors import InputError
from hitl_audit.review.sampling import CaseSample, sample_cases


def sizes(sample: CaseSample) -> dict[str, int]:
    counts: dict[str, int] = {}
    for case in sample.cases:
        counts[case.stratum] = counts.get(case.stratum, 0) + 1
    return counts


def test_a_random_sample_gives_every_case_the_same_chance() -> None:
    sample = sample_cases([f"loan-{i}" for i in range(40)], 10)
    assert len(set(sample.case_ids)) == 10
    assert {case.inclusion_probability for case in sample.cases} == {0.25}
    assert sample.cases[0].reason == "drawn at random, 10 of 40"
    assert (sample.design, sample.population) == ("random", 40)


def test_over_many_seeds_every_case_is_drawn_as_often_as_its_probability_says() -> None:
    drawn = dict.fromkeys(map(str, range(10)), 0)
    for seed in range(1000):
        for case_id in sample_cases(range(10), 3, random_state=seed).case_ids:
            drawn[case_id] += 1
    # 300 expected, standard deviation 14.5: five of them either way.
    assert all(228 <= count <= 372 for count in drawn.values())


@given(st.permutations(range(12)), st.integers(0, 5))
def test_the_sample_depends_on_the_ids_and_the_seed_not_on_row_order(
    order: list[int], seed: int
) -> None:
    sorted_order = sorted(order)
    one = sample_cases(order, 5, random_state=seed)
    assert one == sample_cases(sorted_order, 5, random_state=seed)
    by_three = [
        sample_cases(
            rows, 5, design="stratified", strata=[row % 3 for row in rows], random_state=seed
        )
        for rows in (order, sorted_order)
    ]
    assert by_three[0] == by_three[1]


def test_another_seed_is_another_sample() -> None:
    assert (
        sample_cases(range(50), 10).case_ids != sample_cases(range(50), 10, random_state=1).case_ids
    )


def test_a_frame_gives_its_index() -> None:
    frame = pd.DataFrame({"x": [1, 2, 3]}, index=["a", "b", "c"])
    assert sorted(sample_cases(frame, 3).case_ids) == ["a", "b", "c"]
    assert sorted(sample_cases(frame["x"], 3).case_ids) == ["a", "b", "c"]


def test_stratified_allocation_is_equal_with_the_rest_to_the_largest() -> None:
    strata = ["white"] * 60 + ["black"] * 30 + ["hispanic"] * 10
    sample = sample_cases(range(100), 14, design="stratified", strata=strata)
    assert sizes(sample) == {"white": 5, "black": 5, "hispanic": 4}
    chances = {case.stratum: case.inclusion_probability for case in sample.cases}
    assert chances == {"white": 5 / 60, "black": 5 / 30, "hispanic": 4 / 10}
    assert "drawn at random, 4 of 10 in stratum hispanic" in {case.reason for case in sample.cases}


def test_a_stratum_smaller_than_its_share_is_taken_whole() -> None:
    strata = ["a"] * 50 + ["b"] * 50 + ["c"] * 2
    sample = sample_cases(range(102), 31, design="stratified", strata=strata)
    assert sizes(sample) == {"a": 15, "b": 14, "c": 2}


@given(st.lists(st.sampled_from("abcde"), min_size=1, max_size=40), st.data())
def test_any_allocation_adds_up_and_its_weights_count_the_population(
    strata: list[str], data: st.DataObject
) -> None:
    n = data.draw(st.integers(len(set(strata)), len(strata)))
    sample = sample_cases(range(len(strata)), n, design="stratified", strata=strata)
    assert len(sample.cases) == n
    assert set(sizes(sample)) == set(strata)
    total = sum(1 / case.inclusion_probability for case in sample.cases)
    assert total == pytest.approx(len(strata))
    shares = [count for label, count in sizes(sample).items() if count < strata.count(label)]
    assert not shares or max(shares) - min(shares) <= 1


def test_rows_without_a_label_are_a_stratum_of_their_own() -> None:
    strata = pd.Series(["a", None, "a", "b"], dtype="str")
    sample = sample_cases(range(4), 3, design="stratified", strata=strata)
    assert sizes(sample) == {"a": 1, "b": 1, "missing": 1}


def test_frame_has_one_row_per_case() -> None:
    frame = sample_cases(["x", "y"], 2).frame()
    assert list(frame.columns) == [
        "case_id",
        "inclusion_probability",
        "stratum",
        "reason",
        "design",
    ]
    assert sorted(frame["case_id"]) == ["x", "y"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"design": "randm"}, 'design is "randm"; accepted: random, stratified; did you mean'),
        ({"n": 4}, "got n=4, expected 1 to 3"),
        ({"n": 0}, "got n=0, expected 1 to 3"),
        ({"frame_or_ids": ["a", "b", "a"]}, 'case id "a" occurs more than once'),
        ({"frame_or_ids": None}, "the cases are a NoneType; expected a table or their ids"),
        ({"strata": [1, 2, 3]}, 'strata go with design "stratified"'),
        ({"design": "stratified"}, 'strata go with design "stratified"'),
        ({"design": "stratified", "strata": [1, 2]}, "got 2 strata labels, expected 3"),
        ({"design": "stratified", "strata": [1, 2, 3]}, "expected at least 3, one per stratum"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments: dict[str, object], words: str) -> None:
    given_arguments: dict[str, object] = {"frame_or_ids": ["a", "b", "c"], "n": 2} | arguments
    with pytest.raises(InputError) as refusal:
        sample_cases(**given_arguments)  # type: ignore[arg-type]
    assert words in str(refusal.value)
