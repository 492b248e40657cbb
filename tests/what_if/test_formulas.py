"""Formulas against Python's own arithmetic, and everything that they must refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_audit.errors import InputError
from hitl_audit.what_if.formulas import parse_formula

NAMES = {"a": 3.0, "b": -2.5, "loan_1": 0.125}

leaves = st.one_of(
    st.sampled_from(sorted(NAMES)),
    st.integers(0, 20).map(str),
    st.floats(0, 50).map(lambda x: f"{x:.3f}"),
)
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(" ".join),
        inner.map(lambda e: f"({e})"),
        inner.map(lambda e: f"-({e})"),
    ),
    max_leaves=15,
)


@given(expressions)
def test_the_same_number_as_python(text: str) -> None:
    text = f"{text} + 0 * a"  # a formula needs a column
    table = {name: np.array([value, 2 * value]) for name, value in NAMES.items()}
    found = parse_formula(text)(table)
    for k, factor in enumerate((1, 2)):
        names = {name: np.float64(factor * value) for name, value in NAMES.items()}
        with np.errstate(all="ignore"):
            # The generated text holds numbers, three names and signs only. Numbers become NumPy's,
            # which divide by zero without an exception.
            marked = "".join(
                f"f({part})" if part.replace(".", "").isdigit() else part for part in _split(text)
            )
            expected = eval(marked, {"__builtins__": {}}, {**names, "f": np.float64})  # noqa: S307
        np.testing.assert_equal(found[k], expected)


def _split(text: str) -> list[str]:
    import re

    return re.findall(r"\d+\.?\d*|[a-z_]\w*|\S|\s", text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a - b - c", 1 - 2 - 4),
        ("a / b / c", 1 / 2 / 4),
        ("a - (b - c)", 1 - (2 - 4)),
        ("a + b * c", 1 + 2 * 4),
        ("-a * -b", 2.0),
        ("2e1 * a", 20.0),
        (".5*a", 0.5),
        ("`total debt` / c", 0.75),
    ],
)
def test_order_of_operations(text: str, value: float) -> None:
    table = {"a": 1.0, "b": 2.0, "c": 4.0, "total debt": 3.0}
    assert parse_formula(text)({k: np.array(v) for k, v in table.items()}) == value


def test_the_columns_it_needs_each_once() -> None:
    assert parse_formula("loan / (income * 12) + loan").columns == ("loan", "income")


def test_division_by_zero_is_no_exception() -> None:
    found = parse_formula("a / b")({"a": np.array([1.0, 0.0]), "b": np.zeros(2)})
    assert np.isinf(found[0])
    assert np.isnan(found[1])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "1 + 2",
        "a +",
        "(a",
        "a)",
        "a b",
        "a ** b",
        "a // b",
        "a, b",
        "a % b",
        "a.real",
        "__import__('os')",
        "f(a)",
        "a[0]",
        "a == b",
        "a; b",
        "lambda: a",
        "'a'",
        "a if b else c",
        "a + `b",
        "1e999999 * a b",
        "(" * 200 + "a" + ")" * 200,
        "a + " * 2000 + "a",
        None,
        3,
    ],
)
def test_everything_else_is_refused(text: object) -> None:
    with pytest.raises(InputError, match="formula"):
        parse_formula(text)  # type: ignore[arg-type]


def test_a_refusal_says_where() -> None:
    with pytest.raises(InputError, match=r'at character 4 \("\* b'):
        parse_formula("a ** b")
