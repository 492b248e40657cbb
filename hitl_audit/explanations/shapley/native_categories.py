"""Splits on categories, which the libraries store each in their own way and shap's parser drops."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import ExplanationError

__all__ = ["NativeCategories", "native_categories"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NativeCategories:
    """How a model's trees split on categories.

    Attributes:
        splits: for (tree, node): some codes, and whether it is all others that go left.
        known: for a column: its raw values in the order of their codes; a value that is not
            among them is a missing one. Columns that are not listed hold codes.
        columns: the caller's column of each column that the trees know; ``None``: the same.
        missing_left: the side of missing values, where shap's parser has it wrong.
    """

    splits: Mapping[tuple[int, int], tuple[frozenset[int], bool]] = field(default_factory=dict)
    known: Mapping[int, FloatArray] = field(default_factory=dict)
    columns: npt.NDArray[np.intp] | None = None
    missing_left: Mapping[tuple[int, int], bool] = field(default_factory=dict)


def native_categories(estimator: Any, parsed: Any) -> NativeCategories:
    """What ``parsed``, shap's reading of an estimator, leaves out.

    Raises:
        ExplanationError: the categories are not numbers, or zeros count as missing.
    """
    if parsed.model_type == "lightgbm":
        return _lightgbm(parsed)
    if parsed.model_type == "xgboost":
        return NativeCategories(splits=dict(_xgboost(parsed)))
    if getattr(estimator, "is_categorical_", None) is not None:
        return _histogram(estimator)
    return NativeCategories()


def _histogram(estimator: Any) -> NativeCategories:
    """scikit-learn's histogram boosting puts categorical columns first and encodes them."""
    categorical = np.asarray(estimator.is_categorical_)
    columns = np.concatenate([np.flatnonzero(categorical), np.flatnonzero(~categorical)])
    encoder = estimator._preprocessor.named_transformers_["encoder"]
    known = {}
    for place, values in enumerate(encoder.categories_):
        try:
            known[int(columns[place])] = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ExplanationError(f"native categories that are not numbers ({error})") from error
    left, missing_left, tree = {}, {}, 0
    for stage in estimator._predictors:
        for predictor in stage:
            for at, node in enumerate(predictor.nodes):
                if node["is_categorical"] and not node["is_leaf"]:
                    words = predictor.raw_left_cat_bitsets[node["bitset_idx"]]
                    codes = (c for c in range(32 * len(words)) if words[c // 32] >> (c % 32) & 1)
                    left[tree, at] = frozenset(codes), False
                    missing_left[tree, at] = bool(node["missing_go_to_left"])
            tree += 1
    return NativeCategories(left, known, columns.astype(np.intp), missing_left)


def _xgboost(parsed: Any) -> Iterator[tuple[tuple[int, int], tuple[frozenset[int], bool]]]:
    """XGBoost lists the codes that go right."""
    if parsed.cat_feature_indices is None:
        return
    stored = json.loads(bytes(parsed.original_model.save_raw("json")))
    booster = stored["learner"]["gradient_booster"]
    for tree, dumped in enumerate(booster.get("gbtree", booster)["model"]["trees"]):
        for node, start, size in zip(
            dumped["categories_nodes"],
            dumped["categories_segments"],
            dumped["categories_sizes"],
            strict=True,
        ):
            right = dumped["categories"][start : start + size]
            yield (tree, node), (frozenset(right), True)


def _lightgbm(parsed: Any) -> NativeCategories:
    dumped = parsed.original_model.dump_model()
    left, missing_left = {}, {}
    for tree, node in _lightgbm_splits(dumped):
        at = tree, int(node["split_index"])
        if node["decision_type"] == "==":
            codes = str(node["threshold"]).split("||")
            left[at] = frozenset(map(int, codes)), False
            missing_left[at] = False  # a missing category is in no set
        elif node["missing_type"] == "Zero":
            raise ExplanationError("the trees take zeros for missing values")
        elif node["missing_type"] == "None":
            # Where training met no missing value, one counts as 0.
            missing_left[at] = bool(node["threshold"] >= 0)
    known = {}
    if dumped["pandas_categorical"]:
        infos = list(dumped["feature_infos"].values())
        columns = [j for j, info in enumerate(infos) if info["values"]]
        if len(columns) != len(dumped["pandas_categorical"]):
            raise ExplanationError("native categories whose columns the model does not name")
        for j, values in zip(columns, dumped["pandas_categorical"], strict=True):
            try:
                known[j] = np.asarray(values, dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise ExplanationError(
                    f"native categories that are not numbers ({error})"
                ) from error
    return NativeCategories(left, known, None, missing_left)


def _lightgbm_splits(dumped: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """All inner nodes of LightGBM's ``dump_model()``, with the number of their tree."""
    for tree, info in enumerate(dumped["tree_info"]):
        stack = [info["tree_structure"]]
        while stack:
            node = stack.pop()
            if "split_index" in node:
                yield tree, node
                stack += [node["left_child"], node["right_child"]]
