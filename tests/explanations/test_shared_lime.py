"""One shared neighbourhood: what the lime package finds for each row, to 1e-9."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from lime.lime_tabular import LimeTabularExplainer
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from hitl_audit.errors import InputError
from hitl_audit.explanations.lime.lime_surrogates import surrogates
from hitl_audit.explanations.lime.lime_weights import LimeWeights, lime_weights
from hitl_audit.explanations.lime.shared_lime import shared_lime

FloatArray = npt.NDArray[np.float64]

SAMPLES, SEED = 300, 11
NAMES = [*"abcdef", "word", "few"]
WORDS = [6, 7]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 400
    X = rng.normal(size=(n, 8)) @ np.diag([1, 2, 0.5, 1, 30, 1, 1, 1])
    X[:, 6] = rng.integers(0, 4, n)
    X[:, 7] = rng.integers(0, 2, n)
    return pd.DataFrame(X, columns=NAMES)


@pytest.fixture(scope="module")
def labels(table: pd.DataFrame) -> npt.NDArray[np.intp]:
    return np.asarray((table["a"] + table["b"] ** 2 > 2).to_numpy(), dtype=np.intp)


def three(Z: FloatArray) -> FloatArray:
    """Probabilities of three classes; every feature matters, each in its own way."""
    score = np.column_stack(
        [
            Z[:, 0] - 0.7 * Z[:, 1] * (Z[:, 6] == 1),
            0.5 * Z[:, 2] + 0.02 * Z[:, 4] + (Z[:, 6] > 1) + 0.3 * Z[:, 7],
            0.9 * Z[:, 3] ** 2 - Z[:, 5] / 3,
        ]
    )
    power = np.exp(score)
    return np.asarray(power / power.sum(axis=1, keepdims=True))


def words(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(word=frame["word"].map({0.0: "n", 1.0: "e", 2.0: "s", 3.0: "w"}))


def codes(frame: pd.DataFrame) -> FloatArray:
    """lime's codes are ours: places in the sorted words."""
    places = {"e": 0, "n": 1, "s": 2, "w": 3, "z": 4}
    return frame.assign(word=frame["word"].map(places)).to_numpy(dtype=np.float64)


