"""An edit of one case beside the plain way: prediction and contributions per edit, p50 and p95.

    python benchmarks/whatif_engine.py [--edits 200] [--people 2000]

The plain way is what a notebook does at each edit: ``pipeline.predict_proba`` of the edited row,
and the same of the library's own explainer (shap's TreeExplainer with 100 background rows; for
logistic regression, whose probability it does not explain, shap's LinearExplainer of the
log-odds) on the preprocessed row. Ours: ``WhatIf.edit`` and ``WhatIf.answer`` (the edit checked,
prediction, contributions before and after, distance from the data). Both sides take the same
random edits, interleaved, on one thread. Times are wall-clock with the CPU's beside them; where
other programs run, the CPU's say more.

Also: a response curve, a counterpart, and counterfactuals (ours; and DiCE's random search where
``dice-ml`` is installed, on the same cases and frozen features).
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from hitl_audit.explanations.raw_features import sample_rows
from hitl_audit.explanations.shapley.tree_ensemble import import_shap
from hitl_audit.what_if.counterfactuals import find_counterfactuals
from hitl_audit.what_if.counterparts import nearest_counterpart
from hitl_audit.what_if.engine import WhatIf
from hitl_audit.what_if.response import response_curve

NUMBERS = [f"n{i}" for i in range(8)]
KINDS = [f"k{i}" for i in range(8)]


def population(n: int, seed: int = 0) -> tuple[pd.DataFrame, Any]:
    """8 numbers and 8 categories of 2 to 6 values, as in the mortgage example."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({name: rng.gamma(3, 10, n).round(1) for name in NUMBERS})
    for i, name in enumerate(KINDS):
        X[name] = rng.choice(list("abcdef")[: 2 + i % 5], n)
    score = X["n0"] - X["n1"] + 0.03 * X["n2"] * X["n3"] + 15 * (X["k1"] == "b")
    score += 10 * (X["k3"] == "c") * (X["n4"] > 25) + rng.normal(0, 10, n)
    return X, (score > score.median()).astype(int).to_numpy()


def models(X: pd.DataFrame, y: Any) -> dict[str, Any]:
    def piped(estimator: Any, *, scale: bool = False) -> Any:
        columns = ColumnTransformer(
            [
                ("numbers", StandardScaler() if scale else "passthrough", NUMBERS),
                ("kinds", OneHotEncoder(handle_unknown="ignore", sparse_output=False), KINDS),
            ]
        )
        return make_pipeline(columns, estimator).fit(X, y)

    found = {
        "logistic regression": piped(LogisticRegression(max_iter=2000), scale=True),
        "HistGradientBoosting": piped(HistGradientBoostingClassifier(random_state=0)),
        "forest of 200 trees": piped(
            RandomForestClassifier(200, min_samples_leaf=5, random_state=0, n_jobs=1)
        ),
    }
    if importlib.util.find_spec("xgboost"):
        import xgboost

        found["XGBoost"] = piped(xgboost.XGBClassifier(n_estimators=100, n_jobs=1))
    return found


def random_edits(X: pd.DataFrame, count: int) -> list[tuple[str, Any]]:
    rng = np.random.default_rng(1)
    out = []
    for _ in range(count):
        name = str(rng.choice(X.columns))
        value = X[name].iloc[int(rng.integers(len(X)))]
        out.append((name, float(value) + 0.1 if name in NUMBERS else str(value)))
    return out


def plain_way(model: Any, background: pd.DataFrame) -> Callable[[pd.DataFrame], Any]:
    shap = import_shap()
    pre, estimator = model[:-1], model[-1]
    if isinstance(estimator, LogisticRegression):
        explainer = shap.LinearExplainer(estimator, pre.transform(background))

        def explain(columns: Any) -> Any:
            return explainer.shap_values(columns)
    else:
        explainer = shap.TreeExplainer(
            estimator,
            pre.transform(background),
            feature_perturbation="interventional",
            model_output="probability",
        )

        def explain(columns: Any) -> Any:
            return explainer.shap_values(columns, check_additivity=False)

    def answer(row: pd.DataFrame) -> Any:
        return model.predict_proba(row)[0, 1], explain(pre.transform(row))

    return answer


def timed(function: Callable[[], Any], into: list[tuple[float, float]]) -> Any:
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    into.append((1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)))
    return result


def quantiles(times: list[tuple[float, float]]) -> tuple[float, float, float, float]:
    wall, cpu = np.array(times).T
    return (*np.percentile(wall, [50, 95]), *np.percentile(cpu, [50, 95]))


def edits_of(name: str, model: Any, X: pd.DataFrame, count: int) -> None:
    background = sample_rows(X, 100, random_state=0)
    engine = WhatIf.of(model, X, background=background)
    plain = plain_way(model, background)
    start = engine.start_at(7)
    row = X.iloc[[7]]
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    parts: list[tuple[float, float]] = []
    edits = random_edits(X, count + 5)
    for k, (feature, value) in enumerate(edits):

        def ask(feature: str = feature, value: Any = value) -> Any:
            return engine.answer(engine.edit(start, feature, value))

        def ask_plain(feature: str = feature, value: Any = value) -> Any:
            return plain(row.assign(**{feature: value}))

        answer = timed(ask, ours)
        truth, _ = timed(ask_plain, theirs)
        edited = engine.edit(start, feature, value)
        timed(lambda edited=edited: engine.scored(edited), parts)
        assert abs(answer.prediction - truth) <= 1e-12
        if k < 5:  # the first calls compile and import
            ours.clear(), theirs.clear(), parts.clear()
    mine, other, score = quantiles(ours), quantiles(theirs), quantiles(parts)
    print(
        f"{name:22} {engine.predictor.path:16} {mine[0]:6.2f} {mine[1]:6.2f}  {other[0]:7.2f} "
        f"{other[1]:7.2f}  {other[0] / mine[0]:5.1f} {other[1] / mine[1]:5.1f}   "
        f"{mine[2]:6.2f} {mine[3]:6.2f}  {other[2] / mine[2]:5.1f} {other[3] / mine[3]:5.1f}   "
        f"{score[0]:6.3f}"
    )


