"""Compiled inner loop of interventional Shapley values: background rows counted by pattern.

A tree is walked once for all rows and background rows, holding per depth which of the
path's players each of them satisfies. Nothing here holds the GIL.
"""

from __future__ import annotations

import numpy as np

from hitl_audit.explanations.shapley.compilation import compiled
from hitl_audit.explanations.shapley.tree_kernels import goes_left

__all__ = ["add_interventional"]

# The largest table of what a leaf gives, in numbers: it should stay in the cache.
TABLE_SIZE = 1 << 17
# So few rows do not repay counting the background rows by pattern.
FEW_ROWS = 8


@compiled
def _decide(nodes, i, table, left):  # type: ignore[no-untyped-def]
    """``goes_left`` for all rows of a table (columns, rows), into ``left`` at the node's depth."""
    d, column = nodes.depth[i], nodes.column[i]
    missing = nodes.missing_left[i]
    if nodes.category[i] < 0:
        threshold = nodes.threshold[i]
        for r in range(table.shape[1]):
            value = table[column, r]
            left[d, r] = missing if value != value else value <= threshold
    else:
        for r in range(table.shape[1]):
            left[d, r] = goes_left(nodes, i, table[column, r])


@compiled
def _bits(mask):  # type: ignore[no-untyped-def]
    """Number of set bits."""
    mask = mask - ((mask >> np.uint64(1)) & np.uint64(0x5555555555555555))
    low = np.uint64(0x3333333333333333)
    mask = (mask & low) + ((mask >> np.uint64(2)) & low)
    mask = (mask + (mask >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((mask * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def _descend(nodes, i, slot, new, left, masks):  # type: ignore[no-untyped-def]
    """Masks at node i from those of its parent: bit s says that player s meets all so far."""
    d = nodes.depth[i]
    bit = np.uint64(1) << np.uint64(slot)
    keep = ~bit
    side = nodes.is_left[i]
    for r in range(masks.shape[1]):
        ok = left[d - 1, r] == side
        if new:
            masks[d, r] = masks[d - 1, r] | (bit if ok else np.uint64(0))
        else:
            masks[d, r] = masks[d - 1, r] & (~np.uint64(0) if ok else keep)


@compiled
def _patterns(masks, d, n, weights, order_by_size, starts, place, found, sums):  # type: ignore[no-untyped-def]
    """Distinct background masks of a leaf, fullest first, and the weights that have them.

    The background rows are those from ``masks[d, n]`` on. ``place`` is a hash table
    of the masks, as long as a power of two.
    """
    size = np.uint64(len(place) - 1)
    for h in range(len(place)):
        place[h] = -1
    count = 0
    for b in range(len(weights)):
        m = masks[d, n + b]
        h = (m * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20) & size
        while place[h] >= 0 and found[place[h]] != m:
            h = (h + np.uint64(1)) & size
        k = place[h]
        if k < 0:
            k = count
            place[h], found[k] = k, m
            for c in range(weights.shape[1]):
                sums[k, c] = 0.0
            count += 1
        for c in range(weights.shape[1]):
            sums[k, c] += weights[b, c]
    # Counting sort by size, the fullest first.
    for k in range(66):
        starts[k] = 0
    for k in range(count):
        starts[65 - _bits(found[k])] += 1
    for size_left in range(1, 66):
        starts[size_left] += starts[size_left - 1]
    for k in range(count):
        bits = 64 - _bits(found[k])
        order_by_size[starts[bits]] = k
        starts[bits] += 1
    return count


@compiled
def _repays(found, count, d, channels, n):  # type: ignore[no-untyped-def]
    """Whether a table of all patterns costs less than going through n rows one by one."""
    cost = (d << d) // 4
    for k in range(count):
        size = _bits(found[k])
        cost += (d - size + 2) << size
    return cost * channels < n * count


@compiled
def _tabulate(table, used, found, sums, order, count, d, gain, loss, value):  # type: ignore[no-untyped-def]
    """What a leaf gives to its d players, for each pattern X of those a row satisfies.

    A pair of a row (pattern X) and a background row (pattern M) reaches the
    leaf in some coalition when X ∪ M is everybody. Its a = |not M| players that only
    the row satisfies gain, the b = |not X| that only the background row satisfies lose.
    """
    everybody = (np.uint64(1) << np.uint64(d)) - np.uint64(1)
    channels = sums.shape[1]
    for pattern in range(1 << d):
        used[pattern] = False
        for j in range(d):
            for c in range(channels):
                table[pattern, j, c] = 0.0
    for o in range(count):
        k = order[o]
        m = found[k]
        missing = everybody & ~m
        a = _bits(missing)
        size = _bits(m)
        s = m
        while True:  # every X = missing | s with s ⊆ m
            pattern = missing | s
            b = size - _bits(s)
            if a + b > 0:
                used[pattern] = True
                up, down = value * gain[a, b], value * loss[a, b]
                for j in range(d):
                    bit = np.uint64(1) << np.uint64(j)
                    if missing & bit:
                        for c in range(channels):
                            table[pattern, j, c] += up * sums[k, c]
                    elif not pattern & bit:
                        for c in range(channels):
                            table[pattern, j, c] -= down * sums[k, c]
            if s == np.uint64(0):
                break
            s = (s - np.uint64(1)) & m


@compiled
def add_interventional(  # type: ignore[no-untyped-def]
    nodes,
    values,
    player,
    before,
    slot,
    slots,
    gain,
    loss,
    first_tree,
    last_tree,
    table,
    factors,
    weights,
    as_many,
    phi,
):
    """Add interventional Shapley values of trees first_tree … last_tree - 1 to phi (rows, players).

    ``table`` (columns, n + m) holds the n rows and after them the m background rows. What a
    pair (row r, background row b) gives counts Σ_c factors[r, c] · weights[b, c] times: with one
    channel, plain weights of the background rows.
    ``gain[a, b]`` = (a-1)! b! / (a+b)! and ``loss[a, b]`` = a! (b-1)! / (a+b)!
    Ways of adding up, which differ in the last bits, are chosen as if there were ``as_many``
    rows: with the same number a row gets the same bits in whatever company it comes.
    """
    m, channels = weights.shape
    n = table.shape[1] - m
    height = nodes.depth.max() + 1
    left = np.zeros((height, n + m), np.bool_)
    masks = np.zeros((height, n + m), np.uint64)
    starts = np.zeros(66, np.int64)
    places = 2
    while places < 2 * m:
        places *= 2
    place = np.empty(places, np.int64)
    found = np.empty(m, np.uint64)
    sums = np.empty((m, channels))
    order = np.empty(m, np.int64)
    most = slots.max()
    while (most << most) * channels > TABLE_SIZE:
        most -= 1
    if as_many <= FEW_ROWS:
        for b in range(m):
            order[b] = b
            for c in range(channels):
                sums[b, c] = weights[b, c]
    entries = np.zeros((1 << most, most, channels))
    used = np.zeros(1 << most, np.bool_)
    path_player = np.zeros(64, np.int64)
    mine = np.zeros(64)
    for i in range(nodes.first[first_tree], nodes.first[last_tree]):
        d = nodes.depth[i]
        if d > 0:
            _descend(nodes, i, slot[i], before[i] < 0, left, masks)
            path_player[slot[i]] = player[i]
        if nodes.right[i] >= 0:
            _decide(nodes, i, table, left)
            continue
        D = slots[i]
        value = values[i]
        if D == 0 or value == 0.0:
            continue
        if as_many <= FEW_ROWS:
            count, fullest = m, D
            for b in range(m):
                found[b] = masks[d, n + b]
        else:
            count = _patterns(masks, d, n, weights, order, starts, place, found, sums)
            fullest = _bits(found[order[0]])
        if as_many > FEW_ROWS and most >= D and _repays(found, count, D, channels, as_many):
            _tabulate(entries, used, found, sums, order, count, D, gain, loss, value)
            for r in range(n):
                x = masks[d, r]
                if not used[x]:
                    continue
                for j in range(D):
                    total = 0.0
                    for c in range(channels):
                        total += entries[x, j, c] * factors[r, c]
                    phi[r, path_player[j]] += total
            continue
        everybody = (~np.uint64(0)) >> np.uint64(64 - D)
        for r in range(n):
            x = masks[d, r]
            absent = everybody & ~x
            b = _bits(absent)
            if b > fullest:
                continue
            live = False
            fall = 0.0
            for o in range(count):
                k = order[o]
                if absent & ~found[k]:
                    continue
                missing = everybody & ~found[k]
                a = _bits(missing)
                if a + b == 0:
                    continue
                if not live:
                    live = True
                    for j in range(D):
                        mine[j] = 0.0
                weight = 0.0
                for c in range(channels):
                    weight += sums[k, c] * factors[r, c]
                fall -= value * loss[a, b] * weight
                up = value * gain[a, b] * weight
                for j in range(D):
                    if missing & (np.uint64(1) << np.uint64(j)):
                        mine[j] += up
            if live:
                for j in range(D):
                    share = mine[j] if x & (np.uint64(1) << np.uint64(j)) else fall
                    phi[r, path_player[j]] += share
