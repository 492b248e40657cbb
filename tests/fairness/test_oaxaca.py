"""Oaxaca-Blinder: closed forms, statsmodels' own numbers, and what cannot be separated."""

import importlib
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hitl_audit.errors import InputError
from hitl_audit.fairness.oaxaca import oaxaca_blinder


def people(n: int = 300) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(11)
    group = pd.Series(rng.choice(["a", "b"], n), name="group")
    x = rng.normal(size=n) + 1.5 * (group == "b")
    kind = pd.Series(rng.choice(["p", "q", "r"], n)).where(group == "a", "p")
    return pd.DataFrame({"x": x, "kind": kind, "z": rng.normal(size=n)}), group


def test_the_closed_form_of_a_line_with_a_step() -> None:
    """y = 2x − 0.5 for group a, without noise: every part is known."""
    frame, group = people()
    y = 2 * frame["x"] - 0.5 * (group == "a")
    found = oaxaca_blinder(y, frame[["x"]], groups=group, group="a", reference="b", n_boot=50)
    shift = frame["x"][group == "a"].mean() - frame["x"][group == "b"].mean()
    assert found.explained.value == pytest.approx(2 * shift, abs=1e-10)
    assert found.unexplained.value == pytest.approx(-0.5, abs=1e-10)
    assert found.gap.value == pytest.approx(2 * shift - 0.5, abs=1e-10)
    # Without noise the step is the same in every resample: no interval pretends to vary.
    assert found.unexplained.low is None
    assert "is left unexplained by them" in found.words


def test_by_hand_with_two_values_of_one_input() -> None:
    """Means and the slope are worked out on paper.

    Group a has x = 0, 0, 1, 1 and y = 0, 0, 1, 1; group b has x = 0, 1, 1, 1 and
    y = 1, 2, 2, 2: within both groups y rises by 1 with x, and b is 1 higher.
    """
    frame = pd.DataFrame({"x": [0, 0, 1, 1, 0, 1, 1, 1]})
    y = [0, 0, 1, 1, 1, 2, 2, 2]
    found = oaxaca_blinder(y, frame, groups=list("aaaabbbb"), group="a", reference="b", n_boot=20)
    assert found.gap.value == pytest.approx(0.5 - 1.75)
    assert found.explained.value == pytest.approx(0.5 - 0.75)
    assert found.unexplained.value == pytest.approx(-1.0)
    assert (found.n, found.reference_n) == (4, 4)


def test_features_sum_to_explained_and_agree_with_statsmodels() -> None:
    OaxacaBlinder = importlib.import_module("statsmodels.stats.oaxaca").OaxacaBlinder
    frame, group = people()
    rng = np.random.default_rng(0)
    y = frame["x"] + (frame["kind"] == "q") + 0.3 * (group == "b") + rng.normal(size=len(frame))
    found = oaxaca_blinder(y, frame[["x", "z"]], groups=group, group="a", reference="b")
    table = np.column_stack([group == "b", frame[["x", "z"]], np.ones(len(frame))]).astype(float)
    unexplained, explained, gap = (
        OaxacaBlinder(y.to_numpy(), table, 0, swap=False).two_fold().params
    )
    assert found.unexplained.value == pytest.approx(unexplained, abs=1e-10)
    assert found.explained.value == pytest.approx(explained, abs=1e-10)
    assert found.gap.value == pytest.approx(gap, abs=1e-10)
    assert sum(f.value for f in found.features) == pytest.approx(explained, abs=1e-9)
    assert found.features[0].part == "x"
    for part in (found.gap, found.explained, found.unexplained):
        assert part.low is not None
        assert part.high is not None
        assert part.low < part.value < part.high
    assert list(found.frame()["part"][:3]) == ["gap", "explained", "unexplained"]


def test_categories_and_missing_numbers_leave_no_row_out() -> None:
    frame, group = people()
    rng = np.random.default_rng(0)
    y = frame["x"] + (frame["kind"] == "q") + rng.normal(size=len(frame))
    frame.loc[::9, "x"] = np.nan
    frame.loc[::11, "kind"] = None
    found = oaxaca_blinder(y, frame, groups=group, group="a", reference="b", n_boot=60)
    assert {f.part for f in found.features} == {"x", "kind", "z"}
    assert found.gap.value == pytest.approx(y[group == "a"].mean() - y[group == "b"].mean())
    assert sum(f.value for f in found.features) == pytest.approx(found.explained.value, abs=1e-9)
    # Which level of a category is the base changes no number.
    renamed = frame.assign(kind=frame["kind"].map({"p": "z", "q": "y", "r": "x"}))
    again = oaxaca_blinder(y, renamed, groups=group, group="a", reference="b", n_boot=60)
    assert again.explained.value == pytest.approx(found.explained.value, abs=1e-9)
    assert again == oaxaca_blinder(y, renamed, groups=group, group="a", reference="b", n_boot=60)


def test_other_groups_are_left_out_and_said() -> None:
    frame, group = people()
    group = group.where(np.arange(len(group)) % 10 != 0, "c")
    found = oaxaca_blinder(
        frame["x"], frame[["z"]], groups=group, group="a", reference="b", n_boot=20
    )
    assert found.n + found.reference_n == 270
    assert any("30 rows of other groups" in note for note in found.notes)
    assert "30 rows of other groups" in found._repr_html_()


@pytest.mark.parametrize(
    ("columns", "arguments", "message"),
    [
        ({"copy": "group"}, {}, "tells a and b apart exactly"),
        ({"same": "constant"}, {}, "no column that varies"),
        ({"id": "each"}, {}, "expected more rows than coefficients"),
        ({"x": "infinite"}, {}, '"x" has infinite values'),
        ({"x": "x"}, {"group": "z"}, 'group is "z"; accepted: a, b'),
        ({"x": "x"}, {"reference": "a"}, "two different groups"),
        ({"x": "x"}, {"n_boot": 0}, "n_boot is 0"),
        ({"x": "short"}, {}, "got 3 rows, expected 300 as in outcome"),
    ],
)
def test_what_cannot_be_used_is_refused(
    columns: dict[str, str], arguments: dict[str, Any], message: str
) -> None:
    frame, group = people()
    kinds: dict[str, Any] = {
        "group": (group == "a").astype(float),
        "constant": np.ones(300),
        "each": [f"n{i}" for i in range(300)],
        "infinite": np.where(np.arange(300) == 4, np.inf, 1.0),
        "x": frame["x"],
        "short": [1.0, 2.0, 3.0],
    }
    given = pd.DataFrame({name: kinds[kind] for name, kind in columns.items()})
    with pytest.raises(InputError, match=message):
        oaxaca_blinder(
            frame["z"], given, groups=group, **{"group": "a", "reference": "b", **arguments}
        )


def test_without_statsmodels_the_extra_is_named() -> None:
    program = (
        "import sys; sys.modules['statsmodels'] = None\n"
        "from hitl_audit.fairness.oaxaca import oaxaca_blinder\n"
        "from hitl_audit.errors import MissingDependencyError\n"
        "try: oaxaca_blinder([1, 2], [[1], [2]], groups=['a', 'b'], group='a', reference='b')\n"
        "except MissingDependencyError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert 'pip install "hitl-audit[stats]"' in done.stdout, done.stderr
