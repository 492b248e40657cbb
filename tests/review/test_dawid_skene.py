"""The model of Dawid and Skene: their own data, direct maximisation, and plain EM."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from hitl_audit.errors import InputError
from hitl_audit.review.dawid_skene import DawidSkene, fit_dawid_skene

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# Dawid and Skene (1979), table 1: 45 patients seen by five anaesthetists, the
# first of them three times; the columns are 1, 1, 1, 2, 3, 4, 5. Transcriptions
# differ in patient 7, whom the first saw as 1, 2, 2 (here) or 1, 1, 2.
ANAESTHETISTS = np.array(
    [
        [int(digit) - 1 for digit in row]
        for row in [
            "1111111",
            "3334334",
            "1122122",
            "2223121",
            "2223222",
            "2223322",
            "1222111",
            "3333433",
            "2222223",
            "2322223",
            "4444444",
            "2223343",
            "1111111",
            "2223212",
            "1211111",
            "1112111",
            "1111111",
            "1111111",
            "2222221",
            "2221322",
            "2222222",
            "2222221",
            "2223222",
            "2212222",
            "1111111",
            "1111111",
            "2322222",
            "1111111",
            "1111111",
            "1121121",
            "1111111",
            "3333233",
            "1111111",
            "2222222",
            "2223232",
            "4334343",
            "2212232",
            "2323233",
            "3333432",
            "1111111",
            "1111111",
            "1212111",
            "2322222",
            "1211111",
            "2222222",
        ]
    ]
)
ANAESTHETIST_OF_COLUMN = np.array([0, 0, 0, 1, 2, 3, 4])


def published(**options: Any) -> DawidSkene:
    """By maximum likelihood, as in the paper."""
    options = {"smoothing": 0.0, "starts": 1} | options
    return fit_dawid_skene(ANAESTHETISTS, 4, raters=ANAESTHETIST_OF_COLUMN, **options)


def test_the_anaesthetists() -> None:
    fit = published()
    assert fit.prevalence.round(2).tolist() == [0.40, 0.42, 0.11, 0.07]
    assert fit.converged
    other = ANAESTHETISTS.copy()
    other[6, 1] = 0
    again = fit_dawid_skene(other, 4, raters=ANAESTHETIST_OF_COLUMN, smoothing=0.0, starts=1)
    assert again.prevalence.round(2).tolist() == [0.40, 0.42, 0.11, 0.07]
    # Two patients on whom all seven answers are the same.
    assert fit.posterior[0].round(2).tolist() == [1, 0, 0, 0]
    assert fit.posterior[10].round(2).tolist() == [0, 0, 0, 1]
    assert fit.confusion.sum(axis=2) == pytest.approx(1)


def test_the_anaesthetists_by_plain_em() -> None:
    """The equations (2.3) to (2.5) of the paper, without logarithms."""
    given = np.zeros((45, 5, 4))
    for column, rater in zip(ANAESTHETISTS.T, ANAESTHETIST_OF_COLUMN, strict=True):
        given[np.arange(45), rater, column] += 1
    posterior = given.sum(axis=1) / 7
    for _ in range(200):
        p = posterior.mean(axis=0)
        pi = np.einsum("ik,ijl->jkl", posterior, given)
        pi /= pi.sum(axis=2, keepdims=True)
        likelihood = p * np.prod(pi[None] ** given[:, :, None, :], axis=(1, 3))
        posterior = likelihood / likelihood.sum(axis=1, keepdims=True)
    fit = published(tolerance=1e-13)
    assert fit.log_likelihood == pytest.approx(float(np.log(likelihood.sum(axis=1)).sum()))
    assert fit.prevalence == pytest.approx(p, abs=1e-6)
    assert fit.confusion == pytest.approx(pi, abs=1e-5)
    assert fit.posterior == pytest.approx(posterior, abs=1e-5)


def test_the_published_answer_is_not_the_only_maximum() -> None:
    """Other starts find a likelier one, which the paper's start does not reach."""
    first, many = published(), published(starts=30)
    assert first.log_likelihood == pytest.approx(-192.891, abs=0.001)
    assert many.log_likelihood == pytest.approx(-191.569, abs=0.001)
    assert many.prevalence.round(2).tolist() == [0.40, 0.45, 0.09, 0.07]
    assert 1 <= many.agreeing < 30
    # Smoothing leaves one maximum.
    smooth = published(starts=30, smoothing=4.0)
    assert smooth.agreeing == 30


def simulated(
    seed: int, n: int = 400, accuracies: tuple[float, ...] = (0.9, 0.8, 0.7, 0.6), q: int = 3
) -> tuple[IntArray, IntArray]:
    rng = np.random.default_rng(seed)
    truth = rng.choice(q, n, p=np.arange(q, 0, -1) / sum(range(q + 1)))
    right = rng.random((n, len(accuracies))) < accuracies
    wrong = (truth[:, None] + rng.integers(1, q, right.shape)) % q
    codes = np.where(right, truth[:, None], wrong)
    codes[rng.random(codes.shape) < 0.2] = -1
    return codes, truth


