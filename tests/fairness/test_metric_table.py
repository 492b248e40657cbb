"""The frames of a ``MetricFrame``: Fairlearn's numbers and Fairlearn's resamples, from counts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from operator import methodcaller
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from fairlearn import metrics as fairlearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    precision_score,
    recall_score,
)

from hitl_audit.errors import InputError
from hitl_audit.fairness.group_metrics import METRICS, GroupMetrics, group_metrics
from hitl_audit.fairness.resampling import classes, weighted_multinomial


def false_discovery_rate(truth: Any, decision: Any, sample_weight: Any = None) -> float:
    chosen = np.asarray(decision) == 1
    weight = np.ones(len(chosen)) if sample_weight is None else np.asarray(sample_weight)
    wrong = weight[chosen & (np.asarray(truth) == 0)].sum()
    return float(wrong / weight[chosen].sum()) if weight[chosen].sum() else 0.0


def false_omission_rate(truth: Any, decision: Any, sample_weight: Any = None) -> float:
    return false_discovery_rate(1 - np.asarray(truth), 1 - np.asarray(decision), sample_weight)


THEIRS: dict[str, Callable[..., Any]] = {
    "selection_rate": fairlearn.selection_rate,
    "true_positive_rate": fairlearn.true_positive_rate,
    "false_positive_rate": fairlearn.false_positive_rate,
    "true_negative_rate": fairlearn.true_negative_rate,
    "false_negative_rate": fairlearn.false_negative_rate,
    "accuracy": accuracy_score,
    "precision": partial(precision_score, zero_division=0),
    "negative_predictive_value": partial(precision_score, pos_label=0, zero_division=0),
    "false_discovery_rate": false_discovery_rate,
    "false_omission_rate": false_omission_rate,
    "balanced_accuracy": balanced_accuracy_score,
    "f1": partial(f1_score, zero_division=0),
    "count": fairlearn.count,
}
EIGHT = (*METRICS[:7], "count")
RECALL = partial(recall_score, zero_division=0)
KINDS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[Any], Any]]] = {
    "by_group": (
        GroupMetrics.by_group_frame,
        lambda frame: frame.by_group,
        lambda frame: frame.by_group_ci,
    ),
    "overall": (
        GroupMetrics.overall_frame,
        lambda frame: frame.overall,
        lambda frame: frame.overall_ci,
    ),
    "group_min": (
        GroupMetrics.group_min,
        lambda frame: frame.group_min(),
        lambda frame: frame.group_min_ci(),
    ),
    "group_max": (
        GroupMetrics.group_max,
        lambda frame: frame.group_max(),
        lambda frame: frame.group_max_ci(),
    ),
}
for _kind in ("difference", "ratio"):
    for _method in ("between_groups", "to_overall"):
        KINDS[f"{_kind} {_method}"] = (
            methodcaller(_kind, _method),
            methodcaller(_kind, method=_method),
            methodcaller(f"{_kind}_ci", method=_method),
        )


@pytest.fixture(autouse=True)
def quiet_peers() -> Iterator[None]:
    """scikit-learn and pandas warn of what these tests ask for: classes that do not occur."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
        warnings.filterwarnings("ignore", "A single label was found")
        warnings.filterwarnings("ignore", "invalid value encountered")
        warnings.filterwarnings("ignore", "All-NaN slice encountered")
        yield


