"""Do the numbers inside a model's trees point where trees may point?

scikit-learn follows the child and feature indices of a tree without checking
them: an index that is too large crashes the process or reads memory that is
not the tree's. Explanations read the same trees, so they are checked once,
before anything follows them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from hitl_audit.errors import InputError

__all__ = ["check_structure"]

_PARTS_LIMIT = 5_000_000


def check_structure(model: Any) -> None:
    """Check every tree inside a model of scikit-learn's.

    Trees of decision trees, forests, boosting and histogram boosting, and the
    search trees of nearest neighbours. A child must come after its parent, as
    scikit-learn always writes them, which also rules out circles.

    Raises:
        InputError: an index points outside its tree or its data; the message
            completes "model.path is …, which …".
    """
    for owner, part in _parts(model):
        kind = f"{type(part).__module__}.{type(part).__name__}"
        if kind == "sklearn.tree._tree.Tree":
            _check_tree(part, getattr(owner, "n_features_in_", None))
        elif kind == "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor":
            _check_predictor(part, getattr(owner, "n_features_in_", None))
        elif kind.startswith("sklearn.neighbors._") and hasattr(part, "get_arrays"):
            _check_search_tree(part)
        elif hasattr(part, "estimators_"):
            _check_widths(part)


def _parts(model: Any) -> Iterator[tuple[Any, Any]]:
    """Every object inside a model, with the estimator it belongs to."""
    seen: set[int] = set()
    waiting: list[tuple[Any, Any]] = [(None, model)]
    while waiting:
        owner, part = waiting.pop()
        if isinstance(part, str | bytes | int | float | complex | type(None) | type | np.generic):
            continue
        if isinstance(part, np.ndarray) and part.dtype != object:
            continue
        if id(part) in seen:
            continue
        seen.add(id(part))
        if len(seen) > _PARTS_LIMIT:
            raise InputError(f"is made of more than {_PARTS_LIMIT:,} parts")
        inner: list[Any] = []
        if isinstance(part, dict):
            inner = list(part.values())
        elif isinstance(part, list | tuple | set | frozenset):
            inner = list(part)
        elif isinstance(part, np.ndarray):
            inner = part.ravel().tolist()
        else:
            yield owner, part
            inner = list(getattr(part, "__dict__", {}).values())
            if hasattr(part, "n_features_in_"):
                owner = part
        waiting += [(owner, value) for value in inner]


def _refuse(what: str) -> None:
    raise InputError(f"holds a damaged tree: {what}; it was not made by scikit-learn like this")


def _check_tree(tree: Any, width: int | None) -> None:
    n = int(tree.node_count)
    # Checked first: what follows reads node_count nodes.
    if not 0 < n <= int(tree.capacity):
        _refuse(f"it states {n} nodes and has room for {int(tree.capacity)}")
    if width is not None and int(tree.n_features) != int(width):
        _refuse(f"it reads {int(tree.n_features)} columns of {int(width)}")
    left, right = tree.children_left, tree.children_right
    leaf = left == -1
    _check_children(left, right, leaf, n)
    feature = tree.feature[~leaf]
    if ((feature < 0) | (feature >= int(tree.n_features))).any():
        _refuse(f"a node asks for a column beyond its {int(tree.n_features)}")
    # The length of the longest path decides how much room a path gets.
    depth = np.zeros(n, dtype=np.int64)
    for i in np.flatnonzero(~leaf):
        depth[left[i]] = depth[right[i]] = depth[i] + 1
    if int(depth.max()) > int(tree.max_depth):
        _refuse(f"it states a depth of {int(tree.max_depth)} and has {int(depth.max())}")


def _check_children(left: Any, right: Any, leaf: Any, n: int) -> None:
    at = np.flatnonzero(~leaf)
    for children in (left, right):
        points = children[at].astype(np.int64)
        if ((points <= at) | (points >= n)).any():
            _refuse(f"a child of a node is not among the later ones of its {n} nodes")


def _check_predictor(predictor: Any, width: int | None) -> None:
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE

    nodes = predictor.nodes
    is_array = isinstance(nodes, np.ndarray) and nodes.ndim == 1 and len(nodes) > 0
    if not is_array or nodes.dtype != PREDICTOR_RECORD_DTYPE:
        _refuse("its nodes are of another layout")
    inner = nodes["is_leaf"] == 0
    _check_children(nodes["left"], nodes["right"], ~inner, len(nodes))
    feature = nodes["feature_idx"][inner]
    if width is not None and ((feature < 0) | (feature >= width)).any():
        _refuse(f"a node asks for a column beyond its {width}")
    categories = nodes["bitset_idx"][inner & (nodes["is_categorical"] != 0)]
    sets = predictor.raw_left_cat_bitsets
    if len(categories) and (
        not isinstance(sets, np.ndarray)
        or sets.ndim != 2
        or sets.shape[1] != 8
        or int(categories.max()) >= len(sets)
    ):
        _refuse("a node asks for a set of categories that is not there")


def _check_search_tree(tree: Any) -> None:
    data, order, nodes, bounds = (np.asarray(a) for a in tree.get_arrays())
    stated = int(tree.__getstate__()[6])
    if stated != len(nodes) or bounds.ndim != 3 or bounds.shape[1] != len(nodes):
        _refuse(f"it states {stated} nodes and has {len(nodes)}")
    if bounds.shape[2] not in (1, data.shape[1]) or data.ndim != 2:
        _refuse("its bounds have another width than its points")
    if len(order) != len(data) or not np.array_equal(np.sort(order), np.arange(len(data))):
        _refuse("its order is no order of its points")
    start, end, leaf = nodes["idx_start"], nodes["idx_end"], nodes["is_leaf"]
    if ((start < 0) | (end > len(data)) | (start > end)).any():
        _refuse("a node covers points that are not there")
    last = np.arange(len(nodes)) * 2 + 2 >= len(nodes)
    if not leaf[last].all():
        _refuse("a node of the last level has children")


def _check_widths(ensemble: Any) -> None:
    """Forests and boosting hand rows to their trees without checking the width again."""
    forest = sys.modules.get("sklearn.ensemble._forest")
    boosting = sys.modules.get("sklearn.ensemble._gb")
    bagging = sys.modules.get("sklearn.ensemble._bagging")
    members = np.ravel(np.asarray(ensemble.estimators_, dtype=object)).tolist()
    if (forest and isinstance(ensemble, forest.BaseForest)) or (
        boosting and isinstance(ensemble, boosting.BaseGradientBoosting)
    ):
        expected = [int(ensemble.n_features_in_)] * len(members)
    elif bagging and isinstance(ensemble, bagging.BaseBagging):
        expected = [len(columns) for columns in ensemble.estimators_features_]
    else:
        return
    for member, width in zip(members, expected, strict=False):
        if int(getattr(member, "n_features_in_", width)) != width:
            _refuse(f"it reads {member.n_features_in_} columns of {width}")
