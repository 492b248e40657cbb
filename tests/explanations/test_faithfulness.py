"""Faithfulness against closed forms of linear models and loops that replace values one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from hitl_audit.canonical import digest
from hitl_audit.errors import ExplanationError, InputError
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.explanations.raw_features import sample_rows
from hitl_audit.explanations.trust.faithfulness import Faithfulness, faithfulness

FloatArray = npt.NDArray[np.float64]
Model = Callable[[pd.DataFrame], FloatArray]

NAMES = list("abcdef")


def explanation(data: pd.DataFrame, values: FloatArray, model: Model) -> Explanation:
    predictions = np.asarray(model(data), dtype=np.float64)
    return Explanation(
        values=values,
        base_values=predictions - values.sum(axis=1),
        data=data,
        method="shap",
        algorithm="exact",
        exact=True,
        scale="value",
        output=None,
        predictions=predictions,
        background_digest=digest("none"),
        background_size=1,
        random_state=0,
        seconds=0.0,
    )


@pytest.fixture(scope="module")
def background() -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(0).normal(size=(60, 6)), columns=NAMES)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    data = np.random.default_rng(1).normal(3, 1, size=(40, 6))
    return pd.DataFrame(data, columns=NAMES, index=[f"case-{i}" for i in range(40)])


WEIGHTS = np.array([5.0, -4.0, 3.0, 2.0, 1.0, 0.0])


def linear(frame: pd.DataFrame) -> FloatArray:
    return np.asarray(frame.to_numpy() @ WEIGHTS)


def shapley(rows: pd.DataFrame, background: pd.DataFrame) -> FloatArray:
    return np.asarray(WEIGHTS * (rows.to_numpy() - background.to_numpy().mean(axis=0)))


def test_prediction_gaps_of_a_linear_model_in_closed_form(
    rows: pd.DataFrame, background: pd.DataFrame
) -> None:
    # Replacing a set S moves the prediction by Σ_S w (x − b), whatever the others are.
    values = shapley(rows, background)
    found = faithfulness(
        explanation(rows, values, linear), linear, background, k=2, n_background=60
    ).frame()
    for i, name in enumerate(rows.index):
        top = np.argsort(-np.abs(values[i]))[:2]
        moves = WEIGHTS * (rows.to_numpy()[i] - background.to_numpy())
        rest = [j for j in range(6) if j not in top]
        assert found.loc[name, "pgi"] == pytest.approx(np.abs(moves[:, top].sum(axis=1)).mean())
        assert found.loc[name, "pgu"] == pytest.approx(np.abs(moves[:, rest].sum(axis=1)).mean())


def test_a_normal_background_gives_the_mean_of_a_folded_normal() -> None:
    big = pd.DataFrame(np.random.default_rng(3).normal(size=(4000, 6)), columns=NAMES)
    row = pd.DataFrame([[0.5, -0.2, 0.1, 0.0, 0.3, 0.0]], columns=NAMES)
    values = np.array([[9.0, 8.0, 1.0, 1.0, 1.0, 1.0]])
    found = faithfulness(
        explanation(row, values, linear), linear, big, k=2, n_background=4000, n_random=1
    ).frame()
    # 5 (.5 − b) − 4 (−.2 − b′) is normal with mean 3.3 and variance 41.
    mean, sd = 3.3, np.sqrt(41)
    from scipy.stats import norm

    folded = sd * np.sqrt(2 / np.pi) * np.exp(-(mean**2) / 82) + mean * (
        1 - 2 * norm.cdf(-mean / sd)
    )
    assert found["pgi"].iloc[0] == pytest.approx(folded, rel=0.04)


def test_one_feature_found_or_missed_has_known_areas(
    rows: pd.DataFrame, background: pd.DataFrame
) -> None:
    def first(frame: pd.DataFrame) -> FloatArray:
        return frame["a"].to_numpy(dtype=np.float64)

    right = np.tile([9.0, 1, 1, 1, 1, 1], (40, 1))
    wrong = np.tile([0.5, 1, 1, 1, 1, 1], (40, 1))
    options: dict[str, Any] = {"k": 2, "n_background": 60, "n_random": 300}
    good = faithfulness(explanation(rows, right, first), first, background, **options).frame()
    bad = faithfulness(explanation(rows, wrong, first), first, background, **options).frame()
    gap = np.abs(rows["a"].to_numpy()[:, np.newaxis] - background["a"].to_numpy()).mean(axis=1)
    # The gap jumps at the first of six steps, or at the last: trapezoids of width 1/6.
    np.testing.assert_allclose(good["deletion_auc"], gap * (1 - 1 / 12))
    np.testing.assert_allclose(good["insertion_auc"], gap / 12)
    np.testing.assert_allclose(bad["deletion_auc"], gap / 12)
    np.testing.assert_allclose(bad["insertion_auc"], gap * (1 - 1 / 12))
    np.testing.assert_allclose(good["pgi"], gap)
    np.testing.assert_allclose(good["pgu"], 0, atol=1e-12)
    np.testing.assert_allclose(bad["pgi"], 0, atol=1e-12)
    # A random ranking has it among its first two once in three times, and an area of a half.
    np.testing.assert_allclose(good["pgi_random"].mean(), (gap / 3).mean(), rtol=0.05)
    np.testing.assert_allclose(good["deletion_auc_random"].mean(), (gap / 2).mean(), rtol=0.05)
    np.testing.assert_allclose(good["insertion_auc_random"].mean(), (gap / 2).mean(), rtol=0.05)
    # It ties with the sixth of random rankings that put the feature in the same place.
    assert good["beats_random"].mean() == pytest.approx(1 - 1 / 12, abs=0.02)
    assert bad["beats_random"].mean() == pytest.approx(1 / 12, abs=0.02)
    assert (good["deletion_gain"] > 0).all()
    assert (bad["deletion_gain"] < 0).all()


def mixed(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "word": pd.Categorical(rng.choice(["n", "e", "s"], n), categories=["n", "e", "s"]),
            "count": rng.integers(0, 9, n),
            "gap": np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n)),
            "flag": rng.random(n) < 0.5,
        }
    )
    return frame


def odd(frame: pd.DataFrame) -> FloatArray:
    assert frame.dtypes.astype(str).tolist() == ["float64", "category", "int64", "float64", "bool"]
    score = frame["x"] * (frame["word"] == "n") + frame["count"] / 4
    return np.asarray(score + frame["gap"].fillna(-1) * frame["flag"], dtype=np.float64)


def test_equal_to_replacing_values_one_by_one() -> None:
    data, behind = mixed(3, 5), mixed(12, 6)
    values = np.random.default_rng(7).normal(size=(3, 5))
    found = faithfulness(
        explanation(data, values, odd), odd, behind, k=2, n_background=4, n_random=2, n_steps=5
    ).frame()
    drawn = sample_rows(behind, 4, random_state=0)
    for i in range(3):
        order = np.argsort(-np.abs(values[i]))
        deleted, inserted = np.zeros(6), np.zeros(6)
        own = odd(data.iloc[[i]])[0]
        for t in range(6):
            for b in range(4):
                without, only = data.iloc[[i]].copy(), data.iloc[[i]].copy()
                for j in order[:t]:
                    without[data.columns[j]] = drawn.iloc[[b], j].array
                for j in order[t:]:
                    only[data.columns[j]] = drawn.iloc[[b], j].array
                deleted[t] += abs(odd(without)[0] - own) / 4
                inserted[t] += abs(odd(only)[0] - own) / 4
        assert found["pgi"][i] == pytest.approx(deleted[2])
        assert found["pgu"][i] == pytest.approx(inserted[2])
        assert found["deletion_auc"][i] == pytest.approx(
            (deleted[0] / 2 + deleted[1:5].sum() + deleted[5] / 2) / 5
        )
        assert found["insertion_auc"][i] == pytest.approx(
            (inserted[0] / 2 + inserted[1:5].sum() + inserted[5] / 2) / 5
        )


def test_a_row_does_not_depend_on_its_neighbours(
    rows: pd.DataFrame, background: pd.DataFrame
) -> None:
    def measure(part: pd.DataFrame) -> pd.DataFrame:
        explained = explanation(part, shapley(part, background), linear)
        return faithfulness(explained, linear, background, random_state=4).frame()

    whole = measure(rows)
    pd.testing.assert_frame_equal(measure(rows.iloc[[7, 2]]), whole.iloc[[7, 2]])
    again = faithfulness(
        explanation(rows, shapley(rows, background), linear), linear, background, random_state=5
    ).frame()
    assert not np.allclose(again["pgi_random"], whole["pgi_random"])


@pytest.fixture(scope="module")
def measured(rows: pd.DataFrame, background: pd.DataFrame) -> Faithfulness:
    values = shapley(rows, background)
    return faithfulness(explanation(rows, values, linear), linear, background, k=2)


def test_summary_groups_and_chart(measured: Faithfulness) -> None:
    table = measured.summary().set_index("measure")
    assert table.loc["pgi", "value"] == pytest.approx(measured.frame()["pgi"].mean())
    assert "2 strongest" in table["meaning"]["pgi"]
    assert table["low"]["deletion_gain"] > 0
    groups = measured.by_group(np.repeat(["x", "y"], 20), min_group=10)
    shown = groups.frame().set_index(["measure", "group"])
    assert shown.loc[("pgi", "x"), "value"] == pytest.approx(measured.frame()["pgi"][:20].mean())
    assert "better than chance on" in measured.chart().message
    assert len(measured.plot().data) >= 1
    assert "beats" in repr(measured)
    assert "beats_random" in measured._repr_html_()


def test_one_feature_has_no_others(background: pd.DataFrame) -> None:
    data = pd.DataFrame({"a": [1.0, 2.0]})
    explained = explanation(data, np.ones((2, 1)), lambda f: f["a"].to_numpy())
    found = faithfulness(explained, lambda f: f["a"].to_numpy(), background[["a"]])
    assert found.frame()["pgu"].isna().all()
    assert found.frame()["pgi"].notna().all()
    np.testing.assert_array_equal(found.frame()["beats_random"], 0.5)
    assert found.summary().set_index("measure").loc["pgu_gain", "n"] == 0
    assert "does better than chance on 0 of 4" in found.chart().message


def test_many_features_take_few_steps() -> None:
    rng = np.random.default_rng(8)
    behind = pd.DataFrame(rng.normal(size=(10, 300))).rename(columns="f{}".format)
    asked: list[int] = []

    def model(frame: pd.DataFrame) -> FloatArray:
        asked.append(len(frame))
        return np.asarray(frame.to_numpy().sum(axis=1))

    data = behind.iloc[:1] + 1
    explained = explanation(data, np.arange(300.0)[np.newaxis], model)
    asked.clear()
    faithfulness(explained, model, behind, n_background=10, n_random=3)
    assert sum(asked) <= 1 + (2 * 10 + 4) * 4 * 10


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (linear, {"k": 0}, "k is 0"),
        (linear, {"n_random": 0}, "n_random is 0"),
        (lambda f: 2 * linear(f), {}, "model differs from the explained predictions by up to"),
        (lambda f: np.zeros((len(f), 2)), {}, r"shape \(40, 2\)"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    rows: pd.DataFrame,
    background: pd.DataFrame,
    model: Model,
    options: dict[str, Any],
    message: str,
) -> None:
    explained = explanation(rows, shapley(rows, background), linear)
    with pytest.raises(InputError, match=message):
        faithfulness(explained, model, background, **options)


def test_an_infinite_output_is_not_averaged(rows: pd.DataFrame, background: pd.DataFrame) -> None:
    def model(frame: pd.DataFrame) -> FloatArray:
        return np.where(frame["a"] < 1, np.inf, linear(frame))

    inside = rows[rows["a"] > 1]
    explained = explanation(inside, shapley(inside, background), linear)
    with pytest.raises(ExplanationError, match="not finite"):
        faithfulness(explained, model, background)
