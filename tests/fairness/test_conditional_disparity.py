"""Conditional demographic disparity: published data and strata that say nothing."""

import numpy as np
import pandas as pd
import pytest

from hitl_audit.errors import InputError
from hitl_audit.fairness.conditional_disparity import conditional_demographic_disparity

# UC Berkeley 1973 (Bickel, Hammel & O'Connell, Science 187 (1975)): admitted and
# rejected men, admitted and rejected women, in the six largest departments.
BERKELEY = {
    "A": (512, 313, 89, 19),
    "B": (353, 207, 17, 8),
    "C": (120, 205, 202, 391),
    "D": (138, 279, 131, 244),
    "E": (53, 138, 94, 299),
    "F": (22, 351, 24, 317),
}


def rows(table: dict[str, tuple[int, int, int, int]]) -> pd.DataFrame:
    parts = []
    for stratum, counts in table.items():
        for (sex, y), n in zip(
            [("man", 1), ("man", 0), ("woman", 1), ("woman", 0)], counts, strict=True
        ):
            parts.append(pd.DataFrame({"sex": sex, "y": y, "department": stratum}, range(n)))
    return pd.concat(parts, ignore_index=True)


def test_berkeley_turns_its_direction() -> None:
    data = rows(BERKELEY)
    found = conditional_demographic_disparity(
        data["y"], sensitive_features=data["sex"], strata=data["department"]
    )
    overall = found.of("sex", "woman", "all")
    conditional = found.of("sex", "woman")
    assert overall.value is not None
    assert overall.value == pytest.approx(1278 / 2771 - 557 / 1755, abs=1e-12)
    assert conditional.value is not None
    # The weighted mean, written out.
    by_hand = sum(
        (m + r + w + v) * (v / (r + v) - w / (m + w)) for m, r, w, v in BERKELEY.values()
    ) / len(data)
    assert conditional.value == pytest.approx(by_hand, abs=1e-12)
    assert overall.value > 0.14
    assert conditional.value < -0.01
    # Two groups: what one has too much of, the other has too little of.
    assert found.of("sex", "man").value == pytest.approx(-by_hand, abs=1e-12)
    assert conditional.low is not None
    assert conditional.high is not None
    assert conditional.low < by_hand < conditional.high
    assert any("woman: the direction turns" in note for note in found.notes)
    assert (overall.n, overall.members, overall.accepted) == (4526, 1835, 1755)
    assert len(found.frame()) == 2 * (2 + 6)


def test_strata_that_say_nothing_are_flagged_and_not_counted_as_zero() -> None:
    table = {
        "fair": (20, 20, 10, 30),
        "nobody rejected": (30, 0, 10, 0),
        "nobody accepted": (0, 15, 0, 5),
        "no women": (10, 10, 0, 0),
        "only women": (0, 0, 10, 10),
    }
    data = rows(table)
    found = conditional_demographic_disparity(
        data["y"], sensitive_features=data["sex"], strata=data["department"], n_boot=400
    )
    status = {row.stratum: row.status for row in found.rows if row.group == "woman"}
    assert status == {
        "all": "ok",
        "conditional": "ok",
        "fair": "ok",
        "nobody rejected": "nobody was rejected",
        "nobody accepted": "nobody was accepted",
        "no women": "no members",
        "only women": "only members",
    }
    conditional = found.of("sex", "woman")
    assert conditional.value == pytest.approx(30 / 50 - 10 / 30)
    assert conditional.n == 80
    assert found.of("sex", "woman", "no women").value is None
    (note,) = [n for n in found.notes if n.startswith("woman")]
    assert "4 of 5 strata" in note
    assert "100 of 180 rows are left out" in note
    assert "not counted as zero" in found._repr_html_()


def test_nothing_to_compare_anywhere() -> None:
    data = rows({"x": (10, 0, 5, 0), "y": (3, 0, 2, 0)})
    found = conditional_demographic_disparity(
        data["y"], sensitive_features=data["sex"], strata=data["department"], n_boot=50
    )
    row = found.of("sex", "woman")
    assert (row.value, row.low, row.status, row.n) == (None, None, "nobody was rejected", 0)


def test_missing_strata_and_several_columns_of_strata() -> None:
    data = rows({"x": (20, 20, 10, 30), "y": (5, 5, 5, 5)})
    data.loc[data.index % 7 == 0, "department"] = None
    by = data[["department"]].assign(half=np.arange(len(data)) % 2)
    found = conditional_demographic_disparity(
        data["y"], sensitive_features=data["sex"], strata=by, n_boot=100
    )
    names = {row.stratum for row in found.rows}
    assert "unknown × 0" in names
    assert found.strata == "department × half"
    with pytest.raises(KeyError):
        found.of("sex", "woman", "z")


def test_the_interval_is_that_of_resampled_rows() -> None:
    data = rows({"x": (60, 30, 30, 40), "y": (30, 60, 10, 40)})
    found = conditional_demographic_disparity(
        data["y"], sensitive_features=data["sex"], strata=data["department"], random_state=3
    )
    row = found.of("sex", "woman")
    rng = np.random.default_rng(0)
    woman = (data["sex"] == "woman").to_numpy()
    y, stratum = data["y"].to_numpy(), data["department"].to_numpy()
    draws = []
    for _ in range(400):
        i = rng.integers(0, len(data), len(data))
        total = 0.0
        for name in ("x", "y"):
            inside = stratum[i] == name
            w, d = woman[i][inside], y[i][inside]
            total += inside.sum() * (w[d == 0].mean() - w[d == 1].mean())
        draws.append(total / len(data))
    low, high = np.quantile(draws, [0.025, 0.975])
    assert row.low == pytest.approx(low, abs=0.02)
    assert row.high == pytest.approx(high, abs=0.02)


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(InputError, match="got 2 rows"):
        conditional_demographic_disparity(
            [1, 0, 1], sensitive_features=["a", "b", "a"], strata=["x", "y"]
        )
    with pytest.raises(InputError, match="y_pred has the labels 2"):
        conditional_demographic_disparity([1, 2], sensitive_features=["a", "b"], strata=["x", "y"])
