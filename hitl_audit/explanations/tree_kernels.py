"""Compiled inner loops over the nodes of trees. Importing this module imports numba.

Rows are the lanes of every inner loop: a kernel walks a tree once for many rows,
holding per depth what each row has met on the way. Nothing here holds the GIL.
"""

from __future__ import annotations

import numpy as np

from hitl_audit.explanations.compilation import compiled

__all__ = ["add_interventional", "add_path_dependent", "add_predictions", "paths", "preorder"]

LANES = 128
# The largest table of what a leaf gives, in numbers: it should stay in the cache.
TABLE_SIZE = 1 << 17
# So few rows do not repay counting the background rows by pattern.
FEW_ROWS = 8


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
def _left(nodes, i, value):  # type: ignore[no-untyped-def]
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
def _decide(nodes, i, table, left):  # type: ignore[no-untyped-def]
    """``_left`` for all rows of a table (columns, rows), into ``left`` at the node's depth."""
    d, column = nodes.depth[i], nodes.column[i]
    missing = nodes.missing_left[i]
    if nodes.category[i] < 0:
        threshold = nodes.threshold[i]
        for r in range(table.shape[1]):
            value = table[column, r]
            left[d, r] = missing if value != value else value <= threshold
    else:
        for r in range(table.shape[1]):
            left[d, r] = _left(nodes, i, table[column, r])


@compiled
def add_predictions(nodes, values, table, out):  # type: ignore[no-untyped-def]
    """Add each tree's leaf to ``out`` (rows, outputs); ``table`` is (columns, rows)."""
    for t in range(len(nodes.first) - 1):
        for r in range(table.shape[1]):
            i = nodes.first[t]
            while nodes.right[i] >= 0:
                i = i + 1 if _left(nodes, i, table[nodes.column[i], r]) else nodes.right[i]
            for k in range(values.shape[1]):
                out[r, k] += values[i, k]


