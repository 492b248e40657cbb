from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_audit.errors import InputError
from hitl_audit.review.words import CaseWords, bars, value_words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (116, "116"),
        (np.int64(3055), "3,055"),
        (-1200, "−1,200"),
        (14.6, "14.6"),
        (25.087, "25.09"),
        (np.float64(41.0), "41"),
        (0.0512, "0.0512"),
        (-0.5, "−0.5"),
        (1234567.0, "1,234,567"),
        (True, "yes"),
        (np.bool_(False), "no"),
        (None, "not recorded"),
        (float("nan"), "not recorded"),
        (pd.NA, "not recorded"),
        (pd.NaT, "not recorded"),
        (float("inf"), "∞"),
        ("<b>white</b>", "<b>white</b>"),
        (pd.Timestamp("2026-01-31"), "2026-01-31 00:00:00"),
    ],
)
def test_values_read_as_a_person_would_write_them(value: object, words: str) -> None:
    assert value_words(value) == words


def test_bars_carry_side_length_and_words() -> None:
    up, down, flat = bars(
        [("Rate", "5", -0.05), ("Income", "3,055", 0.148), ("Age", "", 0.0001)],
        scale="probability",
    )
    assert (up.feature, up.side, up.length, up.text) == ("Income", "up", 100, "▲ +14.8 points")
    assert up.sentence == "Income, 3,055: raises by 14.8 points"
    assert (down.side, down.text) == ("down", "▼ −5.0 points")
    assert down.sentence == "Rate, 5: lowers by 5.0 points"
    assert (flat.side, flat.length, flat.sentence) == ("none", 0.0, "Age: changes nothing")


def test_log_odds_are_called_log_odds() -> None:
    (bar,) = bars([("Income", "1", -0.333)], scale="log-odds")
    assert bar.text == "▼ −0.33 log-odds"


def test_no_contributions_no_bars() -> None:
    assert bars([], scale="probability") == ()


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=20))
def test_the_others_are_summed_not_dropped(numbers: list[float]) -> None:
    drawn = bars([(f"f{i}", "", x) for i, x in enumerate(numbers)], scale="probability", top=5)
    assert len(drawn) == min(len(numbers), 6)
    if len(numbers) > 5:
        rest = sum(sorted(numbers, key=abs)[: len(numbers) - 5])
        assert drawn[-1].feature == f"{len(numbers) - 5} other features together"
        assert f"{abs(rest) * 100:.1f} points" in drawn[-1].text
    assert all(0 <= bar.length <= 100 for bar in drawn)


def test_cases_are_put_in_words_one_by_one_and_do_not_change() -> None:
    frame = pd.DataFrame(
        [[1, 2.5, True], [3055, None, False]], index=[7, "b"], columns=["n", "x", "x"]
    )
    words = CaseWords(["7"], frame)
    frame.iloc[0, 0] = 99
    assert words.values("7") == (("n", "1"), ("x", "2.5"), ("x", "yes"))
    assert words.values("b") == (("n", "3,055"), ("x", "not recorded"), ("x", "no"))
    with pytest.raises(InputError, match='case "z" has no row'):
        words.values("z")
    with pytest.raises(InputError, match="1 sampled cases have no row in cases, first 'z'"):
        CaseWords(["z"], frame)
    with pytest.raises(InputError, match="repeated ids"):
        CaseWords([], pd.concat([frame, frame]))