def test_the_truth_behind_simulated_answers_is_found() -> None:
    codes, truth = simulated(0, n=3000)
    fit = fit_dawid_skene(codes, 3)
    assert fit.prevalence == pytest.approx([3 / 6, 2 / 6, 1 / 6], abs=0.03)
    for confusion, accuracy in zip(fit.confusion, (0.9, 0.8, 0.7, 0.6), strict=True):
        assert np.diag(confusion) == pytest.approx(accuracy, abs=0.06)
    sure = fit.posterior.max(axis=1)
    right = fit.posterior.argmax(axis=1) == truth
    assert right.mean() == pytest.approx(sure.mean(), abs=0.02)  # as sure as it is right


def log_likelihood(codes: IntArray, p: FloatArray, pi: FloatArray) -> float:
    total = 0.0
    for row in codes:
        joint = p.copy()
        for j, answer in enumerate(row):
            if answer >= 0:
                joint *= pi[j, :, answer]
        total += np.log(joint.sum())
    return float(total)


def test_no_direct_search_finds_anything_likelier() -> None:
    codes, _ = simulated(2, n=60, accuracies=(0.9, 0.8, 0.75), q=2)
    fit = fit_dawid_skene(codes, 2, smoothing=0.0, tolerance=1e-13)
    assert log_likelihood(codes, fit.prevalence, fit.confusion) == pytest.approx(fit.log_likelihood)

    def cost(x: FloatArray) -> float:
        share = 1 / (1 + np.exp(-x))
        pi = np.stack([1 - share[1:].reshape(3, 2), share[1:].reshape(3, 2)], axis=2)
        return -log_likelihood(codes, np.array([1 - share[0], share[0]]), pi)

    start = np.log(
        np.clip(np.r_[fit.prevalence[1], fit.confusion[:, :, 1].ravel()], 1e-4, 1 - 1e-4)
    )
    logits = start - np.log1p(-np.exp(start))
    rng = np.random.default_rng(0)
    for beginning in (logits, *rng.normal(0, 1.5, (3, 7))):
        best = minimize(cost, beginning, method="L-BFGS-B")
        assert -best.fun <= fit.log_likelihood + 1e-6


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(2, 4),
    st.sampled_from([0.0, 0.1, 4.0]),
    st.integers(3, 40),
)
def test_every_step_climbs(seed: int, q: int, smoothing: float, n: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(-1, q, (n, 4))
    codes[0, 0] = 0
    fit = fit_dawid_skene(codes, q, smoothing=smoothing, starts=2, random_state=seed)
    assert (np.diff(fit.trace) >= -1e-9).all()
    assert fit.prevalence.sum() == pytest.approx(1)
    assert fit.posterior.sum(axis=1) == pytest.approx(1)
    assert np.isfinite(fit.posterior).all()
    assert fit.iterations == len(fit.trace)


def test_names_of_categories_do_not_matter() -> None:
    codes, _ = simulated(4)
    fit = fit_dawid_skene(codes, 3)
    for order in itertools.permutations(range(3)):
        renamed = np.where(codes < 0, -1, np.array(order)[codes])
        other = fit_dawid_skene(renamed, 3)
        assert other.prevalence[list(order)] == pytest.approx(fit.prevalence, abs=1e-4)
        assert other.posterior[:, list(order)] == pytest.approx(fit.posterior, abs=1e-3)


def test_a_rater_in_two_columns_is_one_rater() -> None:
    codes, _ = simulated(5)
    early, late = codes.copy(), np.full((400, 1), -1)
    late[:200, 0], early[:200, 1] = codes[:200, 1], -1
    parted = fit_dawid_skene(np.hstack([early, late]), 3, raters=np.array([0, 1, 2, 3, 1]))
    whole = fit_dawid_skene(codes, 3)
    assert parted.log_likelihood == pytest.approx(whole.log_likelihood, abs=1e-3)
    assert parted.confusion == pytest.approx(whole.confusion, abs=1e-3)


def test_a_unit_without_ratings_has_the_prevalence() -> None:
    codes, _ = simulated(6)
    codes[0] = -1
    fit = fit_dawid_skene(codes, 3)
    assert fit.posterior[0] == pytest.approx(fit.prevalence, abs=1e-5)


def test_it_says_that_it_did_not_converge() -> None:
    codes, _ = simulated(7)
    fit = fit_dawid_skene(codes, 3, max_iterations=2)
    assert not fit.converged
    assert fit.iterations == 2


def test_the_same_seed_gives_the_same_fit() -> None:
    one, two = (published(starts=5, random_state=3) for _ in "ab")
    assert one.trace == two.trace
    assert (one.posterior == two.posterior).all()


BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no ratings": ([[-1, -1]], {}, "no ratings"),
    "a code too high": ([[0, 2]], {}, "codes from 0 to 2"),
    "a code too low": ([[0, -2]], {}, "codes from -2 to 0"),
    "smoothing": ([[0, 1]], {"smoothing": -1.0}, "smoothing is -1.0"),
    "starts": ([[0, 1]], {"starts": 0}, "starts is 0"),
    "iterations": ([[0, 1]], {"max_iterations": 0}, "max_iterations is 0"),
    "tolerance": ([[0, 1]], {"tolerance": 0.0}, "tolerance is 0.0"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case: str) -> None:
    codes, options, message = BAD[case]
    with pytest.raises(InputError, match=message):
        fit_dawid_skene(np.array(codes), 2, **options)