def _path_dependent(  # type: ignore[no-untyped-def]
    nodes, values, player, before, z_of, z_before, gauss, points, first_tree, last_tree, table, phi
):
    """Add path-dependent Shapley values of trees first_tree … last_tree - 1 to phi (players, rows).

    With each player's share z and indicator o (the row meets the player's
    conditions on the path), a leaf gives player i
        value · (o_i - z_i) ∫₀¹ ∏_{j≠i} ((1-t) z_j + t o_j) dt.
    The integrand is a polynomial in t of degree D - 1 for D players, so that
    ⌈D/2⌉ Gauss-Legendre nodes integrate it exactly, and every factor is ≥ 0: nothing
    cancels. P holds the products along the path, G the sums over finished
    leaves; the factor of a player is divided out where its edge is left.

    ``gauss[K]`` holds the K nodes and weights on [0, 1]; ``points`` is K per tree.
    """
    n = table.shape[1]
    most = gauss.shape[2]
    height = nodes.depth.max() + 1
    P = np.empty((height, most, LANES))
    G = np.empty((height, most, LANES))
    met = np.ones((height, LANES))  # the player of the edge into this depth meets all so far
    met_before = np.ones((height, LANES))
    left = np.zeros((height, LANES))
    open_node = np.zeros(height, np.int32)
    slope0 = np.zeros((height, most))
    slope1 = np.zeros((height, most))
    full = np.zeros(most)
    none = np.zeros(most)
    total = np.zeros(LANES)
    now = np.zeros(LANES)
    for t in range(first_tree, last_tree):
        begin, end = nodes.first[t], nodes.first[t + 1]
        if end - begin == 1:
            continue
        K = points[t]
        x = gauss[K, 0]
        for b0 in range(0, n, LANES):
            width = min(LANES, n - b0)
            current = -1
            done = begin  # nodes before it are finished: two leaves are taken with their parent
            for i in range(begin, end + 1):
                if i < done:
                    continue
                d = nodes.depth[i] if i < end else 0
                while current >= d and current > 0:  # leave a node whose leaves are done
                    a = open_node[current]
                    for r in range(LANES):
                        total[r] = 0.0
                    for k in range(K):
                        s0 = slope0[current, k]
                        s1 = slope1[current, k] - s0
                        for r in range(LANES):
                            q = G[current, k, r]
                            G[current - 1, k, r] += q
                            total[r] += q * (s0 + s1 * met[current, r])
                    g = player[a]
                    if before[a] < 0:
                        for r in range(width):
                            phi[g, b0 + r] += total[r]
                    else:
                        for r in range(width):
                            phi[g, b0 + r] += total[r] * met_before[current, r]
                    current -= 1
                if i == end:
                    break
                leaf = nodes.right[i] < 0
                if i == begin:
                    for k in range(K):
                        for r in range(LANES):
                            P[0, k, r] = gauss[K, 1, k]
                            G[0, k, r] = 0.0
                else:
                    prior = before[i]
                    z, zb = z_of[i], z_before[i]
                    value = values[i] if leaf else 1.0
                    # Ratios of the player's factor with this edge to that without, for a row
                    # that meets all (full), all but this one (none), or failed before (share).
                    share = value * (z / zb if zb > 0.0 else 0.0)
                    for k in range(K):
                        rest = 1.0 - x[k]
                        f1 = rest * z + x[k]
                        if prior < 0:
                            full[k] = f1 * value
                            none[k] = rest * z * value
                            slope0[d, k] = -1.0 / rest
                        else:
                            fb = rest * zb + x[k]
                            full[k] = f1 / fb * value
                            none[k] = rest * z / fb * value
                            slope0[d, k] = -1.0 / rest - (1.0 - zb) / fb
                        slope1[d, k] = (1.0 - z) / f1
                        if prior >= 0:
                            slope1[d, k] -= (1.0 - zb) / fb
                    if nodes.is_left[i]:
                        for r in range(LANES):
                            now[r] = left[d - 1, r]
                    else:
                        for r in range(LANES):
                            now[r] = 1.0 - left[d - 1, r]
                    if leaf:
                        for r in range(LANES):
                            total[r] = 0.0
                        if prior < 0:
                            for k in range(K):
                                a0 = none[k]
                                a1 = full[k] - a0
                                s0 = slope0[d, k]
                                s1 = slope1[d, k] - s0
                                for r in range(LANES):
                                    q = P[d - 1, k, r] * (a0 + a1 * now[r])
                                    G[d - 1, k, r] += q
                                    total[r] += q * (s0 + s1 * now[r])
                            for r in range(width):
                                phi[player[i], b0 + r] += total[r]
                        else:
                            for k in range(K):
                                a0 = none[k] - share
                                a1 = full[k] - none[k]
                                s0 = slope0[d, k]
                                s1 = slope1[d, k] - s0
                                for r in range(LANES):
                                    q = P[d - 1, k, r] * (
                                        share + met[prior, r] * (a0 + a1 * now[r])
                                    )
                                    G[d - 1, k, r] += q
                                    total[r] += q * (s0 + s1 * now[r])
                            for r in range(width):
                                phi[player[i], b0 + r] += total[r] * met[prior, r]
                    elif prior < 0:
                        for r in range(LANES):
                            met[d, r] = now[r]
                        for k in range(K):
                            a0 = none[k]
                            a1 = full[k] - a0
                            for r in range(LANES):
                                P[d, k, r] = P[d - 1, k, r] * (a0 + a1 * now[r])
                                G[d, k, r] = 0.0
                    else:
                        for r in range(LANES):
                            met_before[d, r] = met[prior, r]
                            met[d, r] = met[prior, r] * now[r]
                        for k in range(K):
                            a0 = none[k] - share
                            a1 = full[k] - none[k]
                            for r in range(LANES):
                                P[d, k, r] = P[d - 1, k, r] * (
                                    share + met_before[d, r] * (a0 + a1 * now[r])
                                )
                                G[d, k, r] = 0.0
                if not leaf:
                    column = nodes.column[i]
                    if nodes.category[i] < 0:
                        threshold = nodes.threshold[i]
                        missing = 1.0 if nodes.missing_left[i] else 0.0
                        for r in range(width):
                            y = table[column, b0 + r]
                            left[d, r] = missing if y != y else (1.0 if y <= threshold else 0.0)
                    else:
                        for r in range(width):
                            left[d, r] = 1.0 if _left(nodes, i, table[column, b0 + r]) else 0.0
                    open_node[d] = i
                    current = d
                    if nodes.right[i] != i + 2 or nodes.right[i + 2] >= 0:
                        continue
                    # Both children are leaves of one player: one pass for the two.
                    done = i + 3
                    prior, zb = before[i + 1], z_before[i + 1]
                    zl, zr = z_of[i + 1], z_of[i + 2]
                    vl, vr = values[i + 1], values[i + 2]
                    share = (vl * zl + vr * zr) / zb if zb > 0.0 else 0.0
                    for r in range(LANES):
                        total[r] = 0.0
                    for k in range(K):
                        rest = 1.0 - x[k]
                        fl, fr = rest * zl + x[k], rest * zr + x[k]
                        scale = 1.0
                        s0 = -1.0 / rest
                        sl, sr = (1.0 - zl) / fl, (1.0 - zr) / fr
                        if prior >= 0:
                            scale = 1.0 / (rest * zb + x[k])
                            out_of = (1.0 - zb) * scale
                            s0 -= out_of
                            sl -= out_of
                            sr -= out_of
                        fl, fr = fl * vl * scale, fr * vr * scale
                        nl, nr = rest * zl * vl * scale, rest * zr * vr * scale
                        q0 = nl + fr  # the row goes right
                        q1 = fl + nr - q0
                        t0 = nl * s0 + fr * sr
                        t1 = fl * sl + nr * s0 - t0
                        if prior < 0:
                            for r in range(LANES):
                                y = P[d, k, r]
                                G[d, k, r] = y * (q0 + q1 * left[d, r])
                                total[r] += y * (t0 + t1 * left[d, r])
                        else:
                            q0 -= share
                            for r in range(LANES):
                                y = P[d, k, r]
                                G[d, k, r] = y * (share + met[prior, r] * (q0 + q1 * left[d, r]))
                                total[r] += y * (t0 + t1 * left[d, r])
                    g = player[i + 1]
                    if prior < 0:
                        for r in range(width):
                            phi[g, b0 + r] += total[r]
                    else:
                        for r in range(width):
                            phi[g, b0 + r] += total[r] * met[prior, r]


# Reassociation and contraction let the compiler use fused multiply-adds; sums stay exact to
# rounding, because every term has the same sign within a player.
add_path_dependent = compiled(_path_dependent, fastmath={"reassoc", "contract", "nsz"})


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
    phi,
):
    """Add interventional Shapley values of trees first_tree … last_tree - 1 to phi (rows, players).

    ``table`` (columns, n + m) holds the n rows and after them the m background rows. What a
    pair (row r, background row b) gives counts Σ_c factors[r, c] · weights[b, c] times: with one
    channel, plain weights of the background rows.
    ``gain[a, b]`` = (a-1)! b! / (a+b)! and ``loss[a, b]`` = a! (b-1)! / (a+b)!
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
    if n <= FEW_ROWS:
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
        if n <= FEW_ROWS:
            count, fullest = m, D
            for b in range(m):
                found[b] = masks[d, n + b]
        else:
            count = _patterns(masks, d, n, weights, order, starts, place, found, sums)
            fullest = _bits(found[order[0]])
        if n > FEW_ROWS and most >= D and _repays(found, count, D, channels, n):
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