def both(
    frame: pd.DataFrame,
    sensitive: list[str],
    *,
    control: list[str] | None = None,
    weight: str | None = None,
    metrics: tuple[str, ...] = METRICS,
    theirs: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[GroupMetrics, fairlearn.MetricFrame]:
    ours = group_metrics(
        frame["truth"],
        frame["decision"],
        sensitive_features=frame[sensitive],
        control_features=frame[control] if control else None,
        sample_weight=frame[weight] if weight else None,
        metrics=metrics,
        min_group=1,
        **options,
    )
    weights = {m: {"sample_weight": frame[weight]} for m in metrics if weight and m != "count"}
    other = fairlearn.MetricFrame(
        metrics={metric: THEIRS[metric] for metric in metrics},
        y_true=frame["truth"],
        y_pred=frame["decision"],
        sensitive_features=frame[sensitive],
        control_features=frame[control] if control else None,
        sample_params=weights,
        **(theirs or {}),
    )
    return ours, other


def wide(column: pd.Series, theirs: Any) -> Any:
    """Our long column in the shape of Fairlearn's answer."""
    if isinstance(theirs, pd.Series):
        return column.loc[theirs.index]
    return column.unstack("metric").loc[theirs.index, theirs.columns]


def assert_same(ours: GroupMetrics, theirs: fairlearn.MetricFrame, atol: float = 1e-12) -> None:
    for kind, (mine, other, _) in KINDS.items():
        wanted = other(theirs)
        np.testing.assert_allclose(
            wide(mine(ours)["value"], wanted).to_numpy(dtype=float),
            wanted.to_numpy(dtype=float),
            rtol=0,
            atol=atol,
            err_msg=kind,
        )
    pd.testing.assert_index_equal(ours.by_group.index, theirs.by_group.index, check_exact=True)
    assert list(ours.by_group.columns) == list(theirs.by_group.columns)


ROWS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(0, 1),
        st.sampled_from("abc"),
        st.sampled_from([2, 10]),
        st.sampled_from("st"),
        st.sampled_from([0.5, 1.0, 2.25]),
    ),
    min_size=2,
    max_size=40,
)


@given(ROWS, st.booleans(), st.booleans())
@settings(max_examples=8, deadline=None)
def test_point_estimates_are_fairlearns(
    rows: list[tuple[Any, ...]], controlled: bool, weighted: bool
) -> None:
    frame = pd.DataFrame(rows, columns=["truth", "decision", "p", "q", "c", "w"])
    ours, theirs = both(
        frame,
        ["p", "q"],
        control=["c"] if controlled else None,
        weight="w" if weighted else None,
        n_boot=2,
    )
    assert_same(ours, theirs)


def test_the_example_of_fairlearns_documentation() -> None:
    sex = ["Female"] * 5 + ["Male"] * 5
    found = group_metrics(
        [1, 1, 1, 1, 1, 0, 0, 1, 1, 0],
        [0, 1, 1, 1, 1, 0, 0, 0, 1, 1],
        sensitive_features=sex,
        metrics=fairlearn.selection_rate,
    )
    assert found.by_group["selection_rate"].to_dict() == {"Female": 0.8, "Male": 0.4}
    assert found.by_group.index.name == "sensitive_feature_0"
    row = "selection_rate"
    assert found.difference().loc[row, "value"] == pytest.approx(0.4, abs=1e-12)
    assert found.ratio().loc[row, "value"] == 0.5
    assert found.group_min().loc[row, "value"] == 0.4
    assert found.group_max().loc[row, "value"] == 0.8
    assert found.difference("to_overall").loc[row, "value"] == pytest.approx(0.2, abs=1e-12)
    assert found.metrics == ("selection_rate",)