def around(name: str, model: Any, X: pd.DataFrame) -> None:
    engine = WhatIf.of(model, X)
    first: list[tuple[float, float]] = []
    again: list[tuple[float, float]] = []
    near: list[tuple[float, float]] = []
    flips: list[tuple[float, float]] = []
    costs, none = [], 0
    for place in range(12):
        history = engine.start_at(place)
        feature = NUMBERS[place % len(NUMBERS)]
        engine.memory.clear()
        timed(lambda h=history, f=feature: response_curve(engine, h, f), first)
        timed(lambda h=history, f=feature: response_curve(engine, h, f), again)
        timed(lambda h=history: nearest_counterpart(engine, h), near)
        found = timed(lambda h=history: find_counterfactuals(engine, h, seconds=10), flips)
        none += not found.counterfactuals
        costs += [found.smallest.cost] if found.smallest else []
    print(
        f"{name:22} {quantiles(first)[0]:8.1f} {quantiles(again)[0]:8.2f} "
        f"{quantiles(near)[0]:8.2f} "
        f"{quantiles(flips)[0]:9.0f} {quantiles(flips)[1]:6.0f} {np.mean(costs):8.2f} {none:5}"
    )


def dice_of(name: str, model: Any, X: pd.DataFrame, y: Any) -> None:
    import dice_ml

    engine = WhatIf.of(model, X)
    data = dice_ml.Data(
        dataframe=X.assign(outcome=y), continuous_features=NUMBERS, outcome_name="outcome"
    )
    searcher = dice_ml.Dice(data, dice_ml.Model(model=model, backend="sklearn"), method="random")
    varied = [c for c in X.columns if c != "k0"]
    spread = dict(zip(X.columns, engine.population.spread(robust=True), strict=True))
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    costs: tuple[list[float], list[float]] = ([], [])
    changed: tuple[list[int], list[int]] = ([], [])
    for place in range(12):
        history = engine.start_at(place)
        found = timed(
            lambda h=history: find_counterfactuals(engine, h, frozen=["k0"], seconds=10), ours
        )
        row = X.iloc[[place]]
        other = timed(
            lambda r=row: searcher.generate_counterfactuals(
                r, total_CFs=4, desired_class="opposite", features_to_vary=varied,
                random_seed=0, verbose=False,
            ),
            theirs,
        )  # fmt: skip
        if found.smallest is None:
            continue
        table = other.cf_examples_list[0].final_cfs_df
        best = min(
            (_cost(row.iloc[0], line, spread) for _, line in table[X.columns].iterrows()),
            default=(np.inf, 0),
        )
        costs[0].append(found.smallest.cost), costs[1].append(best[0])
        changed[0].append(len(found.smallest.changes)), changed[1].append(best[1])
    mine, other_time = quantiles(ours)[0] / 1e3, quantiles(theirs)[0] / 1e3
    print(
        f"{name:22} seconds ours {mine:.2f}, DiCE {other_time:.2f} ({other_time / mine:.1f}×); "
        f"cost of the smallest ours {np.mean(costs[0]):.2f}, DiCE {np.mean(costs[1]):.2f}; "
        f"changes ours {np.mean(changed[0]):.1f}, DiCE {np.mean(changed[1]):.1f}"
    )


def _cost(here: pd.Series, there: pd.Series, spread: dict[str, float]) -> tuple[float, int]:
    total, count = 0.0, 0
    for name in here.index:
        if name in NUMBERS:
            apart = abs(float(there[name]) - float(here[name])) / spread[name]
        else:
            apart = float(str(there[name]) != str(here[name]))
        total, count = total + apart + (apart > 1e-9), count + (apart > 1e-9)
    return total, count


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--edits", type=int, default=200)
    parser.add_argument("--people", type=int, default=2000)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    X, y = population(arguments.people)
    found = models(X, y)
    gc.disable()
    print(
        f"{arguments.people} people, 16 features, 100 background rows, {arguments.edits} edits; ms"
    )
    print(
        " " * 40
        + "ours p50, p95   plain p50, p95    ratio     ours CPU       ratio      score alone"
    )
    for name, model in found.items():
        edits_of(name, model, X, arguments.edits)
        gc.collect()
    print("\nms" + " " * 21 + "curve 1st    again  counterp. counterf. p50,p95    cost  none")
    for name, model in found.items():
        around(name, model, X)
    if importlib.util.find_spec("dice_ml"):
        print("\ncounterfactuals, 12 cases, k0 frozen")
        for name, model in found.items():
            dice_of(name, model, X, y)
    else:
        print("\ndice-ml is not installed here: counterfactuals were not compared")


if __name__ == "__main__":
    main()
