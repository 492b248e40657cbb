"""Labels and sensitive features, however they come."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hitl_audit.errors import InputError
from hitl_audit.groups import binary_labels, group_columns


@pytest.mark.parametrize(
    "values",
    [
        [1, 0, 1],
        [True, False, True],
        np.array([1.0, 0.0, 1.0]),
        pd.Series([1, 0, 1], index=[7, 8, 9]),
        pd.Series([True, False, True], dtype="boolean"),
        pd.Categorical([1, 0, 1]),
    ],
)
def test_labels_of_any_kind(values: Any) -> None:
    assert binary_labels(values, "y_true").tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "y_true is empty"),
        ([0, 1, 2], "y_true has the labels 2; accepted: 0 and 1"),
        (["yes", "no"], "y_true has the labels 'yes', 'no'"),
        ([0, 1, None], "y_true is missing in 1 of 3 rows"),
        ([0.0, 1.0, float("nan")], "y_true is missing in 1 of 3 rows"),
        ([[0, 1]], r"y_true has shape \(1, 2\)"),
    ],
)
def test_other_labels_are_refused_in_words(values: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        binary_labels(values, "y_true")


@pytest.mark.parametrize(
    ("features", "name"),
    [
        (pd.DataFrame({"race": ["b", "w", None]}, index=[5, 6, 7]), "race"),
        (pd.Series(["b", "w", None], name="race"), "race"),
        ({"race": ["b", "w", None]}, "race"),
        (pd.Series(pd.Categorical(["b", "w", None]), name="race"), "race"),
        (np.array(["b", "w", None], dtype=object), "sensitive_feature_0"),
        (["b", "w", None], "sensitive_feature_0"),
        (np.array([["b"], ["w"], [None]], dtype=object), "sensitive_feature_0"),
        (pa.table({"race": ["b", "w", None]}), "race"),
        (pa.chunked_array([["b", "w"], [None]]), "sensitive_feature_0"),
        ({"race": pa.array(["b", "w", None]).dictionary_encode()}, "race"),
    ],
)
def test_features_of_any_kind(features: Any, name: str) -> None:
    columns = group_columns(features, 3)
    assert list(columns) == [name]
    assert columns[name].tolist() == ["b", "w", "unknown"]


def test_whole_numbers_with_gaps_keep_their_names() -> None:
    found = group_columns({"sex": pd.Series([1, 0, None]), "flag": [True, False, True]}, 3)
    assert found["sex"].tolist() == ["1", "0", "unknown"]
    assert found["flag"].tolist() == ["True", "False", "True"]


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"race": ["b", "w"]}, 'got 2 rows in "race", expected 3'),
        ({}, "has no column"),
        ({"all": ["b", "w", "w"]}, "a reserved name"),
        (pd.DataFrame([["b", "w"]] * 3, columns=["x", "x"]), 'two columns called "x"'),
        (np.zeros((3, 1, 1)), "has shape"),
        ("race", "is a str; accepted: a table or a column"),
        ({"race": [["b"], ["w"], ["w"]]}, "values that are no single values"),
        ({"race": ["b", None, "unknown"]}, 'is missing in 1 of 3 rows and has a group called "unk'),
    ],
)
def test_features_that_cannot_be_used(features: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        group_columns(features, 3)


def test_a_group_called_unknown_is_what_missing_values_are() -> None:
    given = group_columns({"race": ["b", "unknown", "b"]}, 3)
    missing = group_columns({"race": ["b", None, "b"]}, 3)
    assert given["race"].tolist() == missing["race"].tolist() == ["b", "unknown", "b"]


def test_dates_and_bands_are_groups_by_their_words() -> None:
    found = group_columns(
        {
            "born": pd.to_datetime(pd.Series(["2001-02-03", None])),
            "band": pd.cut(pd.Series([1.0, 7.0]), [0, 5, 10]),
        },
        2,
    )
    assert found["born"].tolist() == ["2001-02-03 00:00:00", "unknown"]
    assert found["band"].tolist() == ["(0, 5]", "(5, 10]"]
