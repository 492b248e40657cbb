"""Compiled inner loop of path-dependent Shapley values: quadrature along each path.

Rows are the lanes of every inner loop: a tree is walked once for a block of rows,
holding per depth what each row has met on the way. Nothing here holds the GIL.
"""

from __future__ import annotations

import numpy as np

from hitl_audit.explanations.shapley.compilation import compiled
from hitl_audit.explanations.shapley.tree_kernels import goes_left

__all__ = ["add_path_dependent"]

LANES = 128


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
                            left[d, r] = 1.0 if goes_left(nodes, i, table[column, b0 + r]) else 0.0
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
