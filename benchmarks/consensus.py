"""Agreement and consensus: beside crowd-kit, and how well intervals and smoothing do.

    python benchmarks/consensus.py [--repetitions 200]

The comparison needs crowd-kit, which is not a dependency (it asks for
transformers; ``pip install --no-deps crowd-kit`` with numpy, pandas,
scikit-learn, attrs, tqdm and nltk is enough). Without it that part is left out,
and says so. Times are CPU seconds, the median of interleaved repetitions.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.review.agreement import agreement
from hitl_audit.review.consensus import consensus
from hitl_audit.review.dawid_skene import SMOOTHING, fit_dawid_skene

Codes = npt.NDArray[np.int64]


def crowd(
    rng: np.random.Generator,
    n: int,
    accuracies: npt.NDArray[Any],
    prevalence: list[float],
    *,
    missing: float = 0.0,
) -> tuple[Codes, Codes]:
    """Answers of raters who are right with a probability and else guess, and the truth."""
    q = len(prevalence)
    truth = rng.choice(q, n, p=prevalence)
    size = (n, len(accuracies))
    codes = np.where(rng.random(size) < accuracies, truth[:, None], rng.integers(0, q, size))
    codes[rng.random(size) < missing] = -1
    return codes, truth


def seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def beside_crowd_kit() -> None:
    print("Dawid-Skene beside crowd-kit: one start from vote shares, no smoothing, to the end")
    try:
        from crowdkit.aggregation import DawidSkene
    except ImportError as error:
        print(f"  left out: {error}")
        return
    rng = np.random.default_rng(1)
    for n, r, prevalence in (
        (100, 5, [0.7, 0.3]),
        (1000, 8, [0.4, 0.3, 0.2, 0.1]),
        (10_000, 8, [0.4, 0.3, 0.2, 0.1]),
    ):
        codes, _ = crowd(rng, n, rng.uniform(0.6, 0.95, r), prevalence, missing=0.3)
        codes = codes[(codes >= 0).any(axis=1)]
        task, worker = np.nonzero(codes >= 0)
        answers = pd.DataFrame({"task": task, "worker": worker, "label": codes[task, worker]})
        q = len(prevalence)

        # Its criterion is clipped and may fall, and then it stops too early: it is
        # told never to stop, and to do as many iterations as ours.
        steps = fit_dawid_skene(codes, q, smoothing=0, starts=1, tolerance=1e-13).iterations

        def theirs(answers: pd.DataFrame = answers, steps: int = steps) -> Any:
            return DawidSkene(n_iter=steps, tol=-1.0).fit(answers)

        def ours(codes: Codes = codes, q: int = q) -> Any:
            return fit_dawid_skene(codes, q, smoothing=0, starts=1, tolerance=1e-13)

        a, b = theirs(), ours()
        errors = np.array(
            [
                [[a.errors_[true].get((j, given), 0.0) for given in range(q)] for true in range(q)]
                for j in range(r)
            ]
        )
        differences = (
            np.abs(a.priors_.reindex(range(q)).to_numpy() - b.prevalence).max(),
            np.abs(errors - b.confusion).max(),
            np.abs(a.probas_.sort_index()[list(range(q))].to_numpy() - b.posterior).max(),
        )
        rounds = 5 if n < 10_000 else 3
        times = [(seconds(theirs), seconds(ours)) for _ in range(rounds)]
        slow, fast = (statistics.median(side) for side in zip(*times, strict=True))
        print(
            f"  {n:>6} units × {r} raters, {q} categories: largest difference in prevalence "
            f"{differences[0]:.1e}, confusion {differences[1]:.1e}, posterior "
            f"{differences[2]:.1e}; {steps} iterations: "
            f"{slow:.2f} s, ours {fast:.3f} s ({slow / fast:.0f} times)"
        )


def speed() -> None:
    print("10,000 units × 8 raters, 20% missing: CPU seconds, median of 3")
    rng = np.random.default_rng(0)
    for q in (2, 5, 100):
        prevalence = [1 / q] * q
        codes, _ = crowd(rng, 10_000, np.full(8, 0.8), prevalence, missing=0.2)
        frame = pd.DataFrame(codes.astype(float)).mask(codes < 0)
        parts = [
            ("agreement nominal", lambda f=frame: agreement(f)),
            ("agreement ordinal", lambda f=frame: agreement(f, level="ordinal")),
            ("majority", lambda f=frame: consensus(f)),
        ]
        if q < 100:
            parts.append(("Dawid-Skene", lambda f=frame: consensus(f, method="dawid_skene")))
        times = {name: statistics.median(seconds(work) for _ in range(3)) for name, work in parts}
        print(f"  {q:>3} categories: " + ", ".join(f"{n} {t:.2f}" for n, t in times.items()))


def coverage(repetitions: int) -> None:
    print(f"How often 95% intervals hold the value of a large table ({repetitions} tables each)")
    names = ["raw agreement", "Krippendorff's alpha", "Conger's kappa", "Gwet's AC1"]
    for prevalence in ([0.5, 0.5], [0.9, 0.1], [0.97, 0.03]):
        for accuracy in (0.7, 0.95):
            rng = np.random.default_rng(3)
            large, _ = crowd(rng, 200_000, np.full(3, accuracy), prevalence)
            wanted = agreement(pd.DataFrame(large))
            for n in (20, 50, 200):
                held = dict.fromkeys(names, 0)
                defined = dict.fromkeys(names, 0)
                for _ in range(repetitions):
                    codes, _ = crowd(rng, n, np.full(3, accuracy), prevalence, missing=0.15)
                    found = agreement(pd.DataFrame(codes.astype(float)).mask(codes < 0))
                    for name in names:
                        one, truth = found.coefficient(name), wanted.coefficient(name).value
                        if one.low is not None and one.high is not None:
                            defined[name] += 1
                            held[name] += one.low <= truth <= one.high  # type: ignore[operator]
                shares = ", ".join(
                    f"{name} {held[name] / defined[name]:.0%}"
                    + (f" (of {defined[name]})" if defined[name] < repetitions else "")
                    if defined[name]
                    else f"{name} – (never estimated)"
                    for name in names
                )
                print(
                    f"  prevalence {prevalence[1]}, raters {accuracy:.0%} sure, {n} units: {shares}"
                )


def smoothing(repetitions: int) -> None:
    amounts = (0.0, 0.5, 2.0, SMOOTHING, 8.0)
    print(
        "Dawid-Skene of 3 raters: share of right labels / mean −log posterior of the truth "
        f"({repetitions} tables each); plurality first"
    )
    for prevalence in ([0.5, 0.5], [0.9, 0.1], [0.4, 0.3, 0.2, 0.07, 0.03]):
        for n in (20, 60, 200):
            rng = np.random.default_rng(n)
            right = dict.fromkeys(amounts, 0.0)
            cost = dict.fromkeys(amounts, 0.0)
            votes = 0.0
            for _ in range(repetitions):
                codes, truth = crowd(rng, n, rng.uniform(0.6, 0.95, 3), prevalence)
                counts = (codes[:, :, None] == np.arange(len(prevalence))).sum(axis=1)
                noisy = counts + rng.random(counts.shape) / 2  # ties at random
                votes += float((noisy.argmax(axis=1) == truth).mean())
                for s in amounts:
                    fit = fit_dawid_skene(codes, len(prevalence), smoothing=s, starts=3)
                    right[s] += float((fit.posterior.argmax(axis=1) == truth).mean())
                    chance = np.maximum(fit.posterior[np.arange(n), truth], 1e-6)
                    cost[s] -= float(np.log(chance).mean())
            line = ", ".join(
                f"s={s:g} {right[s] / repetitions:.1%}/{cost[s] / repetitions:.2f}" for s in amounts
            )
            print(
                f"  {len(prevalence)} categories (rarest {min(prevalence)}), {n} units, 3 raters:"
            )
            print(f"    votes {votes / repetitions:.1%}, {line}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=200)
    repetitions = parser.parse_args().repetitions
    beside_crowd_kit()
    speed()
    coverage(repetitions)
    smoothing(max(1, repetitions // 5))


if __name__ == "__main__":
    main()
