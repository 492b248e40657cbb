"""Exact Shapley values of tree ensembles, on the trees' own scale, for single or joined columns."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import ExplanationError
from hitl_audit.explanations.shapley.quadrature import gauss_legendre
from hitl_audit.explanations.shapley.tree_ensemble import TreeEnsemble

__all__ = [
    "coalition_weights",
    "compiling",
    "interventional",
    "logistic_slope",
    "path_dependent",
    "rescaled_to_probability",
    "skeleton",
    "weighted_interventional",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer[Any]]

ROWS = 2048  # a slab of rows and what is added up for it stay in the processor's cache
MOST_PLAYERS = 64  # on one path: a pattern is held in 64 bits
SLOPE_TOLERANCE = 1e-12
CHUNKS = 4  # trees are added up in so many parts, whatever the number of threads


@contextmanager
def compiling(progress: bool) -> Iterator[None]:
    """Say, with ``progress``, that the kernels are being compiled if this is their first use."""
    if not progress or "hitl_audit.explanations.shapley.tree_kernels" in sys.modules:
        yield
        return
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    with tqdm(total=1, desc="shap: loading tree kernels (first use compiles them)") as bar:
        yield
        bar.update()


def path_dependent(
    ensemble: TreeEnsemble,
    rows: npt.ArrayLike,
    *,
    players: IntArray,
    output: int = 0,
    threads: int = 1,
) -> FloatArray:
    """Path-dependent SHAP values of one output, (rows, players).

    The game: a coalition's worth is the mean of the leaves, where a known
    player's conditions decide and each condition of an unknown one passes on
    the training rows' shares, multiplied along the path (Lundberg et al. 2020, doi
    10.1038/s42256-019-0138-9, Algorithm 1). ``players[j]`` is the player of column
    j. Columns with one player (the one-hot columns of a raw feature) become
    known together; their shares are multiplied as those of one column are.
    Values and base (:meth:`TreeEnsemble.expected`) sum to the prediction.

    The same numbers for any number of threads, bit for bit.
    """
    from hitl_audit.explanations.shapley import path_kernel, tree_kernels

    group = np.asarray(players, dtype=np.int32)
    n_players = int(group.max()) + 1
    table = ensemble.rounded(rows)
    nodes = ensemble.nodes
    player, before, _, slots, z, z_before = tree_kernels.paths(nodes, group)
    points = (np.maximum.reduceat(slots, nodes.first[:-1]) + 1) // 2
    gauss = gauss_legendre(int(points.max()))
    values = np.ascontiguousarray(ensemble.values[:, output])

    def part(start: int, stop: int, slab: slice) -> FloatArray:
        phi = np.zeros((n_players, slab.stop - slab.start))
        here = np.ascontiguousarray(table[:, slab])
        path_kernel.add_path_dependent(
            nodes, values, player, before, z, z_before, gauss, points, start, stop, here, phi
        )
        return phi.T

    return _in_parts(part, ensemble, table.shape[1], n_players, threads)


def interventional(
    ensemble: TreeEnsemble,
    rows: npt.ArrayLike,
    background: npt.ArrayLike,
    *,
    players: IntArray,
    output: int = 0,
    threads: int = 1,
) -> FloatArray:
    """Interventional SHAP values of one output against background rows, (rows, players).

    The game: a coalition's worth is the mean prediction with its players' columns from the row
    and all others from each background row in turn. ``players[j]`` is the player of
    column j, so that columns of one raw feature are exchanged together.
    Values and the mean prediction over the background sum to the prediction.

    What a leaf gives depends only on which of its path's players the row and the
    background row satisfy. Background rows are counted by that pattern, so that the time
    per row hardly grows with their number. The same numbers for any number of threads.

    Raises:
        ExplanationError: a path tests more than 64 players.
    """
    table, behind = ensemble.rounded(rows), ensemble.rounded(background)
    m = behind.shape[1]
    return weighted_interventional(
        ensemble,
        table,
        behind,
        np.ones((table.shape[1], 1)),
        np.full((m, 1), 1.0 / m),
        players=players,
        output=output,
        threads=threads,
    )


def rescaled_to_probability(
    ensemble: TreeEnsemble,
    rows: npt.ArrayLike,
    background: npt.ArrayLike,
    *,
    players: IntArray,
    output: int = 0,
    threads: int = 1,
) -> FloatArray:
    """Interventional values on the log-odds, carried to the probability, (rows, players).

    shap's convention: for each background row b the values φ(x, b) are multiplied by the
    slope ρ(x, b) = (p(x) - p(b)) / (f(x) - f(b)) of the logistic function p between the two
    log-odds f, so that they sum to p(x) - p(b); where f(x) = f(b), ρ is the
    limit p(1 - p) (shap takes 1 there). They are not the Shapley values of p.

    ρ is a smooth function of two numbers, so ρ(x, b) = Σ_c ρ(x, b_c) · C[c, b] over few
    background rows b_c, to rounding: as many weighted counts replace the one of
    :func:`interventional`. The sum is compared with ρ for all pairs, and where it misses
    by more than 1e-12, every background row gets its own channel.
    """
    table, behind = ensemble.rounded(rows), ensemble.rounded(background)
    f_rows = ensemble.predict(rows)[:, output]
    f_behind = ensemble.predict(background)[:, output]
    chosen, weights = skeleton(f_behind)
    factors = logistic_slope(f_rows[:, np.newaxis], f_behind[chosen])
    missed = max(
        float(np.abs(factors[a : a + ROWS] @ weights - slopes).max())
        for a in range(0, len(f_rows), ROWS)
        for slopes in [logistic_slope(f_rows[a : a + ROWS, np.newaxis], f_behind)]
    )
    if missed > SLOPE_TOLERANCE:
        factors = logistic_slope(f_rows[:, np.newaxis], f_behind)
        weights = np.eye(len(f_behind))
    return weighted_interventional(
        ensemble,
        table,
        behind,
        np.ascontiguousarray(factors),
        np.ascontiguousarray(weights.T / len(f_behind)),
        players=players,
        output=output,
        threads=threads,
    )


def logistic_slope(f: FloatArray, g: FloatArray) -> FloatArray:
    """(p(f) - p(g)) / (f - g) for the logistic function p, without cancellation."""
    # sinh(h)/h / (4 cosh(f/2) cosh(g/2)) with h = (f - g)/2, in logarithms against overflow
    size = np.abs(f - g) / 2
    some = np.maximum(size, 1e-4)
    log_sinhc = np.where(size < 1e-4, size**2 / 6, some + np.log(-np.expm1(-2 * some) / (2 * some)))
    return np.asarray(np.exp(log_sinhc - _log_cosh(f / 2) - _log_cosh(g / 2)) / 4)


def _log_cosh(x: FloatArray) -> FloatArray:
    size = np.abs(x)
    return np.asarray(size + np.log1p(np.exp(-2 * size)) - np.log(2))


def skeleton(f: FloatArray) -> tuple[IntArray, FloatArray]:
    """A few background rows whose slopes span those of all: their places, and C (few, m).

    ρ(f, f_b) is about Σ_c ρ(f, f_c) · C[c, b], see :func:`rescaled_to_probability`.
    """
    from scipy.linalg import qr, solve_triangular

    values, inverse = np.unique(f, return_inverse=True)
    far = np.sinh(np.linspace(-7, 7, 1001))  # ±548, densest around 0
    grid = np.concatenate([far, np.linspace(values[0] - 3, values[-1] + 3, 200)])
    _, upper, pivots = qr(
        logistic_slope(grid[:, np.newaxis], values), mode="economic", pivoting=True
    )
    size = np.abs(np.diagonal(upper))
    rank = int((size > 1e-14 * size[0]).sum())
    coefficients = np.empty((rank, len(values)))
    coefficients[:, pivots[:rank]] = np.eye(rank)
    coefficients[:, pivots[rank:]] = solve_triangular(upper[:rank, :rank], upper[:rank, rank:])
    places = np.array([int(np.flatnonzero(inverse == k)[0]) for k in pivots[:rank]], dtype=np.intp)
    return places, coefficients[:, inverse]


def weighted_interventional(
    ensemble: TreeEnsemble,
    table: FloatArray,
    behind: FloatArray,
    factors: FloatArray,
    weights: FloatArray,
    *,
    players: IntArray,
    output: int,
    threads: int,
    as_many: int | None = None,
) -> FloatArray:
    """Interventional values where each pair of a row and a background row has its weight.

    ``table`` (columns, rows) and ``behind`` (columns, m) are rounded as the model compares;
    the weight of a pair is Σ_c factors[row, c] · weights[b, c]. ``as_many``: a number of
    rows; with the same one the bits of a row's values do not depend on its company.
    """
    from hitl_audit.explanations.shapley import background_kernel, tree_kernels

    group = np.asarray(players, dtype=np.int32)
    n_players = int(group.max()) + 1
    player, before, slot, slots, _, _ = tree_kernels.paths(ensemble.nodes, group)
    most = int(slots.max())
    if most > MOST_PLAYERS:
        raise ExplanationError(f"a path tests {most} raw features; expected at most {MOST_PLAYERS}")
    gain, loss = coalition_weights(most)
    values = np.ascontiguousarray(ensemble.values[:, output])

    def part(start: int, stop: int, slab: slice) -> FloatArray:
        phi = np.zeros((slab.stop - slab.start, n_players))
        background_kernel.add_interventional(
            ensemble.nodes,
            values,
            player,
            before,
            slot,
            slots,
            gain,
            loss,
            start,
            stop,
            np.hstack([table[:, slab], behind]),
            factors[slab],
            weights,
            slab.stop - slab.start if as_many is None else as_many,
            phi,
        )
        return phi

    return _in_parts(part, ensemble, table.shape[1], n_players, threads)


def coalition_weights(most: int) -> tuple[FloatArray, FloatArray]:
    """(a-1)! b! / (a+b)! and a! (b-1)! / (a+b)!, for a, b = 0 … most."""
    gain, loss = np.zeros((2, most + 1, most + 1))
    for a in range(most + 1):
        for b in range(most + 1):
            if a:
                gain[a, b] = 1 / (a * math.comb(a + b, a))
            if b:
                loss[a, b] = 1 / (b * math.comb(a + b, a))
    return gain, loss


def _in_parts(
    part: Callable[[int, int, slice], FloatArray],
    ensemble: TreeEnsemble,
    n: int,
    n_players: int,
    threads: int,
) -> FloatArray:
    """Add up ``part`` over chunks of trees for each slab of rows, in a fixed order."""
    edges = _chunks(ensemble)
    jobs = [
        (a, b, slice(s, min(n, s + ROWS)))
        for s in range(0, n, ROWS)
        for a, b in itertools.pairwise(edges)
    ]
    phi = np.zeros((n, n_players))

    def collect(results: Iterator[FloatArray]) -> None:
        for (_, _, slab), found in zip(jobs, results, strict=True):
            phi[slab] += found

    if threads == 1:
        collect(part(*job) for job in jobs)
    else:
        with ThreadPoolExecutor(threads) as pool:
            collect(pool.map(lambda job: part(*job), jobs))
    return phi


def _chunks(ensemble: TreeEnsemble) -> list[int]:
    """Borders of chunks of trees with about equally many nodes."""
    first = ensemble.nodes.first
    wanted = np.linspace(0, first[-1], CHUNKS + 1)
    edges = sorted({int(e) for e in np.searchsorted(first, wanted)})
    return edges if len(edges) > 1 else [0, ensemble.n_trees]
