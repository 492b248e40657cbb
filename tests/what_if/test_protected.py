"""Protected flips: alone, by proxies, and the associations against other libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import contingency, f_oneway

from hitl_audit.canonical import canonical_bytes
from hitl_audit.errors import InputError
from hitl_audit.what_if.controls import Constraint
from hitl_audit.what_if.engine import WhatIf
from hitl_audit.what_if.protected import flip_protected
from tests.what_if.conftest import fitted, people, prepared


def population(n: int = 300) -> tuple[pd.DataFrame, Any]:
    """height goes with sex, and so does the job; hue does not."""
    rng = np.random.default_rng(2)
    sex = np.where(rng.random(n) < 0.5, "f", "m")
    X = pd.DataFrame(
        {
            "height": np.where(sex == "f", 165, 178) + rng.normal(0, 6, n).round(1),
            "job": np.where(rng.random(n) < np.where(sex == "f", 0.8, 0.2), "nurse", "smith"),
            "hue": rng.choice(["red", "blue"], n),
            "sex": sex,
        }
    )
    return X, sex


def model(rows: pd.DataFrame) -> Any:
    score = (rows["height"] - 171) / 10 + (rows["job"] == "smith") - 0.5
    return (1 / (1 + np.exp(-score.to_numpy(dtype=float)))).astype(float)


def test_an_input_that_the_model_does_not_use_changes_nothing_alone() -> None:
    X, _ = population()
    engine = WhatIf.of(model, X, protected=["sex"])
    place = int(np.flatnonzero(X["sex"] == "f")[0])
    found = flip_protected(engine, engine.start_at(place), "sex")
    assert (found.attribute, found.group, found.is_input) == ("sex", "f", True)
    assert [(f.to, f.change) for f in found.alone] == [("m", 0.0)]
    assert found.words.startswith("sex alone changes nothing for this case.")
    assert [p.feature for p in found.proxies] == ["height", "job"]
    every = found.with_proxies[-1]
    assert every.what == "height and job and the attribute"
    assert every.change > 0.1
    assert {c.feature for c in every.changes} >= {"height", "sex"}


def test_a_number_keeps_its_rank_and_a_rarer_category_is_exchanged() -> None:
    X, _ = population()
    engine = WhatIf.of(model, X)
    women, men = X[X["sex"] == "f"], X[X["sex"] == "m"]
    nurse = int(np.flatnonzero((X["sex"] == "f") & (X["job"] == "nurse"))[3])
    found = flip_protected(engine, engine.start_at(nurse), "sex")
    by_feature = {f.changes[0].feature: f.changes[0].after for f in found.with_proxies[:2]}
    height = X["height"].iloc[nurse]
    rank = (women["height"] < height).mean() + (women["height"] == height).mean() / 2
    assert by_feature["height"] == np.quantile(men["height"], rank, method="inverted_cdf")
    assert by_feature["job"] == "smith"
    smith = int(np.flatnonzero((X["sex"] == "f") & (X["job"] == "smith"))[0])
    kept = flip_protected(engine, engine.start_at(smith), "sex").with_proxies[1]
    assert kept.changes == ()  # smiths are not rarer among men
    assert kept.change == 0


def test_not_an_input_still_has_proxies() -> None:
    X, sex = population()
    engine = WhatIf.of(model, X.drop(columns="sex"))
    found = flip_protected(engine, engine.start_at(0), "sex", groups=sex)
    assert not found.is_input
    assert found.alone == ()
    assert found.words.startswith("sex is not an input: the model is not given it.")
    assert {p.feature for p in found.proxies} == {"height", "job"}
    assert len(found.with_proxies) == 3
    assert b'"is_input":false' in canonical_bytes(found)
    assert set(found.frame()["to"]) == {"f", "m"} - {str(sex[0])}


def test_direct_use_is_found() -> None:
    X, _ = people()
    engine = prepared("boosting")
    found = flip_protected(engine, engine.start("P3"), "sex")
    other = "male" if X.loc["P3", "sex"] == "female" else "female"
    truth = fitted("boosting").predict_proba(X.loc[["P3"]].assign(sex=other))[0, 1]
    assert found.alone[0].to == other
    assert found.alone[0].prediction == pytest.approx(truth, abs=1e-12)
    assert found.alone[0].flipped == ((truth >= 0.5) != (engine.scores[3] >= 0.5))


def test_associations() -> None:
    X, sex = population()
    engine = WhatIf.of(model, X.drop(columns="sex"))
    proxies = flip_protected(
        engine, engine.start_at(0), "sex", groups=sex, at_least=0, most_proxies=9
    ).proxies
    by_name = {p.feature: p for p in proxies}
    # ε² from the F statistic: (k - 1)(F - 1) / ((k - 1)F + n - k)
    n, k = len(X), 2
    f = float(f_oneway(X["height"][sex == "f"], X["height"][sex == "m"]).statistic)
    expected = ((k - 1) * (f - 1) / ((k - 1) * f + n - k)) ** 0.5
    assert by_name["height"].association == pytest.approx(expected)
    table = pd.crosstab(X["job"], sex).to_numpy()
    plain = contingency.association(table, method="cramer")
    phi2 = max(0.0, plain**2 - 1 / (n - 1))
    corrected = (phi2 / (2 - 1 / (n - 1) - 1)) ** 0.5
    assert by_name["job"].association == pytest.approx(corrected)
    assert by_name["hue"].association < 0.15
    assert [p.association for p in proxies] == sorted(
        (p.association for p in proxies), reverse=True
    )


def test_several_groups_and_small_ones() -> None:
    X, _ = population()
    groups = np.array(["a", "b", "c"])[np.arange(len(X)) % 3].astype(object)
    groups[:4] = "tiny"
    groups[4] = None
    engine = WhatIf.of(model, X)
    found = flip_protected(engine, engine.start_at(10), "origin", groups=groups)
    assert any("tiny (4)" in note for note in found.notes)
    assert {f.to for f in found.with_proxies} <= {"a", "b", "c"}


def test_bounds_do_not_stop_a_flip() -> None:
    X, _ = people()
    X["debt"] = np.where(X["sex"] == "male", X["debt"] * 3, X["debt"])
    engine = WhatIf.of(
        fitted("boosting"),
        X,
        derived={"ratio": "debt / income"},
        constraints=[Constraint("ratio", high=0.0)],
    )
    place = int(np.flatnonzero(X["sex"] == "female")[0])
    found = flip_protected(engine, engine.start_at(place), "sex")
    assert any(c.feature == "ratio" for f in found.with_proxies for c in f.changes)


@pytest.mark.parametrize(
    ("attribute", "groups", "words"),
    [
        ("origin", None, '"origin"; accepted: height'),
        ("origin", ["a", "b"], "groups has 2 rows and the data have 300"),
        ("origin", [str(i) for i in range(300)], "more than 20 groups"),
        ("height", None, "height is a number with many values; pass groups"),
    ],
)
def test_what_cannot_be_flipped(attribute: str, groups: Any, words: str) -> None:
    X, _ = population()
    engine = WhatIf.of(model, X)
    with pytest.raises(InputError, match=words):
        flip_protected(engine, engine.start_at(0), attribute, groups=groups)