def of_lime(
    training: FloatArray,
    rows: FloatArray,
    labels: Any,
    *,
    seed: int,
    n_features: int,
    **options: Any,
) -> tuple[FloatArray, FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """The lime package, all of its random states set before each row."""
    explainer = LimeTabularExplainer(
        training,
        training_labels=labels,
        categorical_features=WORDS,
        random_state=np.random.RandomState(0),
        **options,
    )
    n, p = rows.shape
    weights, chosen = np.zeros((n, p, 3)), np.zeros((n, p, 3), dtype=bool)
    intercepts, scores = np.zeros((n, 3)), np.zeros((n, 3))
    for i in range(n):
        for label in range(3):
            state = np.random.RandomState(seed)
            explainer.random_state = explainer.base.random_state = state
            if explainer.discretizer is not None:
                explainer.discretizer.random_state = state
            found = explainer.explain_instance(
                rows[i], three, labels=(label,), num_features=n_features, num_samples=SAMPLES
            )
            for j, weight in found.local_exp[label]:
                weights[i, j, label], chosen[i, j, label] = weight, True
            intercepts[i, label], scores[i, label] = found.intercept[label], found.score
    return weights, intercepts, scores, chosen


def ours(table: pd.DataFrame, rows: pd.DataFrame, **options: Any) -> LimeWeights:
    return lime_weights(
        words(rows),
        output=lambda Z: three(codes(Z)),
        background=words(table),
        random_state=SEED,
        n_seeds=2,
        n_samples=SAMPLES,
        **options,
    )


GRID: list[dict[str, Any]] = [
    {"discretizer": discretizer, "kernel_width": width, "feature_selection": selection, "k": k}
    for discretizer, width, selections in (
        ("quartile", None, [("auto", 3), ("auto", 7), ("forward_selection", 8), ("none", 3)]),
        ("quartile", 0.9, [("forward_selection", 4), ("highest_weights", 4)]),
        ("decile", None, [("auto", 5), ("highest_weights", 2), ("lasso_path", 4)]),
        ("decile", 4.0, [("auto", 1), ("none", 8)]),
        ("entropy", None, [("auto", 4), ("highest_weights", 6)]),
        ("entropy", 1.5, [("forward_selection", 2), ("none", 8)]),
        (None, None, [("auto", 3), ("none", 8)]),
    )
    for selection, k in selections
]


@pytest.mark.parametrize("case", GRID, ids=lambda c: "-".join(map(str, c.values())))
def test_the_numbers_of_lime(
    table: pd.DataFrame, labels: npt.NDArray[np.intp], case: dict[str, Any]
) -> None:
    discretizer, k = case["discretizer"], case["k"]
    # lime fits dozens of regressions for a forward selection, so one row is enough of them.
    rows = table.iloc[[3, 50] if case["feature_selection"] in ("none", "highest_weights") else [50]]
    options = {name: case[name] for name in ("kernel_width", "feature_selection")}
    found = ours(
        table, rows, discretizer=discretizer, n_features=k, training_labels=labels, **options
    )
    if discretizer is None:
        options["discretize_continuous"] = False
    else:
        options["discretizer"] = discretizer
    for s in range(2):
        weights, intercepts, scores, chosen = of_lime(
            codes(words(table)),
            codes(words(rows)),
            labels,
            seed=SEED + s,
            n_features=k,
            **options,
        )
        np.testing.assert_array_equal(found.selected[s], chosen)
        np.testing.assert_allclose(found.coefficients[s], weights, atol=1e-9)
        np.testing.assert_allclose(found.intercepts[s], intercepts, atol=1e-9)
        np.testing.assert_allclose(found.scores[s], scores, atol=1e-9)
    if case["feature_selection"] == "none":
        assert found.selected.all()


@pytest.mark.parametrize("k", [3, 8])
def test_a_new_word_and_a_constant_column_as_lime_has_them(table: pd.DataFrame, k: int) -> None:
    training = words(table).assign(few=1.0)
    row = training.iloc[[5]].assign(word="z")
    found = lime_weights(
        row,
        output=lambda Z: three(codes(Z)),
        background=training,
        random_state=SEED,
        n_seeds=2,
        n_samples=SAMPLES,
        n_features=k,
        feature_selection="highest_weights",
    )
    weights, intercepts, scores, chosen = of_lime(
        codes(training),
        codes(row),
        None,
        seed=SEED,
        n_features=k,
        feature_selection="highest_weights",
    )
    np.testing.assert_array_equal(found.selected[0], chosen)
    np.testing.assert_allclose(found.coefficients[0], weights, atol=1e-9)
    np.testing.assert_allclose(found.intercepts[0], intercepts, atol=1e-9)
    np.testing.assert_allclose(found.scores[0], scores, atol=1e-9)


def test_around_the_instance_as_lime_does_it(
    table: pd.DataFrame, labels: npt.NDArray[np.intp]
) -> None:
    rows = table.iloc[[3, 50]]
    found = ours(table, rows, discretizer=None, sample_around_instance=True, n_features=8)
    weights, intercepts, scores, _ = of_lime(
        codes(words(table)),
        codes(words(rows)),
        labels,
        seed=SEED,
        n_features=8,
        discretize_continuous=False,
        sample_around_instance=True,
    )
    np.testing.assert_allclose(found.coefficients[0], weights, atol=1e-9)
    np.testing.assert_allclose(found.intercepts[0], intercepts, atol=1e-9)
    np.testing.assert_allclose(found.scores[0], scores, atol=1e-9)
    # Standardised numbers times their weights make up the local prediction, which is close here.
    local = found.intercepts + found.contributions.sum(axis=2)
    assert np.abs(local - found.predictions).max() < 0.5
    assert np.abs(found.row_values[:, :6]).max() > 1
    np.testing.assert_array_equal(found.row_values[:, 6:], 1)


def test_one_output_or_several_are_the_same_numbers(table: pd.DataFrame) -> None:
    rows = table.iloc[:3]
    several = ours(table, rows, n_features=4)
    for label in range(3):
        one = lime_weights(
            words(rows),
            output=lambda Z, label=label: three(codes(Z))[:, label],  # type: ignore[misc]
            background=words(table),
            random_state=SEED,
            n_seeds=2,
            n_samples=SAMPLES,
            n_features=4,
        )
        assert one.coefficients.shape == (2, 3, 8)
        np.testing.assert_allclose(one.coefficients, several.coefficients[..., label], atol=1e-12)
        np.testing.assert_array_equal(one.selected, several.selected[..., label])
        assert one.predictions.shape == (3,)


def test_further_rows_ask_the_model_about_themselves_alone(table: pd.DataFrame) -> None:
    asked: list[int] = []

    def output(Z: pd.DataFrame) -> FloatArray:
        asked.append(len(Z))
        return np.asarray(three(codes(Z))[:, 0])

    shared = shared_lime(
        words(table), output=output, random_state=SEED, n_seeds=2, n_samples=SAMPLES
    )
    assert asked == [SAMPLES - 1] * 2
    first, again = shared.weights(words(table.iloc[:5])), shared.weights(words(table.iloc[[3]]))
    assert asked[2:] == [5, 1]
    np.testing.assert_allclose(first.coefficients[:, [3]], again.coefficients, atol=1e-13)
    at_once = lime_weights(
        words(table.iloc[:5]),
        output=output,
        background=words(table),
        random_state=SEED,
        n_seeds=2,
        n_samples=SAMPLES,
    )
    np.testing.assert_array_equal(at_once.coefficients, first.coefficients)


def test_rows_and_blocks_do_not_move_each_other(table: pd.DataFrame) -> None:
    many = words(pd.concat([table] * 2).iloc[:700])
    shared = shared_lime(
        words(table),
        output=lambda Z: np.asarray(three(codes(Z))[:, 0]),
        n_seeds=2,
        n_samples=100,
    )
    whole = shared.weights(many).coefficients
    parts = [shared.weights(many.iloc[i : i + 97]).coefficients for i in range(0, 700, 97)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-12, rtol=0)


def test_threads_of_the_linear_algebra_do_not_matter(table: pd.DataFrame) -> None:
    shared = shared_lime(
        words(table), output=lambda Z: np.asarray(three(codes(Z))[:, 0]), n_seeds=2, n_samples=2000
    )
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            found.append(shared.weights(words(table.iloc[:20])).coefficients)
    np.testing.assert_allclose(found[0], found[1], atol=1e-12, rtol=0)


def test_a_large_offset_of_the_output_costs_no_digits(table: pd.DataFrame) -> None:
    def at(offset: float) -> LimeWeights:
        return lime_weights(
            words(table.iloc[:3]),
            output=lambda Z: np.asarray(three(codes(Z))[:, 0] * 1024 + offset),
            background=words(table),
            n_seeds=2,
            n_samples=SAMPLES,
        )

    plain, moved = at(0), at(2.0**30)
    np.testing.assert_allclose(moved.coefficients, plain.coefficients, atol=1e-4)
    np.testing.assert_allclose(moved.intercepts - 2.0**30, plain.intercepts, atol=1e-4)
    np.testing.assert_allclose(moved.scores, plain.scores, atol=1e-7)


def test_the_spread_its_error_and_interval(table: pd.DataFrame) -> None:
    found = lime_weights(
        words(table.iloc[:2]),
        output=lambda Z: np.asarray(three(codes(Z))[:, 0]),
        background=words(table),
        n_seeds=4,
        n_samples=100,
    )
    runs = found.coefficients[:, 0, 0]
    sd = np.sqrt(((runs - runs.mean()) ** 2).sum() / 3)
    assert found.spread[0, 0] == pytest.approx(sd)
    assert found.standard_error[0, 0] == pytest.approx(sd / 2)
    low, high = found.interval()
    # Student's t with 3 degrees of freedom: 3.182446.
    assert high[0, 0] - found.mean[0, 0] == pytest.approx(3.182446 * sd / 2)
    assert low[0, 0] + high[0, 0] == pytest.approx(2 * runs.mean())


def test_standard_errors_are_those_of_a_weighted_ridge() -> None:
    rng = np.random.default_rng(4)
    drawn = rng.integers(0, 3, (4, 60)).astype(np.int32)
    answers, row = rng.normal(size=(60, 1)), np.array([[0, 1, 2, 7]], dtype=np.int32)
    kernel = np.exp(-np.arange(5) / 4)
    found = surrogates(drawn, answers, row, np.array([[0.3]]), kernel, standard_errors=True)
    same = np.vstack([np.ones(4), (drawn == row.T).T])
    y = np.append(0.3, answers)
    w = kernel[(1 - same).sum(axis=1).astype(int)]
    fit = Ridge(alpha=1).fit(same, y, sample_weight=w)
    np.testing.assert_allclose(found.coefficients[0, :, 0], fit.coef_, atol=1e-12)
    assert found.intercepts[0, 0] == pytest.approx(fit.intercept_)
    assert found.scores[0, 0] == pytest.approx(fit.score(same, y, sample_weight=w))
    centred = same - np.average(same, axis=0, weights=w)
    gram = centred.T @ (centred * w[:, np.newaxis])
    inverse = np.linalg.inv(gram + np.eye(4))
    variance = (w * (y - fit.predict(same)) ** 2).sum() / (61 - 4)
    assert found.errors is not None
    np.testing.assert_allclose(
        found.errors[0, :, 0], np.sqrt(variance * np.diag(inverse @ gram @ inverse))
    )


EDGES: list[tuple[str, pd.DataFrame, Callable[[pd.DataFrame], FloatArray]]] = [
    (
        "one feature",
        pd.DataFrame({"x": np.linspace(0, 1, 60)}),
        lambda Z: Z["x"].to_numpy(),
    ),
    (
        "a constant column",
        pd.DataFrame({"x": np.linspace(0, 1, 60), "same": 2.0}),
        lambda Z: Z["x"].to_numpy() + Z["same"].to_numpy(),
    ),
    (
        "gaps",
        pd.DataFrame(
            {"x": np.where(np.arange(60) % 3, np.linspace(0, 1, 60), np.nan), "y": 1.5}
        ).assign(y=lambda d: d.index.to_numpy() ** 2.0),
        lambda Z: Z["x"].fillna(2).to_numpy(),
    ),
]


@pytest.mark.parametrize("selection", ["auto", "highest_weights", "none"])
@pytest.mark.parametrize(("name", "X", "output"), EDGES, ids=[e[0] for e in EDGES])
def test_edges_are_finite(
    name: str, X: pd.DataFrame, output: Callable[[pd.DataFrame], FloatArray], selection: Any
) -> None:
    found = lime_weights(
        X.iloc[[0, 59]],
        output=output,
        background=X,
        n_seeds=2,
        n_samples=200,
        n_features=2,
        feature_selection=selection,
    )
    assert np.isfinite(found.coefficients).all()
    assert (np.abs(found.coefficients[:, :, 0]) > 0.05).all()
    assert ((found.scores > 0) & (found.scores < 1)).all()
    if name == "a constant column":
        np.testing.assert_allclose(found.coefficients[:, :, 1], 0, atol=1e-12)


def test_a_constant_model_has_no_weights(table: pd.DataFrame) -> None:
    found = lime_weights(
        table.iloc[:3],
        output=lambda Z: np.full(len(Z), 0.3),
        background=table,
        n_seeds=2,
        n_samples=100,
        n_features=3,
    )
    np.testing.assert_array_equal(found.coefficients, 0)
    np.testing.assert_array_equal(found.intercepts, 0.3)
    np.testing.assert_array_equal(found.scores, 1)


def test_values_never_met_match_no_neighbour() -> None:
    rng = np.random.default_rng(5)
    X = pd.DataFrame(
        {
            "x": rng.normal(size=200),
            "word": pd.Categorical(rng.choice(["n", "e"], 200)),
            "flag": rng.integers(0, 2, 200).astype(float),
        }
    )

    def output(Z: pd.DataFrame) -> FloatArray:
        return np.asarray(
            Z["x"].fillna(0) + (Z["word"] == "n") + Z["flag"].fillna(0), dtype=np.float64
        )

    shared = shared_lime(X, output=output, n_seeds=2, n_samples=200)
    new = pd.DataFrame(
        {"x": [np.nan, 0.1], "word": pd.Categorical(["n", "w"]), "flag": [3.0, np.nan]}
    )
    found = shared.weights(new)
    assert np.isfinite(found.coefficients).all()
    # A column that is 1 for the case alone hardly moves a ridge fitted to 200 rows.
    assert np.abs(found.coefficients[:, 0, [0, 2]]).max() < 1.5
    only_word = shared.weights(X.iloc[[0]].assign(x=np.nan, flag=3.0))
    sign = 1 if X["word"].iloc[0] == "n" else -1
    assert (sign * only_word.coefficients[:, 0, 1] > 0.5).all()


def test_more_than_two_hundred_features() -> None:
    rng = np.random.default_rng(6)
    X = pd.DataFrame(rng.normal(size=(100, 260))).rename(columns="f{}".format)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = lime_weights(
            X.iloc[:2],
            output=lambda Z: 5 * Z["f3"].to_numpy() - 5 * Z["f259"].to_numpy(),
            background=X,
            n_seeds=2,
            n_samples=1000,
            n_features=2,
            feature_selection="highest_weights",
        )
    inner = X.iloc[:2][["f3", "f259"]].to_numpy()
    strong = np.abs(inner) > 0.7  # an outer quartile: the bin itself says where the output lies
    assert found.selected[:, :, [3, 259]][:, strong].all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_seeds": 1}, "n_seeds is 1; expected an integer of at least 2"),
        ({"n_features": 0}, "n_features is 0; expected an integer of at least 1"),
        ({"kernel_width": 0.0}, "kernel_width is 0.0; expected a number above 0"),
        ({"feature_selection": "higest_weights"}, "did you mean"),
        ({"discretizer": "octile"}, 'discretizer is "octile"; accepted: quartile, decile, entropy'),
        ({"discretizer": "entropy"}, "training_labels is None"),
        ({"discretizer": "entropy", "training_labels": [0, 1]}, "training_labels is 2 values"),
        ({"sample_around_instance": True}, "needs discretizer=None"),
        ({"discretizer": None, "standard_errors": True}, "standard_errors is True"),
        ({"output": lambda Z: np.zeros(3)}, r"array of shape \(3,\)"),
    ],
)
def test_what_cannot_be_done_is_refused(
    table: pd.DataFrame, options: dict[str, Any], message: str
) -> None:
    arguments: dict[str, Any] = {"output": lambda Z: np.zeros(len(Z)), "background": table}
    with pytest.raises(InputError, match=message):
        lime_weights(table.iloc[:2], **{**arguments, **options})


def test_lasso_shares_no_neighbourhood(table: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="lasso_path"):
        shared_lime(
            table, output=lambda Z: np.zeros(len(Z)), feature_selection="lasso_path", n_features=2
        )
