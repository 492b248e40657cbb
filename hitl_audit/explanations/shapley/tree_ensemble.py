"""Fitted tree ensembles as arrays: one form for all libraries, in the models' own comparisons."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import ExplanationError
from hitl_audit.explanations.shapley.native_categories import NativeCategories, native_categories

__all__ = ["Nodes", "TreeEnsemble", "import_shap", "quiet", "read_trees"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]


class Nodes(NamedTuple):
    """The nodes of all trees, one after another, each tree in preorder (its left branch first).

    A row goes left where its value is ≤ the threshold, where it is missing and
    ``missing_left``, or, at a node with categories, where its value is one of them.

    Attributes:
        first: (trees + 1,) position of each tree's root.
        depth: (nodes,) 0 at a root.
        is_left: (nodes,) this node is its parent's left child.
        right: (nodes,) position of the right child; -1 at a leaf. The left one follows its parent.
        column: (nodes,) the column that is tested; -1 at a leaf.
        threshold: (nodes,) as above.
        missing_left: (nodes,) as above.
        category: (nodes,) row of ``goes_left``; -1 where the test is a threshold.
        goes_left: (category nodes, codes) which codes go left; the last column is any other code.
        share: (nodes,) share of the parent's training weight that came here.
    """

    first: IntArray
    depth: IntArray
    is_left: BoolArray
    right: IntArray
    column: IntArray
    threshold: FloatArray
    missing_left: BoolArray
    category: IntArray
    goes_left: BoolArray
    share: FloatArray


@dataclass(frozen=True, eq=False)
class TreeEnsemble:
    """A sum of trees with one or several outputs.

    Attributes:
        nodes: all trees.
        values: (nodes, outputs); what a leaf adds to each output.
        offset: (outputs,) what no tree carries.
        precision: the model compares values after rounding them to this type.
        scale: what the sum is: ``"probability"``, ``"log_odds"``, ``"raw_value"`` or ``None``.
        known: for columns of categories: the raw value of each code.
    """

    nodes: Nodes
    values: FloatArray
    offset: FloatArray
    precision: type
    scale: str | None
    known: Mapping[int, FloatArray]

    @property
    def n_trees(self) -> int:
        """Number of trees."""
        return len(self.nodes.first) - 1

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return int(self.values.shape[1])

    def rounded(self, rows: npt.ArrayLike) -> FloatArray:
        """Values as the model compares them, one column of the table per row: (columns, rows)."""
        table = np.asarray(rows, dtype=np.float64)
        if table.ndim != 2 or table.shape[1] <= self.nodes.column.max(initial=0):
            raise ExplanationError(
                f"rows have shape {table.shape}; the trees test column "
                f"{self.nodes.column.max(initial=0)}"
            )
        with np.errstate(over="ignore"):  # beyond single precision is infinite there, too
            rounded = np.ascontiguousarray(table.astype(self.precision).astype(np.float64).T)
        for j, values in self.known.items():
            same = table[:, j, np.newaxis] == values
            rounded[j] = np.where(same.any(axis=1), same.argmax(axis=1), np.nan)
        return rounded

    def predict(self, rows: npt.ArrayLike) -> FloatArray:
        """The outputs of the trees for each row, (n, outputs)."""
        from hitl_audit.explanations.shapley import tree_kernels

        table = self.rounded(rows)
        out = np.tile(self.offset, (table.shape[1], 1))
        tree_kernels.add_predictions(self.nodes, self.values, table, out)
        return out

    def expected(self) -> FloatArray:
        """The mean output over the training weights at the nodes, (outputs,)."""
        reach = np.ones(len(self.nodes.depth))
        path = np.ones(int(self.nodes.depth.max(initial=0)) + 1)
        for i, (depth, share) in enumerate(zip(self.nodes.depth, self.nodes.share, strict=True)):
            if depth:
                path[depth] = path[depth - 1] * share
                reach[i] = path[depth]
        leaves = self.nodes.column < 0
        return np.asarray(self.offset + reach[leaves] @ self.values[leaves])


def import_shap() -> ModuleType:
    """Import shap, whose start-up uses a part of matplotlib that is about to go."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=PendingDeprecationWarning, module="shap")
        import shap

    module: ModuleType = shap
    return module


