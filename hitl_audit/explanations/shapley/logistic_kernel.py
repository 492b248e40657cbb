"""Compiled inner loop for the Shapley values of a logistic function of a sum."""

from __future__ import annotations

import numpy as np

from hitl_audit.explanations.shapley.compilation import compiled

__all__ = ["add_logistic"]


def _add_logistic(  # type: ignore[no-untyped-def]
    terms, behind, cosines, sines, intercept, omega, height, gauss, phi
):
    """Add to phi (rows, k) the Shapley values of Σ_f height_f sin(omega_f (intercept + Σ terms)).

    Each sine is the imaginary part of a product of one factor per player, e^{iωa} from
    the row or e^{iωc} from the background row. A product's Shapley value is
        (u_j - v_j) ∫₀¹ ∏_{i≠j} (t u_i + (1-t) v_i) dt,
    a polynomial of degree k - 1 in t, which ⌈k/2⌉ Gauss-Legendre nodes (``gauss``) integrate
    exactly. Players whose two terms are equal get nothing and are one constant factor.
    ``cosines`` and ``sines`` are those of ω·c, (background rows, k, F).
    """
    n, k = terms.shape
    m, F = len(behind), len(omega)
    rowr, rowi = np.empty((2, k, F))
    ur, ui, vr, vi = np.empty((4, k, F))
    restr, resti = np.empty((2, F))
    pr, pi = np.empty((2, k + 1, F))
    sr, si = np.empty((2, F))
    who = np.empty(k, np.int64)
    for r in range(n):
        for j in range(k):
            for f in range(F):
                rowr[j, f] = np.cos(omega[f] * terms[r, j])
                rowi[j, f] = np.sin(omega[f] * terms[r, j])
        for b in range(m):
            count, rest = 0, intercept
            for j in range(k):
                if terms[r, j] == behind[b, j]:
                    rest += terms[r, j]
                else:
                    who[count] = j
                    count += 1
            if count == 0:
                continue
            for f in range(F):
                restr[f], resti[f] = np.cos(omega[f] * rest), np.sin(omega[f] * rest)
            for p in range(count):
                j = who[p]
                for f in range(F):
                    ur[p, f], ui[p, f] = rowr[j, f], rowi[j, f]
                    vr[p, f], vi[p, f] = cosines[b, j, f], sines[b, j, f]
            Q = (count + 1) // 2
            for q in range(Q):
                t, w = gauss[Q, 0, q], gauss[Q, 1, q]
                for f in range(F):
                    pr[0, f], pi[0, f] = restr[f], resti[f]
                    sr[f], si[f] = w * height[f], 0.0
                for p in range(count):
                    for f in range(F):
                        zr = vr[p, f] + t * (ur[p, f] - vr[p, f])
                        zi = vi[p, f] + t * (ui[p, f] - vi[p, f])
                        pr[p + 1, f] = pr[p, f] * zr - pi[p, f] * zi
                        pi[p + 1, f] = pr[p, f] * zi + pi[p, f] * zr
                for p in range(count - 1, -1, -1):
                    total = 0.0
                    for f in range(F):
                        dr, di = ur[p, f] - vr[p, f], ui[p, f] - vi[p, f]
                        er = pr[p, f] * sr[f] - pi[p, f] * si[f]
                        ei = pr[p, f] * si[f] + pi[p, f] * sr[f]
                        total += er * di + ei * dr
                        zr, zi = vr[p, f] + t * dr, vi[p, f] + t * di
                        sr[f], si[f] = sr[f] * zr - si[f] * zi, sr[f] * zi + si[f] * zr
                    phi[r, who[p]] += total


# The sums over waves may be taken in any order.
add_logistic = compiled(_add_logistic, fastmath={"reassoc", "contract", "nsz"})
