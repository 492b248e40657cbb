"""A shallow tree of errors as plain rows, for a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hitl_audit.slices.conditions import Condition, FeatureCells
from hitl_audit.slices.gauge import Floats, Gauge

__all__ = ["Branch", "Step", "TreeNode", "error_tree", "grown_branches"]

Rows = npt.NDArray[np.bool_]
Step = tuple[Condition, bool]
"""A condition, and whether it is met or not."""


@dataclass(frozen=True)
class TreeNode:
    """One node of a shallow tree of errors, grown in one half and measured in the other.

    Attributes:
        id: number of the node; 0 is the root.
        parent: number of its parent, -1 for the root.
        depth: 0 for the root.
        condition: what leads here from the parent, in words; ``""`` for the root.
        n, errors, value, low, high: of the confirmation half.
        leaf: nothing follows.
    """

    id: int
    parent: int
    depth: int
    condition: str
    n: int
    errors: float
    value: float | None
    low: float | None
    high: float | None
    leaf: bool


@dataclass(frozen=True)
class Branch:
    """A node with the way to it, so that its rows can be told in any table.

    Attributes:
        node: as the picture shows it.
        steps: what a row must meet, or not meet; () for the root.
        p_value: of equal errors in the node and in the rest of the
            confirmation half; ``None`` for the root and where there are no rows.
    """

    node: TreeNode
    steps: tuple[Step, ...]
    p_value: float | None


def error_tree(
    features: Sequence[FeatureCells],
    searched: Rows,
    loss: Floats,
    gauge: Gauge,
    min_size: int,
    depth: int,
    random_state: int,
) -> tuple[TreeNode, ...]:
    """A shallow tree of yes-or-no conditions, as rows; parents come first."""
    ways = _grown(features, searched, loss, gauge, min_size, depth, random_state)
    return tuple(node for node, _, _ in ways)


def grown_branches(
    features: Sequence[FeatureCells],
    searched: Rows,
    loss: Floats,
    gauge: Gauge,
    min_size: int,
    depth: int,
    random_state: int,
) -> tuple[Branch, ...]:
    """The same tree, with the way to every node and a test of it."""
    confirm = loss[~searched]
    return tuple(
        Branch(node, steps, gauge.compare(confirm[inside], confirm[~inside])[1])
        for node, steps, inside in _grown(
            features, searched, loss, gauge, min_size, depth, random_state
        )
    )


def _grown(
    features: Sequence[FeatureCells],
    searched: Rows,
    loss: Floats,
    gauge: Gauge,
    min_size: int,
    depth: int,
    random_state: int,
) -> list[tuple[TreeNode, tuple[Step, ...], Rows]]:
    """Nodes, the steps to each, and which rows of the confirmation half are in it."""
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    pairs = [
        (feature, place)
        for feature in features
        for place, condition in enumerate(feature.conditions)
        if condition.kind != "range" or condition.up_to is None
    ]
    confirm = loss[~searched]
    value, low, high = gauge.estimate(confirm)
    root = TreeNode(0, -1, 0, "", len(confirm), float(confirm.sum()), value, low, high, True)
    if not pairs:
        return [(root, (), np.ones(len(confirm), dtype=bool))]
    met = np.column_stack([f.members[place][f.codes] for f, place in pairs])
    model = DecisionTreeClassifier if gauge.kind == "error rate" else DecisionTreeRegressor
    grown = model(max_depth=depth, min_samples_leaf=min_size, random_state=random_state)
    tree = grown.fit(met[searched], loss[searched]).tree_
    inside = {0: np.ones(len(confirm), dtype=bool)}
    steps: dict[int, tuple[Step, ...]] = {0: ()}
    nodes = [replace(root, leaf=bool(tree.children_left[0] < 0))]
    for parent in range(tree.node_count):  # a parent has a smaller number than its children
        if tree.children_left[parent] < 0:
            continue
        feature, place = pairs[tree.feature[parent]]
        yes = met[~searched, tree.feature[parent]] > 0.5
        condition = feature.conditions[place]
        level = next(node.depth for node in nodes if node.id == parent) + 1
        for child, met_here, text in (
            (int(tree.children_right[parent]), True, condition.words),
            (int(tree.children_left[parent]), False, condition.negated),
        ):
            inside[child] = inside[parent] & (yes == met_here)
            steps[child] = (*steps[parent], (condition, met_here))
            held = confirm[inside[child]]
            value, low, high = gauge.estimate(held)
            leaf = bool(tree.children_left[child] < 0)
            nodes.append(
                TreeNode(
                    child, parent, level, text, len(held), float(held.sum()),
                    value, low, high, leaf,
                )
            )  # fmt: skip
    nodes.sort(key=lambda node: node.id)
    return [(node, steps[node.id], inside[node.id]) for node in nodes]
