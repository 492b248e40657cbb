from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from hitl_audit.canonical import canonical_bytes
from hitl_audit.errors import InputError
from hitl_audit.review.priority import combine
from hitl_audit.review.sampling import CaseSample, pick_cases, sample_cases


def sizes(sample: CaseSample) -> dict[str, int]:
    return dict(Counter(case.stratum for case in sample.cases))


def chances(sample: CaseSample) -> dict[str, float]:
    return {case.case_id: case.inclusion_probability or math.nan for case in sample.cases}


def test_a_random_sample_gives_every_case_the_same_chance() -> None:
    sample = sample_cases([f"loan-{i}" for i in range(40)], 10)
    assert len(set(sample.case_ids)) == 10
    assert {case.inclusion_probability for case in sample.cases} == {0.25}
    assert sample.cases[0].reason == "drawn at random, 10 of 40"
    assert (sample.design, sample.population) == ("random", 40)


def test_anyone_can_recompute_a_sample() -> None:
    ids = [f"C{i:04d}" for i in range(1, 101)]
    by_hash = sorted(ids, key=lambda name: hashlib.sha256(f'[7,"{name}"]'.encode()).hexdigest())
    assert list(sample_cases(ids, 5, random_state=7).case_ids) == by_hash[:5]


def test_over_many_seeds_every_case_is_drawn_as_often_as_its_probability_says() -> None:
    drawn = dict.fromkeys(map(str, range(10)), 0)
    for seed in range(1000):
        for case_id in sample_cases(range(10), 3, random_state=seed).case_ids:
            drawn[case_id] += 1
    # 300 expected, standard deviation 14.5: five of them either way.
    assert all(228 <= count <= 372 for count in drawn.values())


@pytest.mark.parametrize("design", ["mixture", "uncertainty"])
def test_by_priority_too_every_case_is_drawn_as_often_as_its_probability_says(design: str) -> None:
    priority = [0.0, 0.1, 0.2, 0.4, 0.9, 1.0, 0.0, 0.3, 0.5, 5.0]
    share = 0.5 if design == "mixture" else 0.05
    # By hand: 9 is taken for certain, the other nine share the other three cases.
    weights = [share / 10 + (1 - share) * s / sum(priority) for s in priority]
    expected = [3 * w / (sum(weights) - weights[9]) for w in weights[:9]] + [1.0]
    drawn = Counter[str]()
    for seed in range(1500):
        sample = sample_cases(range(10), 4, design=design, priority=priority, random_state=seed)
        assert len(set(sample.case_ids)) == 4
        drawn.update(sample.case_ids)
        for case_id, chance in chances(sample).items():
            assert chance == pytest.approx(expected[int(case_id)])
    for row, chance in enumerate(expected):
        deviation = math.sqrt(1500 * chance * (1 - chance))
        assert abs(drawn[str(row)] - 1500 * chance) <= 4.5 * deviation


@given(st.permutations(range(12)), st.integers(0, 5))
def test_the_sample_depends_on_the_ids_and_the_seed_not_on_row_order(
    order: list[int], seed: int
) -> None:
    designs: list[Any] = [
        lambda rows: {},
        lambda rows: {"design": "stratified", "strata": [row % 3 for row in rows]},
        lambda rows: {"priority": [row / 12 for row in rows]},
        lambda rows: {"priority": rows, "strata": [row % 3 for row in rows], "floor_per_group": 1},
    ]
    for arguments in designs:
        one, other = (
            sample_cases(rows, 5, random_state=seed, **arguments(rows))
            for rows in (order, sorted(order))
        )
        assert one.case_ids == other.case_ids
        assert chances(one) == pytest.approx(chances(other))


def test_another_seed_is_another_sample() -> None:
    for arguments in ({}, {"priority": range(50)}):
        one, other = (
            sample_cases(range(50), 10, random_state=seed, **arguments).case_ids  # type: ignore[arg-type]
            for seed in (0, 1)
        )
        assert one != other


