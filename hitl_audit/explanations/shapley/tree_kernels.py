"""Compiled walks over the nodes of trees. Importing this module imports numba."""

from __future__ import annotations

import numpy as np

from hitl_audit.explanations.shapley.compilation import compiled

__all__ = ["add_predictions", "goes_left", "paths", "preorder"]


@compiled
def preorder(left, right):  # type: ignore[no-untyped-def]
    """Order, depth, parent, side and right child of one tree's nodes in preorder."""
    most = len(left)
    order = np.empty(most, np.int32)
    depth = np.empty(most, np.int32)
    parent = np.empty(most, np.int32)
    on_left = np.zeros(most, np.bool_)
    to_right = np.full(most, -1, np.int32)
    stack = np.empty((most + 1, 3), np.int32)
    stack[0, 0], stack[0, 1], stack[0, 2] = 0, 0, -1
    height, count = 1, 0
    while height:
        height -= 1
        node, deep, above = stack[height]
        order[count], depth[count], parent[count] = node, deep, above
        if above >= 0:
            if above == count - 1 and left[order[above]] == node:
                on_left[count] = True
            else:
                to_right[above] = count
        if left[node] >= 0:
            for child in (right[node], left[node]):
                stack[height, 0], stack[height, 1], stack[height, 2] = child, deep + 1, count
                height += 1
        count += 1
    return order[:count], depth[:count], parent[:count], on_left[:count], to_right[:count]


@compiled
def paths(nodes, group):  # type: ignore[no-untyped-def]
    """What each node's edge from its parent means for the players on the path to it.

    ``group`` maps columns to players. Returns per node the player of the
    edge, the depth of the same player's last edge above (-1: none), the
    player's number on this path, the number of players so far, the product of
    the player's shares with this edge and without it.
    """
    n = len(nodes.depth)
    player = np.full(n, -1, np.int32)
    before = np.full(n, -1, np.int32)
    slot = np.full(n, -1, np.int32)
    slots = np.zeros(n, np.int32)
    z = np.ones(n)
    z_before = np.ones(n)
    path = np.zeros(nodes.depth.max() + 1, np.int32)
    for i in range(n):
        d = nodes.depth[i]
        path[d] = i
        if d == 0:
            continue
        above = path[d - 1]
        g = group[nodes.column[above]]
        player[i], slots[i], slot[i] = g, slots[above] + 1, slots[above]
        for e in range(d - 1, 0, -1):
            if player[path[e]] == g:
                before[i], slot[i], slots[i] = e, slot[path[e]], slots[above]
                z_before[i] = z[path[e]]
                break
        z[i] = z_before[i] * nodes.share[i]
    return player, before, slot, slots, z, z_before


@compiled
def goes_left(nodes, i, value):  # type: ignore[no-untyped-def]
    """Whether a row with this value goes left at node i."""
    if value != value:
        return nodes.missing_left[i]
    c = nodes.category[i]
    if c < 0:
        return value <= nodes.threshold[i]
    last = nodes.goes_left.shape[1] - 1
    code = int(value) if 0 <= value < last else last
    return nodes.goes_left[c, code]


@compiled
def add_predictions(nodes, values, table, out):  # type: ignore[no-untyped-def]
    """Add each tree's leaf to ``out`` (rows, outputs); ``table`` is (columns, rows)."""
    for t in range(len(nodes.first) - 1):
        for r in range(table.shape[1]):
            i = nodes.first[t]
            while nodes.right[i] >= 0:
                i = i + 1 if goes_left(nodes, i, table[nodes.column[i], r]) else nodes.right[i]
            for k in range(values.shape[1]):
                out[r, k] += values[i, k]