def people(rows: int, seed: int, *, rare: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    race = rng.choice(["black", "hispanic", "white"], rows, p=[0.1, 0.3, 0.6])
    if rare:
        race[:1] = "other"
    return pd.DataFrame(
        {
            "truth": rng.integers(0, 2, rows),
            "decision": (rng.random(rows) < np.where(race == "white", 0.7, 0.4)).astype(int),
            "race": race,
            "sex": rng.choice(["f", "m"], rows),
            "age": rng.integers(8, 12, rows),
            "w": rng.random(rows),
        }
    )


@pytest.mark.parametrize(
    ("sensitive", "control", "rare"),
    [
        (["race"], None, False),
        (["race"], None, True),
        (["race", "sex"], None, True),
        (["age"], ["sex"], False),
    ],
)
def test_replay_is_fairlearns_bootstrap(
    sensitive: list[str], control: list[str] | None, rare: bool
) -> None:
    """Its own sequence of resamples for a seed, and no difference at all in the bounds."""
    quantiles = {"n_boot": 15, "ci_quantiles": [0.025, 0.975], "random_state": 42}
    ours, theirs = both(
        people(70, 3, rare=rare),
        sensitive,
        control=control,
        metrics=EIGHT,
        theirs=quantiles,
        method="replay",
        n_boot=15,
        random_state=42,
    )
    assert_same(ours, theirs, atol=0)
    for kind, (mine, _, other) in KINDS.items():
        for name, bound in zip(("low", "high"), other(theirs), strict=True):
            found = wide(mine(ours)[name], bound).to_numpy(dtype=float)
            np.testing.assert_array_equal(found, bound.to_numpy(dtype=float), err_msg=kind)


def test_replay_draws_the_rows_that_pandas_draws() -> None:
    frame = people(50, 1)
    found = group_metrics(
        frame["truth"],
        frame["decision"],
        sensitive_features=frame["race"],
        method="replay",
        n_boot=3,
        random_state=7,
    )
    seeds = np.random.default_rng(7).integers(0, np.iinfo(np.uint32).max, 3, dtype=np.uint32)
    for i, seed in enumerate(seeds):
        drawn = frame.sample(frac=1, replace=True, random_state=seed, ignore_index=True)
        counted = drawn.groupby(["race", "truth", "decision"]).size()
        for g, race in enumerate(["black", "hispanic", "white"]):
            cells = [int(counted.get((race, t, d), 0)) for t in (0, 1) for d in (0, 1)]
            assert found.table.replicates.cells[:, i, g].tolist() == cells


def test_replay_with_weights() -> None:
    quantiles = {"n_boot": 10, "ci_quantiles": [0.05, 0.95], "random_state": 1}
    ours, theirs = both(
        people(60, 5),
        ["race"],
        weight="w",
        metrics=EIGHT,
        theirs=quantiles,
        method="replay",
        n_boot=10,
        random_state=1,
        confidence=0.9,
    )
    assert_same(ours, theirs)
    for mine, _, other in KINDS.values():
        for name, bound in zip(("low", "high"), other(theirs), strict=True):
            found = wide(mine(ours)[name], bound).to_numpy(dtype=float)
            np.testing.assert_allclose(found, bound.to_numpy(dtype=float), rtol=0, atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_multinomial_law_is_that_of_drawing_rows(weighted: bool) -> None:
    frame = people(400, 2)
    options: dict[str, Any] = {
        "sensitive_features": frame["race"],
        "metrics": ["selection_rate", "f1"],
        "sample_weight": frame["w"] if weighted else None,
        "n_boot": 4000,
    }
    drawn = group_metrics(frame["truth"], frame["decision"], **options)
    replayed = group_metrics(frame["truth"], frame["decision"], method="replay", **options)
    for kind in (GroupMetrics.by_group_frame, GroupMetrics.difference, GroupMetrics.ratio):
        a, b = kind(drawn), kind(replayed)
        np.testing.assert_array_equal(a["value"], b["value"])
        np.testing.assert_allclose(a[["low", "high"]], b[["low", "high"]], atol=0.025)
    assert drawn.table.replicates.rows.sum(1).tolist() == [400] * 4000


def test_weights_that_all_differ_are_drawn_in_classes() -> None:
    """Standard deviations of the resampled sums, against those of drawing rows."""
    rng = np.random.default_rng(5)
    rows = 20_000
    cell, weight = rng.integers(0, 8, rows), rng.lognormal(0, 1, rows)
    drawn = weighted_multinomial(cell, weight, 2, 4000, 0)
    sums = np.moveaxis(drawn.cells, 0, -1).reshape(4000, 8)
    total = np.bincount(cell, weights=weight)
    spread = np.sqrt(np.bincount(cell, weights=weight**2) - total**2 / rows)
    assert sums.mean(0) == pytest.approx(total, abs=0.07 * spread.max())
    assert sums.std(0) == pytest.approx(spread, rel=0.05)
    assert (drawn.rows.sum(1) == rows).all()


@given(st.lists(st.integers(0, 300), min_size=1, max_size=400), st.integers(2, 40))
def test_classes_are_runs_of_neighbors(values: list[int], most: int) -> None:
    array = np.array(values)
    found = classes(array, most)
    order = np.argsort(array, kind="stable")
    assert set(np.diff(found[order])) <= {0, 1}
    assert set(found) == set(range(found.max() + 1))
    same = len(set(values)) <= most
    assert found.max() + 1 == len(set(values)) if same else found.max() < most
    for place in () if same else set(found.tolist()):
        assert np.ptp(array[found == place]) <= 2 / most * np.ptp(array)


def test_the_seed_decides() -> None:
    frame = people(80, 2)
    options: dict[str, Any] = {"sensitive_features": frame["race"], "n_boot": 200}
    labels = frame["truth"], frame["decision"]
    once = group_metrics(*labels, **options).difference()
    pd.testing.assert_frame_equal(once, group_metrics(*labels, **options).difference())
    other = group_metrics(*labels, random_state=1, **options).difference()
    assert not once["low"].equals(other["low"])


def test_replicates_that_lose_a_group_are_counted() -> None:
    frame = people(60, 0, rare=True)
    found = group_metrics(
        frame["truth"], frame["decision"], sensitive_features=frame["race"], n_boot=2000
    )
    lost = int(found.by_group_frame()["undefined"].loc["other", "selection_rate"])
    # One row among 60 is missing from (59/60)^60, 36 %, of the resamples.
    assert 640 < lost < 820
    assert found.difference().loc["selection_rate", "undefined"] == 0
    assert found.by_group_frame().notna().all(axis=None)


def test_own_metrics_run_through_fairlearn() -> None:
    frame = people(60, 4)
    theirs = fairlearn.MetricFrame(
        metrics={"recall": RECALL},
        y_true=frame["truth"],
        y_pred=frame["decision"],
        sensitive_features=frame["race"],
        control_features=frame["sex"],
        n_boot=5,
        ci_quantiles=[0.025, 0.975],
        random_state=9,
    )
    found = group_metrics(
        frame["truth"],
        frame["decision"],
        sensitive_features=frame["race"],
        control_features=frame["sex"],
        metrics={"recall": RECALL, "selection_rate": "selection_rate"},
        n_boot=5,
        random_state=9,
    )
    np.testing.assert_array_equal(found.by_group["recall"], theirs.by_group["recall"])
    for kind, (mine, other, bounds) in KINDS.items():
        ours = mine(found).xs("recall", level="metric")
        np.testing.assert_array_equal(ours["value"], other(theirs)["recall"], err_msg=kind)
        for name, bound in zip(("low", "high"), bounds(theirs), strict=True):
            np.testing.assert_array_equal(ours[name], bound["recall"], err_msg=kind)
    assert found.metrics == ("selection_rate",)
    weighted = group_metrics(
        frame["truth"],
        frame["decision"],
        sensitive_features=frame["race"],
        metrics=[recall_score],
        sample_weight=frame["w"],
    )
    black = frame[frame["race"] == "black"]
    assert weighted.by_group.loc["black", "recall_score"] == pytest.approx(
        recall_score(black["truth"], black["decision"], sample_weight=black["w"])
    )


def test_known_functions_are_counted_not_called() -> None:
    frame = people(60, 4)
    found = group_metrics(
        frame["truth"],
        frame["decision"],
        sensitive_features=frame["race"],
        metrics=[fairlearn.selection_rate, accuracy_score, "f1"],
    )
    assert found.metrics == ("selection_rate", "accuracy", "f1")
    named = group_metrics(
        frame["truth"],
        frame["decision"],
        sensitive_features=frame["race"],
        metrics={"chosen": fairlearn.selection_rate},
    )
    assert list(named.by_group.columns) == ["chosen"]
    assert named.by_group["chosen"].tolist() == found.by_group["selection_rate"].tolist()


def test_results_without_their_rows_derive_the_same_frames() -> None:
    frame = people(90, 6)
    found = group_metrics(frame["truth"], frame["decision"], sensitive_features=frame[["race"]])
    alone = GroupMetrics(found.counts, found.rates, found.against_reference, 0.95, 30, found.notes)
    pd.testing.assert_frame_equal(alone.by_group, found.by_group)
    pd.testing.assert_frame_equal(alone.ratio(), found.ratio())
    weighted = group_metrics(
        frame["truth"],
        frame["decision"],
        sensitive_features=frame["race"],
        sample_weight=frame["w"],
    )
    lost = GroupMetrics(
        weighted.counts, weighted.rates, weighted.against_reference, 0.95, 30, weighted.notes
    )
    with pytest.raises(InputError, match="these rates are weighted"):
        _ = lost.by_group


def test_columns_of_any_kind_are_the_same_groups() -> None:
    names = ["b", "a", None, "b", "a", "a"]
    labels = [1, 0, 1, 1, 0, 1]
    series = pd.Series(names, name="g")
    tables: list[Any] = [
        series,
        series.astype("category"),
        series.astype(object),
        pd.DataFrame({"g": names}),
        {"g": names},
        {"g": pd.Categorical(names)},
        pa.table({"g": names}),
        {"g": pa.chunked_array([names])},
        {"g": pa.array(names)},
    ]
    wanted = group_metrics(labels, labels, sensitive_features=tables[0])
    assert wanted.by_group.index.tolist() == ["a", "b", "unknown"]
    for table in tables[1:]:
        found = group_metrics(pa.array(labels), pa.array(labels), sensitive_features=table)
        assert found.counts == wanted.counts
        pd.testing.assert_frame_equal(found.by_group, wanted.by_group)
    for column, groups in (
        ([True, False, True], [False, True]),
        (np.array([10, 2, 2]), [2, 10]),
        (np.array(["x", "yy", "x"]), ["x", "yy"]),
        (["only"] * 3, ["only"]),
    ):
        small = group_metrics([1, 0, 1], [1, 1, 0], sensitive_features=column)
        assert small.by_group.index.tolist() == groups
    crossed = group_metrics(
        [1, 0, 1], [1, 1, 0], sensitive_features=np.array([[1, 5], [2, 5], [1, 6]])
    )
    assert crossed.by_group.index.names == ["sensitive_feature_0", "sensitive_feature_1"]
    assert crossed.by_group.index.tolist() == [(1, 5), (1, 6), (2, 5), (2, 6)]
    assert crossed.by_group["count"].isna().tolist() == [False, False, False, True]


def test_five_hundred_groups() -> None:
    rng = np.random.default_rng(0)
    truth, decision = rng.integers(0, 2, (2, 20_000))
    city = rng.integers(0, 500, 20_000)
    found = group_metrics(
        truth, decision, sensitive_features={"city": city}, metrics=["selection_rate"]
    )
    assert len(found.by_group) == 500
    assert found.by_group.index.tolist() == list(range(500))
    assert len(found.against_reference) == 2 * 499
    chosen = decision[city == 17].mean()
    assert found.by_group.loc[17, "selection_rate"] == pytest.approx(chosen, abs=1e-12)


LABELS = [0, 1] * 10
GROUPS = ["a", "b"] * 10


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"y_pred": ["yes", "no"] * 10}, "y_pred has the labels 'yes', 'no'"),
        ({"y_true": [0.0, np.nan] * 10}, "y_true is missing in 10 of 20 rows"),
        ({"sample_weight": [-1.0] * 20}, "negative in 20 of 20 rows"),
        ({"sample_weight": [0.0] * 20}, "zero in every row"),
        ({"sample_weight": [np.nan] * 20}, "missing or infinite in 20"),
        ({"sample_weight": ["x"] * 20}, "no numbers"),
        ({"sample_weight": [1.0] * 3}, r"shape \(3,\), expected \(20,\)"),
        ({"sensitive_features": GROUPS[:3]}, "got 3 rows"),
        ({"sensitive_features": {}}, "has no column"),
        ({"sensitive_features": {"all": GROUPS}}, '"all", a reserved name'),
        ({"sensitive_features": np.zeros((20, 1, 1))}, "has shape"),
        ({"sensitive_features": {"g": np.zeros((20, 2))}}, "one value per row"),
        ({"sensitive_features": {"g": [["a"]] * 20}}, "no single values"),
        ({"sensitive_features": 3}, "is a int"),
        ({"control_features": GROUPS[:3]}, "control_features: got 3 rows"),
        (
            {"control_features": {"g": GROUPS}, "sensitive_features": {"g": GROUPS}},
            "which sensitive_features has too",
        ),
        ({"method": "bootstrap"}, 'method is "bootstrap"; accepted: multinomial, replay'),
        ({"method": "wilsn"}, 'did you mean "wilson"'),
        ({"method": ["katz", "koopman"]}, "two methods of a ratio"),
        ({"test": "student"}, 'test is "student"; accepted: fisher, z'),
        ({"test": "fisher", "sample_weight": [1.0] * 20}, "counts rows, and these have weights"),
        ({"n_boot": 0}, "n_boot is 0"),
        ({"random_state": None}, "random_state is None"),
        ({"metrics": [lambda t, p: 0.5]}, None),
        ({"metrics": [partial(recall_score)]}, "has no name"),
        ({"metrics": {"f1": recall_score}}, "built in and cannot be another"),
        ({"metrics": {"chosen": "selection_rate"}}, 'calls "selection_rate" by another name'),
        ({"n_boot": 1.5}, "n_boot is 1.5; accepted: a whole number"),
        ({"confidence": "95"}, "confidence is '95'"),
        ({"sensitive_features": [None, "unknown"] * 10}, "missing in 10 of 20 rows and has a"),
        ({"y_score": [0.5] * 3}, "y_score: got 3 rows, expected 20"),
        ({"y_score": [0.5] * 20, "sample_weight": [1.0] * 20}, "count every row alike"),
    ],
)
def test_bad_input_is_refused_in_words(options: dict[str, Any], words: str | None) -> None:
    arguments: dict[str, Any] = {
        "y_true": LABELS,
        "y_pred": LABELS,
        "sensitive_features": GROUPS,
        **options,
    }
    if words is None:
        assert group_metrics(**arguments).by_group.iloc[:, 0].tolist() == [0.5, 0.5]
        return
    with pytest.raises(InputError, match=words):
        group_metrics(**arguments)


def test_an_own_metric_that_cannot_be_used_is_refused() -> None:
    def pair(truth: Any, decision: Any) -> list[float]:
        return [0.0, 1.0]

    with pytest.raises(InputError, match='metric "pair" returns no single number'):
        _ = group_metrics(LABELS, LABELS, sensitive_features=GROUPS, metrics=[pair]).by_group
    with pytest.raises(InputError, match='metric "pair" takes no sample_weight'):
        _ = group_metrics(
            LABELS, LABELS, sensitive_features=GROUPS, metrics=[pair], sample_weight=[1.0] * 20
        ).by_group
    found = group_metrics(LABELS, LABELS, sensitive_features=GROUPS)
    with pytest.raises(InputError, match='method is "between"; accepted: between_groups'):
        found.difference("between")