@contextmanager
def quiet() -> Iterator[None]:
    """Silence shap's remarks: what they are about is checked here, against the model."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="shap")
        yield


def read_trees(estimator: Any) -> TreeEnsemble:
    """The trees of a fitted estimator, as shap's parser reads them, with its gaps filled.

    Raises:
        ExplanationError: this estimator's trees cannot be read; the message says why.
    """
    shap = import_shap()
    try:
        with quiet():
            parsed = shap.TreeExplainer(estimator, feature_perturbation="tree_path_dependent").model
    except Exception as error:  # shap raises whatever its parser of that library meets
        raise ExplanationError(f"shap's parser: {type(error).__name__}: {error}") from error
    if not parsed.trees:
        raise ExplanationError("shap's parser found no trees")
    native = native_categories(estimator, parsed)
    limit = len(parsed.trees) if parsed.tree_limit is None else int(parsed.tree_limit)
    if not 0 < limit <= len(parsed.trees):
        limit = len(parsed.trees)
    left, right = parsed.children_left[:limit], parsed.children_right[:limit]
    default = np.array(parsed.children_default[:limit])
    for (tree, node), goes_left in native.missing_left.items():
        if tree < limit:
            default[tree, node] = (left if goes_left else right)[tree, node]
    return _flatten(
        left,
        right,
        default,
        parsed.features[:limit],
        parsed.thresholds[:limit],
        parsed.node_sample_weight[:limit],
        parsed.values[:limit],
        offset=_offset(parsed),
        precision=_precision(estimator, parsed),
        scale=parsed.tree_output,
        native=native,
    )


def _offset(parsed: Any) -> FloatArray:
    """What no tree carries; of XGBoost's several outputs shap's parser knows the first one's."""
    offset = np.array(parsed.base_offset, dtype=np.float64)
    if parsed.model_type == "xgboost" and len(offset) > 1:
        config = json.loads(parsed.original_model.save_config())
        said = json.loads(config["learner"]["learner_model_param"]["base_score"])
        offset[:] = said
    return offset


def _precision(estimator: Any, parsed: Any) -> type:
    # shap's parser leaves double precision for isolation forests and XGBoost's regressor.
    single = parsed.model_type == "xgboost" or type(estimator).__name__ == "IsolationForest"
    chosen: type = np.float32 if single else parsed.input_dtype
    return chosen


def _flatten(
    left: IntArray,
    right: IntArray,
    default: IntArray,
    column: IntArray,
    threshold: FloatArray,
    weight: FloatArray,
    values: FloatArray,
    *,
    offset: FloatArray,
    precision: type,
    scale: str | None,
    native: NativeCategories,
) -> TreeEnsemble:
    """From one row of arrays per tree, in any order of nodes, to preorder."""
    from hitl_audit.explanations.shapley import tree_kernels

    parts: list[tuple[Any, ...]] = []
    first, out_values = [0], []
    rows_of_goes_left = {at: row for row, at in enumerate(native.splits)}
    for t in range(len(left)):
        order, depth, parent, on_left, to_right = tree_kernels.preorder(left[t], right[t])
        above = weight[t][order[np.maximum(parent, 0)]].astype(np.float64)
        # A parent that no training row reached says nothing: its children share equally.
        share = np.full(len(order), 0.5)
        np.divide(weight[t][order].astype(np.float64), above, out=share, where=above > 0)
        share[0] = 1.0
        inner = to_right >= 0
        category = np.full(len(order), -1, dtype=np.int32)
        if rows_of_goes_left:
            category[:] = [rows_of_goes_left.get((t, int(node)), -1) for node in order]
        parts.append(
            (
                depth,
                on_left,
                np.where(inner, to_right + first[-1], -1).astype(np.int32),
                np.where(inner, _raw(column[t][order], native), -1).astype(np.int32),
                threshold[t][order].astype(np.float64),
                default[t][order] == left[t][order],
                category,
                share,
            )
        )
        out_values.append(values[t][order].astype(np.float64))
        first.append(first[-1] + len(order))
    depth, on_left, to_right, column, threshold, missing_left, category, share = (
        np.concatenate(p) for p in zip(*parts, strict=True)
    )
    nodes = Nodes(
        np.array(first, dtype=np.int32),
        depth,
        on_left,
        to_right,
        column,
        threshold,
        missing_left,
        category,
        _goes_left(native),
        share,
    )
    for array in nodes:
        array.setflags(write=False)
    return TreeEnsemble(nodes, np.concatenate(out_values), offset, precision, scale, native.known)


def _raw(column: IntArray, native: NativeCategories) -> npt.NDArray[np.integer[Any]]:
    return column if native.columns is None else native.columns[np.maximum(column, 0)]


def _goes_left(native: NativeCategories) -> BoolArray:
    codes = max((max(codes, default=0) for codes, _ in native.splits.values()), default=-1) + 1
    table = np.zeros((len(native.splits), codes + 1), dtype=np.bool_)
    for row, (listed, others_go_left) in enumerate(native.splits.values()):
        table[row] = others_go_left
        table[row, list(listed)] = not others_go_left
    return table
