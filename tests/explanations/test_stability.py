"""Stability indices in cases small enough to count, and explanations that move by a known amount."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from hitl_audit.canonical import digest
from hitl_audit.errors import InputError
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.explanations.lime.lime_weights import LimeWeights, lime_weights
from hitl_audit.explanations.raw_features import sample_rows
from hitl_audit.explanations.trust.lime_stability import coefficient_stability, variable_stability
from hitl_audit.explanations.trust.stability import Stability, stability

FloatArray = npt.NDArray[np.float64]


def lime(coefficients: Any, errors: Any = None) -> LimeWeights:
    runs = np.array(coefficients, dtype=np.float64)
    s, n = runs.shape[:2]
    return LimeWeights(
        coefficients=runs,
        intercepts=np.zeros((s, n)),
        scores=np.ones((s, n)),
        selected=runs != 0,
        errors=None if errors is None else np.broadcast_to(errors, runs.shape).copy(),
        row_values=np.ones(runs.shape[1:]),
        predictions=np.zeros(n),
        notes=(),
    )


def test_vsi_by_hand() -> None:
    # Top two of each run: ab, ab, ac. Pairs share 2, 1 and 1 of 2.
    runs = np.array([[[3.0, 2, 1]], [[-3, 2, 1]], [[3, 1, 2]]])
    assert variable_stability(runs, 2).tolist() == [pytest.approx(4 / 6)]
    assert variable_stability(runs, 3).tolist() == [1]
    # A weight of 0 names nothing: a, a, then a and b.
    few = np.array([[[3.0, 0, 0]], [[3, 0, 0]], [[3, 1, 0]]])
    assert variable_stability(few, 2).tolist() == [pytest.approx(3 / 6)]
    assert np.isnan(variable_stability(np.zeros((3, 1, 2)), 2)).all()


def test_vsi_is_the_mean_overlap_of_all_pairs() -> None:
    runs = np.random.default_rng(0).normal(size=(6, 20, 9))
    found = variable_stability(runs, 4)
    for i in range(20):
        tops = [set(np.argsort(-np.abs(run[i]))[:4].tolist()) for run in runs]
        shares = [len(tops[a] & tops[b]) / 4 for a in range(6) for b in range(a)]
        assert found[i] == pytest.approx(np.mean(shares))


def test_csi_by_hand() -> None:
    # Intervals ± 1.96: of a 0…3.92, 1…4.92, 10…13.92: one pair of three overlaps; b always.
    runs = [[[1.96, 20.0]], [[2.96, 20.0]], [[11.96, 20.0]]]
    assert coefficient_stability(lime(runs, 1.0), 2).tolist() == [pytest.approx((1 / 3 + 1) / 2)]
    # Only b is named by two runs when one feature is.
    assert coefficient_stability(lime(runs, 1.0), 1).tolist() == [1]
    # Named by one run each: nothing to compare.
    single = coefficient_stability(lime([[[1.0, 0]], [[0, 1.0]]], 1.0), 1)
    assert np.isnan(single).all()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (lime([[[1.0]], [[1.0]]]), "no standard errors"),
        (lime(np.ones((2, 1, 1, 3)), 1.0), "expected one output"),
    ],
)
def test_csi_needs_errors_of_one_output(weights: LimeWeights, message: str) -> None:
    with pytest.raises(InputError, match=message):
        coefficient_stability(weights, 1)


@pytest.fixture(scope="module")
def pool() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "x": rng.normal(0, 1, 200),
            "y": rng.normal(0, 10, 200),
            "word": rng.choice(["n", "e"], 200),
            "count": rng.integers(0, 50, 200),
            "gap": np.where(rng.random(200) < 0.3, np.nan, rng.normal(size=200)),
            "flag": rng.integers(0, 2, 200).astype(float),
            "small": rng.integers(0, 200, 200).astype(np.uint8),
            "nullable": pd.array(rng.integers(0, 90, 200), dtype="Int64"),
        }
    )


def linear(rows: pd.DataFrame, background: pd.DataFrame) -> FloatArray:
    """Shapley values of 3x + 2y, whatever the other columns are."""
    values = np.zeros(rows.shape)
    values[:, 0] = 3 * (rows["x"] - background["x"].mean())
    values[:, 1] = 2 * (rows["y"] - background["y"].mean())
    return values


def explanation(values: FloatArray, data: pd.DataFrame, size: int = 20) -> Explanation:
    return Explanation(
        values=values,
        base_values=np.zeros(len(values)),
        data=data,
        method="shap",
        algorithm="exact",
        exact=True,
        scale="value",
        output=None,
        predictions=values.sum(axis=1),
        background_digest=digest("none"),
        background_size=size,
        random_state=0,
        seconds=0.0,
    )


def measured(pool: pd.DataFrame, rows: int = 6, **options: Any) -> Stability:
    data = pool.iloc[:rows]
    background = pool.iloc[100:120]
    explained = explanation(linear(data, background), data)
    return stability(explained, linear, background=background, pool=pool, **options)


def test_over_backgrounds_by_recomputing(pool: pd.DataFrame) -> None:
    found = measured(pool, n_backgrounds=4, n_noise=1, random_state=3, k=2)
    runs = np.array(
        [linear(pool.iloc[:6], sample_rows(pool, 20, random_state=3 + i)) for i in range(1, 5)]
    )
    sd = runs.std(axis=0, ddof=1)
    assert found.background_spread is not None
    np.testing.assert_allclose(found.background_spread, sd)
    rows = found.frame()
    np.testing.assert_allclose(
        rows["background_instability"], sd.mean(axis=1) / np.abs(runs).mean(axis=(0, 2))
    )
    for i in range(6):
        same = [len(set(np.sign(runs[:, i, j]))) == 1 for j in (0, 1)]
        assert rows["background_sign_agreement"].iloc[i] == pytest.approx(np.mean(same))
    np.testing.assert_array_equal(rows["background_agreement"], 1)


def test_max_sensitivity_of_a_linear_model_approaches_its_bound(pool: pd.DataFrame) -> None:
    found = measured(pool, n_backgrounds=2, n_noise=400, radius=0.2)
    sd = pool.iloc[100:120][["x", "y"]].std(ddof=0).to_numpy()
    # The farthest corner of the box: both numbers move by 0.2 sd.
    bound = np.sqrt((3 * 0.2 * sd[0]) ** 2 + (2 * 0.2 * sd[1]) ** 2)
    worst = found.frame()["max_sensitivity"].to_numpy()
    assert (worst <= bound).all()
    assert (worst > 0.97 * bound).all()
    own = np.linalg.norm(linear(pool.iloc[:6], pool.iloc[100:120]), axis=1)
    np.testing.assert_allclose(found.frame()["relative_sensitivity"], worst / own)


def test_noise_leaves_gaps_words_and_whole_numbers(pool: pd.DataFrame) -> None:
    seen: list[pd.DataFrame] = []

    def explain(rows: pd.DataFrame, background: pd.DataFrame) -> FloatArray:
        seen.append(rows)
        return linear(rows, background)

    data, background = pool.iloc[:6], pool.iloc[100:120]
    stability(
        explanation(linear(data, background), data), explain, background=background, n_noise=3
    )
    assert len(seen) == 4
    assert (background["small"] > 128).any()
    for moved in seen[1:]:
        assert (moved.dtypes == data.dtypes).all()
        for name in ("word", "flag"):
            pd.testing.assert_series_equal(moved[name], data[name])
        for name in ("x", "count", "small", "nullable"):
            inside = data[name].between(background[name].min(), background[name].max())
            new = moved.loc[inside, name]
            assert new.between(background[name].min(), background[name].max()).all()
        assert moved["gap"].isna().equals(data["gap"].isna())
        assert (moved["x"] != data["x"]).any()
        step = np.abs(moved["count"] - data["count"])
        assert step.max() <= np.ceil(0.1 * background["count"].std())
    assert any((moved["count"] != data["count"]).any() for moved in seen[1:])


def test_noise_of_a_row_does_not_depend_on_its_neighbours(pool: pd.DataFrame) -> None:
    background = pool.iloc[100:120]

    def measure(data: pd.DataFrame) -> pd.DataFrame:
        explained = explanation(linear(data, background), data)
        return stability(explained, linear, background=background, n_noise=4).frame()

    pd.testing.assert_frame_equal(measure(pool.iloc[[4, 1]]), measure(pool.iloc[:6]).iloc[[4, 1]])


def test_over_seeds_with_lime_itself(pool: pd.DataFrame) -> None:
    data = pool.iloc[:4]

    def output(rows: pd.DataFrame) -> FloatArray:
        return np.asarray(3 * rows["x"] + rows["y"] / 10, dtype=np.float64)

    weights = lime_weights(
        data, output=output, background=pool, n_seeds=3, n_samples=500, standard_errors=True
    )
    explained = explanation(np.array(weights.mean), data)
    found = stability(explained, lime=weights, k=1)
    assert found.frame().columns.tolist() == ["vsi", "csi"]
    strong = (weights.mean**2).argmax(axis=1)
    assert (found.frame()["vsi"][strong == 0] == 1).any()
    assert found.frame()["csi"].between(0, 1).all()
    assert found.background_spread is None
    assert found.notes == ("3 seeds of LIME",)


def test_summary_groups_and_chart(pool: pd.DataFrame) -> None:
    found = measured(pool, rows=40, n_backgrounds=2, n_noise=2)
    table = found.summary().set_index("measure")
    assert table["value"]["max_sensitivity"] == pytest.approx(
        found.frame()["max_sensitivity"].mean()
    )
    assert "5 strongest" in table["meaning"]["background_agreement"]
    groups = found.by_group(np.repeat(["a", "b"], 20), min_group=10).frame()
    assert set(groups["status"]) == {"measured"}
    assert "max_sensitivity" not in found.chart().series[0].x
    assert len(found.plot().data) >= 1
    assert "40 rows" in repr(found)
    assert "relative_sensitivity" in found._repr_html_()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"background": None, "pool": None}, "nothing to measure"),
        ({"explain": None}, "explain is None"),
        ({"k": 0}, "k is 0"),
        ({"n_backgrounds": 1}, "n_backgrounds is 1"),
        ({"n_noise": 0}, "n_noise is 0"),
        ({"radius": 0.0}, "radius is 0.0"),
        ({"explain": lambda X, b: linear(X, b) + 1}, "differs from the explanation by up to 1"),
        ({"explain": lambda X, b: linear(X, b)[:, :2]}, r"shape \(6, 2\); expected \(6, 8\)"),
        ({"lime": lime([[[1.0]], [[1.0]]], 1.0)}, r"shape \(1, 1\); expected \(6, 8\)"),
        ({"size": 200}, "pool has 200 rows; expected more than the background's 200"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    pool: pd.DataFrame, changes: dict[str, Any], message: str
) -> None:
    data, background = pool.iloc[:6], pool.iloc[100:120]
    options: dict[str, Any] = {"explain": linear, "background": background, "pool": pool}
    options |= changes
    explained = explanation(linear(data, background), data, options.pop("size", 20))
    with pytest.raises(InputError, match=message):
        stability(explained, **options)