def test_a_table_gives_its_index_and_inputs_their_rows_and_groups() -> None:
    frame = pd.DataFrame({"x": [1, 2, 3], "g": list("uvu")}, index=["a", "b", "c"])
    assert sorted(sample_cases(frame, 3).case_ids) == ["a", "b", "c"]
    assert sorted(sample_cases(frame["x"], 3).case_ids) == ["a", "b", "c"]
    assert sizes(sample_cases(frame, 3, design="stratified", strata="g")) == {"u": 2, "v": 1}
    inputs = SimpleNamespace(
        X=frame, sensitive=pd.DataFrame({"race": ["black", None, "white"]}, index=frame.index)
    )
    sample = sample_cases(inputs, 3, design="stratified", strata="race")
    assert sizes(sample) == {"black": 1, "missing": 1, "white": 1}
    groups = {case.case_id: dict(case.groups)["race"] for case in sample.cases}
    assert groups == {"a": "black", "b": "unknown", "c": "white"}
    with pytest.raises(
        InputError, match=r'strata is "rase"; accepted: .*, or a column: race, x, g'
    ):
        sample_cases(inputs, 3, design="stratified", strata="rase")


def test_stratified_allocation_is_equal_with_the_rest_to_the_largest() -> None:
    strata = ["white"] * 60 + ["black"] * 30 + ["hispanic"] * 10
    sample = sample_cases(range(100), 14, design="stratified", strata=strata)
    assert sizes(sample) == {"white": 5, "black": 5, "hispanic": 4}
    found = {case.stratum: case.inclusion_probability for case in sample.cases}
    assert found == {"white": 5 / 60, "black": 5 / 30, "hispanic": 4 / 10}
    assert "drawn at random, 4 of 10 in stratum hispanic" in {case.reason for case in sample.cases}


def test_a_stratum_smaller_than_its_share_is_taken_whole() -> None:
    strata = ["a"] * 50 + ["b"] * 50 + ["c"] * 2
    sample = sample_cases(range(102), 31, design="stratified", strata=strata)
    assert sizes(sample) == {"a": 15, "b": 14, "c": 2}


def test_proportional_allocation_follows_size_and_keeps_its_floor() -> None:
    strata = ["a"] * 60 + ["b"] * 35 + ["c"] * 5
    draw: dict[str, Any] = {"design": "stratified", "strata": strata}
    sample = sample_cases(range(100), 20, allocation="proportional", **draw)
    assert sizes(sample) == {"a": 12, "b": 7, "c": 1}
    # 21 · 0.6 = 12.6, 7.35, 1.05: the largest remainder is rounded up.
    sample = sample_cases(range(100), 21, allocation="proportional", **draw)
    assert sizes(sample) == {"a": 13, "b": 7, "c": 1}
    floored = sample_cases(range(100), 20, allocation="proportional", floor_per_group=4, **draw)
    # What the floor of c leaves, 16, is divided 60 : 35.
    assert sizes(floored) == {"a": 10, "b": 6, "c": 4}


def test_neyman_allocation_follows_size_times_deviation() -> None:
    strata = ["a"] * 60 + ["b"] * 30 + ["c"] * 10
    draw: dict[str, Any] = {"design": "stratified", "strata": strata, "allocation": "neyman"}
    sample = sample_cases(range(100), 12, deviations={"a": 0.1, "b": 0.3, "c": 0.9}, **draw)
    # 60 · 0.1 : 30 · 0.3 : 10 · 0.9 = 6 : 9 : 9, of which 12 cases are 3, 4.5, 4.5.
    assert sizes(sample) == {"a": 3, "b": 5, "c": 4}
    rows = [0.1] * 60 + [0.3] * 30 + [0.9] * 10
    assert sample_cases(range(100), 12, deviations=rows, **draw) == sample
    # Nothing to learn in a: it gets its floor; and all that the others cannot take.
    rest = {"a": 0.0, "b": 0.2, "c": 0.2}
    assert sizes(sample_cases(range(100), 20, deviations=rest, **draw))["a"] == 1
    assert sizes(sample_cases(range(100), 50, deviations=rest, **draw))["a"] == 10
    none = dict.fromkeys("abc", 0.0)
    assert sizes(sample_cases(range(100), 10, deviations=none, **draw)) == {"a": 6, "b": 3, "c": 1}


