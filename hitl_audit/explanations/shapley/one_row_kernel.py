"""Compiled interventional Shapley values of one row: background rows as sets of bits.

A pair of the row and a background row reaches a node in some coalition if each player on the
path is satisfied by one of the two. The background rows that still can are a set, cut on the way
down by a few operations on whole words, and a branch that none can reach is not walked.
"""

from __future__ import annotations

import numpy as np

from hitl_audit.explanations.shapley.compilation import compiled
from hitl_audit.explanations.shapley.tree_kernels import goes_left

__all__ = ["add_one_row", "behind_subtrees", "left_sets"]


@compiled
def behind_subtrees(nodes):  # type: ignore[no-untyped-def]
    """For each node the position behind its last descendant, (nodes,)."""
    n = len(nodes.depth)
    after = np.empty(n, np.int32)
    for t in range(len(nodes.first) - 1):
        for i in range(nodes.first[t + 1] - 1, nodes.first[t] - 1, -1):
            after[i] = i + 1 if nodes.right[i] < 0 else after[nodes.right[i]]
    return after


@compiled
def left_sets(nodes, behind):  # type: ignore[no-untyped-def]
    """Which background rows would go left at each inner node, (nodes, words): bit b is row b.

    ``behind`` (columns, m): as the trees compare them.
    """
    m = behind.shape[1]
    sets = np.zeros((len(nodes.depth), (m + 63) // 64), np.uint64)
    one = np.uint64(1)
    for i in range(len(nodes.depth)):
        if nodes.right[i] >= 0:
            for b in range(m):
                if goes_left(nodes, i, behind[nodes.column[i], b]):
                    sets[i, b // 64] |= one << np.uint64(b % 64)
    return sets


@compiled
def _place(bit):  # type: ignore[no-untyped-def]
    """The place of a single set bit."""
    below = bit - np.uint64(1)
    below = below - ((below >> np.uint64(1)) & np.uint64(0x5555555555555555))
    low = np.uint64(0x3333333333333333)
    below = (below & low) + ((below >> np.uint64(2)) & low)
    below = (below + (below >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((below * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def add_one_row(  # type: ignore[no-untyped-def]
    nodes, values, player, before, slot, slots, after, sets, gain, loss, row, weights, phi
):
    """Add the values of all trees to phi (players,).

    ``row`` (columns,): as the trees compare it. What the pair with background row b gives
    counts ``weights[b]`` times. ``player``, ``before``, ``slot``, ``slots``: of
    ``tree_kernels.paths``; ``gain``, ``loss``: as in ``background_kernel.add_interventional``.
    """
    m, words = len(weights), sets.shape[1]
    height = nodes.depth.max() + 1
    live = np.zeros((height, words), np.uint64)
    # Of the player of each depth's edge: who satisfies all its edges so far.
    theirs = np.zeros((height, words), np.uint64)
    mine = np.zeros(height, np.bool_)
    path = np.zeros(height, np.int32)
    last = np.zeros(64, np.int32)  # the depth of each player's last edge
    depths = np.zeros(64, np.int32)
    lacking = np.zeros(64, np.uint64)
    lacks = np.zeros(64)
    gained = np.zeros(64)
    one = np.uint64(1)
    for b in range(m):
        live[0, b // 64] |= one << np.uint64(b % 64)
    for t in range(len(nodes.first) - 1):
        i = nodes.first[t]
        stop = nodes.first[t + 1]
        while i < stop:
            d = nodes.depth[i]
            if d > 0:
                parent = path[d - 1]
                side = nodes.is_left[i]
                ok = goes_left(nodes, parent, row[nodes.column[parent]]) == side
                above = before[i]
                if above >= 0:
                    ok = ok and mine[above]
                mine[d] = ok
                some = False
                for w in range(words):
                    passing = sets[parent, w] if side else ~sets[parent, w]
                    if above >= 0:
                        passing &= theirs[above, w]
                    theirs[d, w] = passing
                    left = live[d - 1, w] if ok else live[d - 1, w] & passing
                    live[d, w] = left
                    some = some or left != 0
                if not some:
                    i = after[i]
                    continue
            path[d] = i
            value = values[i]
            if nodes.right[i] < 0 and slots[i] > 0 and value != 0.0:
                players = slots[i]
                for e in range(1, d + 1):
                    last[slot[path[e]]] = e
                # The players that the row satisfies first, then those it does not.
                held, lost = 0, 0
                for j in range(players):
                    if mine[last[j]]:
                        depths[held] = last[j]
                        gained[held] = 0.0
                        held += 1
                    else:
                        lost += 1
                        depths[players - lost] = last[j]
                fall = 0.0
                for w in range(words):
                    rest = live[d, w]
                    for k in range(held):
                        lacking[k] = ~theirs[depths[k], w]
                    while rest:
                        lowest = rest & (~rest + one)
                        rest ^= lowest
                        b = _place(lowest)
                        shift = np.uint64(b)
                        # No branches: which players b lacks is as good as random.
                        won = np.uint64(0)
                        for k in range(held):
                            bit = (lacking[k] >> shift) & one
                            lacks[k] = bit
                            won += bit
                        if won + np.uint64(lost) == 0:
                            continue
                        scaled = value * weights[64 * w + b]
                        fall += scaled * loss[won, lost]
                        up = scaled * gain[won, lost]
                        for k in range(held):
                            gained[k] += up * lacks[k]
                for k in range(held):
                    phi[player[path[depths[k]]]] += gained[k]
                for k in range(players - lost, players):
                    phi[player[path[depths[k]]]] -= fall
            i += 1
