"""Mitigation with the real Fairlearn and scikit-learn, on a Pipeline with a ColumnTransformer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import demographic_parity_difference
from fairlearn.postprocessing import ThresholdOptimizer
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from hitl_audit.errors import InputError
from hitl_audit.mitigation import METHODS, MitigationComparison, mitigate, reweighing_weights
from hitl_audit.mitigators.methods import weight_name

NUMBERS = ["income", "debt"]


def applicants(seed: int, rows: int) -> tuple[pd.DataFrame, Any, pd.Series[Any]]:
    rng = np.random.default_rng(seed)
    race = pd.Series(rng.choice(["a", "b"], rows, p=[0.65, 0.35]), name="race")
    better = (race == "a").to_numpy()
    X = pd.DataFrame(
        {
            "income": rng.normal(0, 1, rows) + 0.9 * better,
            "debt": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(0, 1, rows)),
            "town": np.where(rng.random(rows) < 0.25 + 0.5 * better, "north", "south"),
        }
    )
    logit = X["income"] - 0.5 * X["debt"].fillna(0) + 0.6 * (X["town"] == "north") - 0.4
    y = (rng.random(rows) < 1 / (1 + np.exp(-1.5 * logit))).astype(int)
    return X, np.asarray(y), race


def pipeline() -> Pipeline:
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
            ("kinds", OneHotEncoder(handle_unknown="ignore"), ["town"]),
        ]
    )
    return Pipeline([("columns", columns), ("model", LogisticRegression())])


TRAIN = applicants(0, 700)
HOLDOUT = applicants(1, 900)


def run(estimator: Any, **settings: Any) -> MitigationComparison:
    defaults: dict[str, Any] = {
        "sensitive_train": TRAIN[2],
        "sensitive_holdout": HOLDOUT[2],
        "n_boot": 200,
        "max_iter": 6,
        "grid_size": 7,
    }
    return mitigate(estimator, TRAIN[0], TRAIN[1], HOLDOUT[0], HOLDOUT[1], **(defaults | settings))


@pytest.fixture(scope="module")
def compared() -> MitigationComparison:
    return run(pipeline())


def test_every_method_runs_on_a_pipeline(compared: MitigationComparison) -> None:
    assert [one.method for one in compared.outcomes] == list(METHODS)
    assert [one.reason for one in compared.outcomes] == [""] * len(METHODS)
    assert list(compared.decisions) == ["unmitigated", *METHODS]
    assert (compared.n_train, compared.n_holdout, compared.groups) == (700, 900, ("a", "b"))


def test_before_is_the_plain_estimator_and_after_is_measured_on_the_same_rows(
    compared: MitigationComparison,
) -> None:
    plain = pipeline().fit(TRAIN[0], TRAIN[1]).predict(HOLDOUT[0])
    assert (compared.decisions["unmitigated"] == plain).all()
    for one in compared.outcomes:
        after = compared.decisions[one.method]
        gap = one.measure("selection_rate_gap")
        for decided, value in ((plain, gap.before), (after, gap.after)):
            expected = demographic_parity_difference(
                HOLDOUT[1], decided, sensitive_features=HOLDOUT[2]
            )
            assert value == pytest.approx(expected, abs=1e-12)
        accuracy = one.measure("accuracy")
        assert accuracy.after == pytest.approx((after == HOLDOUT[1]).mean())
        assert accuracy.low is not None
        assert accuracy.high is not None
        assert accuracy.low <= (accuracy.difference or 0.0) <= accuracy.high
        assert accuracy.n == 900


@pytest.mark.parametrize("method", [m for m in METHODS if m != "correlation_remover"])
def test_methods_narrow_the_gap_here(compared: MitigationComparison, method: str) -> None:
    change = compared.outcome(method).measure("selection_rate_gap")
    assert change.high is not None
    assert change.high < 0


def test_threshold_optimizer_is_fairlearns(compared: MitigationComparison) -> None:
    fitted = ThresholdOptimizer(
        estimator=pipeline().fit(TRAIN[0], TRAIN[1]),
        constraints="demographic_parity",
        prefit=True,
        predict_method="predict_proba",
    ).fit(TRAIN[0], TRAIN[1], sensitive_features=TRAIN[2])
    expected = fitted.predict(HOLDOUT[0], sensitive_features=HOLDOUT[2], random_state=0)
    assert (compared.decisions["threshold_optimizer"] == expected).all()


def test_use_of_the_attribute_and_chance_are_marked(compared: MitigationComparison) -> None:
    for one in compared.outcomes:
        uses = one.method in ("threshold_optimizer", "correlation_remover")
        assert one.needs_attribute == uses == bool(one.warning)
        assert (one.redrawn is not None) == one.randomized
    assert "group-specific thresholds may be unlawful" in (
        compared.outcome("threshold_optimizer").warning
    )
    notes = " ".join(compared.notes)
    assert "decides at random; shown is one draw, seed 0" in notes
    assert "group-specific thresholds may be unlawful" in notes


def test_the_same_seed_draws_the_same_decisions(compared: MitigationComparison) -> None:
    again = run(pipeline(), methods=["threshold_optimizer"])
    name = "threshold_optimizer"
    assert (again.decisions[name] == compared.decisions[name]).all()
    assert again.outcome(name) == compared.outcome(name)


def test_frame_and_chart_hold_every_number(compared: MitigationComparison) -> None:
    frame = compared.frame()
    assert len(frame) == 5 * len(METHODS)
    assert set(frame["method"]) == set(METHODS)
    chart = compared.chart()
    assert len(chart.series[0].x) == len(METHODS)
    assert "May be unlawful" in chart.message
    assert "n = 900" in chart.message
    assert compared.plot("accuracy").data
    assert "unlawful" in compared._repr_html_()


def test_equalized_odds_reach_the_methods() -> None:
    found = run(
        pipeline(),
        methods=["exponentiated_gradient", "threshold_optimizer"],
        constraint="equalized_odds",
    )
    for one in found.outcomes:
        assert one.status == "compared"
        assert one.constraint == "equalized_odds"
    plain = run(pipeline(), methods=["threshold_optimizer"])
    name = "threshold_optimizer"
    assert (plain.decisions[name] != found.decisions[name]).any()


def test_the_threshold_is_everyones() -> None:
    found = run(pipeline(), methods=["reweighing", "grid_search"], threshold=0.8)
    scores = pipeline().fit(TRAIN[0], TRAIN[1]).predict_proba(HOLDOUT[0])[:, 1]
    assert (found.decisions["unmitigated"] == (scores >= 0.8)).all()
    weights = reweighing_weights(TRAIN[1], TRAIN[2])
    weighted = pipeline().fit(TRAIN[0], TRAIN[1], model__sample_weight=weights)
    expected = weighted.predict_proba(HOLDOUT[0])[:, 1] >= 0.8
    assert (found.decisions["reweighing"] == expected).all()


def test_weights_make_group_and_label_independent() -> None:
    weights = reweighing_weights(TRAIN[1], TRAIN[2])
    table = pd.DataFrame({"y": TRAIN[1], "g": TRAIN[2], "w": weights})
    shares = table.groupby("g").apply(lambda part: np.average(part["y"], weights=part["w"]))
    assert shares["a"] == pytest.approx(TRAIN[1].mean())
    assert shares["b"] == pytest.approx(TRAIN[1].mean())
    assert weights.sum() == pytest.approx(len(weights))
    # Two of a (one favorable), two of b (both favorable): by hand.
    assert reweighing_weights([0, 1, 1, 1], ["a", "a", "b", "b"]) == pytest.approx(
        [0.5, 1.5, 0.75, 0.75]
    )


def test_a_method_that_cannot_run_says_why() -> None:
    kinds = ColumnTransformer([("kinds", OneHotEncoder(), ["town"])])
    nearest = Pipeline([("columns", kinds), ("model", KNeighborsClassifier(50))])
    found = run(nearest)
    state = {one.method: one.status for one in found.outcomes}
    assert state == {
        "reweighing": "could not run",
        "correlation_remover": "compared",
        "exponentiated_gradient": "could not run",
        "grid_search": "could not run",
        "threshold_optimizer": "compared",
    }
    assert "KNeighborsClassifier.fit takes no sample_weight" in found.outcome("reweighing").reason
    assert any("could not run" in note for note in found.notes)
    row = found.frame().set_index("method").loc["grid_search"]
    assert row["status"] == "could not run"
    assert "Could not run" in found.chart().message
    with pytest.raises(InputError, match="could not run"):
        found.outcome("reweighing").measure("accuracy")


def test_groups_that_training_never_saw() -> None:
    race = HOLDOUT[2].where(np.arange(900) > 60, "c")
    found = run(pipeline(), sensitive_holdout=race, methods=["threshold_optimizer", "reweighing"])
    lost = found.outcome("threshold_optimizer")
    assert lost.status == "could not run"
    assert "never saw: c" in lost.reason
    assert found.outcome("reweighing").status == "compared"
    one = run(
        pipeline(),
        sensitive_train=["a"] * 700,
        sensitive_holdout=["a"] * 900,
        methods=["correlation_remover"],
    )
    assert "only one group" in one.outcome("correlation_remover").reason
    assert any("Fewer than two groups" in note for note in one.notes)


def test_a_degenerate_group_is_an_outcome() -> None:
    labels = np.where(TRAIN[2] == "b", 0, TRAIN[1])
    found = mitigate(
        pipeline(), TRAIN[0], labels, HOLDOUT[0], HOLDOUT[1],
        sensitive_train=TRAIN[2], sensitive_holdout=HOLDOUT[2],
        methods=["threshold_optimizer"], n_boot=20,
    )  # fmt: skip
    assert "Degenerate" in found.outcomes[0].reason


def test_plain_estimators_and_nested_pipelines() -> None:
    numbers = [t[0][["income"]].to_numpy() for t in (TRAIN, HOLDOUT)]
    found = mitigate(
        GaussianNB(), numbers[0], TRAIN[1], numbers[1], HOLDOUT[1],
        sensitive_train=TRAIN[2], sensitive_holdout=HOLDOUT[2],
        methods=["correlation_remover", "reweighing"], n_boot=20,
    )  # fmt: skip
    assert {one.status for one in found.outcomes} == {"compared"}
    nested = Pipeline([("outer", Pipeline([("inner", GaussianNB())]))])
    assert weight_name(nested) == "outer__inner__sample_weight"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"methods": ["reweighting"]}, 'did you mean "reweighing"'),
        ({"constraint": "parity"}, 'constraint is "parity"'),
        ({"threshold": 2}, "threshold is 2"),
        ({"grid_size": 0}, "grid_size is 0"),
        ({"sensitive_holdout": ["a"]}, "got 1 rows"),
        ({"confidence": 2}, "confidence is 2"),
    ],
)
def test_bad_input_is_refused_in_words(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        run(pipeline(), **({"methods": ["reweighing"]} | settings))
    assert words in str(caught.value)


def test_rows_and_estimators_are_checked() -> None:
    with pytest.raises(InputError, match="X_train has 10 rows"):
        mitigate(
            pipeline(), TRAIN[0][:10], TRAIN[1], HOLDOUT[0], HOLDOUT[1],
            sensitive_train=TRAIN[2], sensitive_holdout=HOLDOUT[2],
        )  # fmt: skip
    with pytest.raises(InputError, match="has no predict_proba"):
        run(make_pipeline(pipeline()[0], LinearSVC()))