@given(
    st.lists(st.sampled_from("abcde"), min_size=1, max_size=40),
    st.sampled_from(["equal", "proportional", "neyman"]),
    st.data(),
)
def test_any_allocation_adds_up_and_its_weights_count_the_population(
    strata: list[str], allocation: str, data: st.DataObject
) -> None:
    n = data.draw(st.integers(len(set(strata)), len(strata)))
    spread = data.draw(st.lists(st.floats(0, 1), min_size=len(strata), max_size=len(strata)))
    sample = sample_cases(
        range(len(strata)),
        n,
        design="stratified",
        strata=strata,
        allocation=allocation,
        deviations=spread if allocation == "neyman" else None,
    )
    assert len(sample.cases) == n
    assert set(sizes(sample)) == set(strata)
    total = sum(1 / (case.inclusion_probability or math.nan) for case in sample.cases)
    assert total == pytest.approx(len(strata))
    if allocation == "equal":
        shares = [count for label, count in sizes(sample).items() if count < strata.count(label)]
        assert not shares or max(shares) - min(shares) <= 1


@given(
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from("abc")), min_size=1, max_size=40),
    st.floats(0.01, 1),
    st.integers(0, 9),
    st.data(),
)
def test_a_mixture_has_its_size_and_every_group_its_floor(
    cases: list[tuple[float, str]], mix: float, seed: int, data: st.DataObject
) -> None:
    priority, strata = [case[0] for case in cases], [case[1] for case in cases]
    floor = data.draw(st.integers(1, 5))
    least = {label: min(floor, strata.count(label)) for label in strata}
    n = data.draw(st.integers(sum(least.values()), len(cases)))
    sample = sample_cases(
        range(len(cases)),
        n,
        priority=priority,
        strata=strata,
        floor_per_group=floor,
        mix=mix,
        random_state=seed,
    )
    assert len(set(sample.case_ids)) == n
    assert all(sizes(sample)[label] >= count for label, count in least.items())
    assert all(0 < chance <= 1 for chance in chances(sample).values())


def test_a_group_that_the_priority_forgets_is_raised_to_its_floor() -> None:
    priority = [1.0] * 80 + [0.0] * 20
    strata = ["many"] * 80 + ["few"] * 20
    sample = sample_cases(range(100), 30, priority=priority, strata=strata, floor_per_group=10)
    assert sizes(sample) == {"many": 20, "few": 10}
    found = {case.stratum: case for case in sample.cases}
    assert found["few"].inclusion_probability == pytest.approx(10 / 20)
    assert found["many"].inclusion_probability == pytest.approx(20 / 80)
    assert found["few"].reason == (
        "drawn at random (priority 0.00); its chance was 0.5, raised to expect 10 of few"
    )
    whole = sample_cases(range(100), 90, priority=priority, strata=strata, floor_per_group=50)
    assert sizes(whole) == {"many": 70, "few": 20}


def test_a_case_says_why_it_was_drawn() -> None:
    priority = combine({"threshold": [1.0] * 5 + [0.0] * 95, "flip": [0.0] * 5 + [0.1] * 95})
    sample = sample_cases(range(100), 40, priority=priority)
    close = next(case for case in sample.cases if int(case.case_id) < 5)
    assert close.reason == "close to the threshold (priority 0.50); its chance was 1"
    assert close.priority == 0.5
    other = next(case for case in sample.cases if int(case.case_id) >= 5)
    assert other.reason == "drawn at random (priority 0.05); its chance was 0.37"
    plain = sample_cases(range(10), 5, priority=[1.0] + [0.1] * 9)
    assert "preferred (priority 1.00); its chance was 1" in {case.reason for case in plain.cases}


def test_where_nothing_is_preferred_every_case_has_the_same_chance() -> None:
    sample = sample_cases(range(10), 5, priority=[0.0] * 10)
    assert set(chances(sample).values()) == {0.5}
    assert sample.cases[0].reason == "drawn at random (priority 0.00); its chance was 0.5"


def test_all_cases_are_all_cases() -> None:
    strata = ["a"] * 9 + ["b"]
    for arguments in (
        {},
        {"design": "stratified", "strata": strata},
        {"design": "uncertainty", "priority": range(10)},
        {"priority": range(10), "strata": strata, "floor_per_group": 2},
    ):
        sample = sample_cases(range(10), 10, **arguments)
        assert sorted(map(int, sample.case_ids)) == list(range(10))
        assert set(chances(sample).values()) == {1.0}


def test_rows_without_a_label_are_a_stratum_of_their_own() -> None:
    strata = pd.Series(["a", None, "a", "b"], dtype="str")
    sample = sample_cases(range(4), 3, design="stratified", strata=strata)
    assert sizes(sample) == {"a": 1, "b": 1, "missing": 1}


def test_hand_picked_cases_have_no_chance() -> None:
    frame = pd.DataFrame({"x": range(5)}, index=list("abcde"))
    sample = pick_cases(frame, ["d", "b"], reason="asked for by the works council")
    assert sample.case_ids == ("d", "b")
    assert (sample.design, sample.population) == ("purposive", 5)
    assert {case.inclusion_probability for case in sample.cases} == {None}
    assert sample.cases[0].reason == "asked for by the works council"
    each = pick_cases(frame, ["d", "b"], reason={"d": "complaint 17", "b": "complaint 4"})
    assert [case.reason for case in each.cases] == ["complaint 17", "complaint 4"]
    assert pick_cases(range(3), [1]).cases[0].reason == "picked by hand"


@pytest.mark.parametrize(
    ("case_ids", "reason", "words"),
    [
        ([], "x", "got no cases to pick"),
        (["a", "a"], "x", 'case id "a" occurs more than once'),
        (["loan-12"], "x", '1 picked cases do not exist, first "loan-12"; did you mean "loan-1"?'),
        (["a"], " ", 'case "a" is picked without a reason'),
        (["a", "b"], {"a": "complaint"}, 'case "b" is picked without a reason'),
        ("ab", "x", "the cases are a str; expected a table or their ids"),
    ],
)
def test_what_cannot_be_picked_is_refused(case_ids: Any, reason: Any, words: str) -> None:
    with pytest.raises(InputError) as refusal:
        pick_cases(["a", "b", "loan-1"], case_ids, reason=reason)
    assert words in str(refusal.value)


def test_frame_has_one_row_per_case() -> None:
    sample = sample_cases(["x", "y"], 2, groups={"race": ["black", "white"]})
    frame = sample.frame()
    assert list(frame.columns) == [
        "case_id",
        "inclusion_probability",
        "stratum",
        "reason",
        "priority",
        "design",
        "group: race",
    ]
    assert dict(zip(frame["case_id"], frame["group: race"], strict=True)) == {
        "x": "black",
        "y": "white",
    }


def test_a_sample_comes_back_from_its_bytes() -> None:
    drawn = sample_cases(range(9), 4, priority=range(9), groups={"sex": list("mfmfmfmfm")})
    picked = pick_cases(range(9), [3])
    for sample in (drawn, picked):
        assert TypeAdapter(CaseSample).validate_json(canonical_bytes(sample)) == sample
    old = json.loads(canonical_bytes(sample_cases(range(9), 4)))
    for case in old["cases"]:
        del case["priority"], case["groups"]
    assert TypeAdapter(CaseSample).validate_python(old) == sample_cases(range(9), 4)


SCORES = [0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"design": "randm"}, 'design is "randm"; accepted: random, stratified, uncertainty, '),
        ({"design": "randm"}, 'did you mean "random"?'),
        ({"design": "purposive"}, "such cases are picked by hand, not drawn; use pick_cases"),
        ({"n": 4}, "got n=4, expected 1 to 3"),
        ({"n": 0}, "got n=0, expected 1 to 3"),
        ({"inputs_or_ids": []}, "expected 1 to 0, the number of cases"),
        ({"inputs_or_ids": ["a", "b", "a"]}, 'case id "a" occurs more than once'),
        ({"inputs_or_ids": [1, "1", 2]}, 'case id "1" occurs more than once'),
        ({"inputs_or_ids": None}, "the cases are a NoneType; expected a table or their ids"),
        ({"strata": [1, 2, 3]}, 'strata goes with design "stratified" or "mixture"'),
        ({"design": "stratified"}, 'design "stratified" needs strata; got none'),
        ({"design": "stratified", "strata": [1, 2]}, "got 2 strata labels, expected 3"),
        ({"design": "stratified", "strata": [1, 2, 3]}, "expected at least 3, one per stratum"),
        ({"design": "stratified", "strata": [[1], [2], [3]]}, "no single labels"),
        (
            {"design": "stratified", "strata": [1, 1, 2], "floor_per_group": 2},
            "got n=2, expected at least 3, 2 per stratum",
        ),
        ({"design": "mixture"}, 'design "mixture" needs priority; got none'),
        ({"design": "uncertainty"}, 'design "uncertainty" needs priority; got none'),
        ({"design": "random", "priority": SCORES}, 'priority goes with design "mixture" or'),
        ({"priority": [0.1, 0.2]}, "got 2 values of priority, expected 3"),
        ({"priority": [0.1, math.nan, 0.2]}, "priority is missing in 1 of 3"),
        ({"priority": [0.1, -1, 0.2]}, "priority holds -1; expected 0 or more"),
        ({"priority": [0.1, math.inf, 0.2]}, "priority holds inf; expected 0 or more"),
        ({"priority": ["high", "low", "low"]}, "priority holds values that are no numbers"),
        ({"priority": SCORES, "mix": 0}, "mix is 0; accepted: above 0, so that every case"),
        ({"priority": SCORES, "mix": 1.5}, "mix is 1.5"),
        ({"design": "uncertainty", "priority": SCORES, "mix": 0.5}, "mix goes with design"),
        ({"priority": SCORES, "floor_per_group": 1}, "floor_per_group needs strata"),
        ({"priority": SCORES, "strata": [1, 1, 2], "floor_per_group": 0}, "floor_per_group is 0"),
        (
            {"priority": SCORES, "strata": [1, 2, 3], "floor_per_group": 1},
            "got n=2, expected at least 3, the floor of 1 per stratum",
        ),
        (
            {"design": "stratified", "strata": [1, 1, 2], "allocation": "neymann"},
            'allocation is "neymann"; accepted: equal, proportional, neyman; did you mean',
        ),
        (
            {"design": "stratified", "strata": [1, 1, 2], "allocation": "neyman"},
            'deviations go with allocation "neyman", and it needs them',
        ),
        (
            {"design": "stratified", "strata": [1, 1, 2], "deviations": SCORES},
            'deviations go with allocation "neyman"',
        ),
        ({"allocation": "equal"}, 'allocation goes with design "stratified", got design "random"'),
        ({"groups": {"race": ["black"]}}, 'groups: got 1 rows in "race", expected 3'),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments: dict[str, object], words: str) -> None:
    given_arguments: dict[str, object] = {"inputs_or_ids": ["a", "b", "c"], "n": 2} | arguments
    with pytest.raises(InputError) as refusal:
        sample_cases(**given_arguments)  # type: ignore[arg-type]
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("deviations", "words"),
    [
        ({"a": 1.0}, 'deviations has no value for stratum "b"'),
        ({"a": 1.0, "b": 1.0, "c": 1.0}, 'deviations names "c"; accepted: a, b'),
        ({"a": 1.0, "b": math.nan}, "deviations is missing in 1 of 2"),
        ([0.1, 0.1], "got 2 values of deviations, expected 3"),
    ],
)
def test_deviations_that_do_not_fit_are_refused(deviations: Any, words: str) -> None:
    with pytest.raises(InputError) as refusal:
        sample_cases(
            range(3),
            2,
            design="stratified",
            strata=["a", "a", "b"],
            allocation="neyman",
            deviations=deviations,
        )
    assert words in str(refusal.value)


def test_numbers_and_arrays_of_other_kinds_are_read() -> None:
    by_list = sample_cases(range(6), 3, priority=[0, 1, 0, 1, 0, 1], strata=list("aabbab"))
    by_array = sample_cases(
        np.arange(6),
        3,
        priority=(score for score in np.array([0, 1, 0, 1, 0, 1], dtype=np.float32)),
        strata=pd.Categorical(list("aabbab")),
    )
    assert by_array == by_list
