"""SHAP values of any model, by asking it: shap's explainers on raw features, seeded and batched."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.explanations.model_output import ModelOutput
from hitl_audit.explanations.raw_features import Coding
from hitl_audit.explanations.shapley.attribution import Attribution, NotApplicableError
from hitl_audit.explanations.shapley.tree_ensemble import import_shap, quiet

__all__ = ["EXACT_MOST", "ask_the_model", "counted"]

FloatArray = npt.NDArray[np.float64]
T = TypeVar("T")

EXACT_MOST = 15
ROWS_PER_CALL = 50_000
KERNEL_RUNS = 2


def ask_the_model(
    kind: str,
    output: ModelOutput,
    X: pd.DataFrame,
    background: pd.DataFrame,
    *,
    random_state: int,
    n_permutations: int,
    progress: bool,
) -> Attribution:
    """shap's Exact, Permutation or Kernel explainer on raw features, asking the original model.

    The seed is set anew for every row: what a case gets does not depend on which come before it.

    Raises:
        NotApplicableError: too many features for all coalitions.
    """
    shap, p = import_shap(), X.shape[1]
    if kind == "exact" and p > EXACT_MOST:
        raise NotApplicableError(
            f"{p} features have 2^{p} coalitions; expected at most {EXACT_MOST}"
        )
    coding = Coding.of(background, X)
    behind = coding.encode(background)

    def ask(codes: FloatArray) -> FloatArray:
        parts = range(0, len(codes), ROWS_PER_CALL)
        return np.concatenate([output(coding.decode(codes[a : a + ROWS_PER_CALL])) for a in parts])

    values, errors = np.zeros((2, len(X), p))
    base = np.zeros(len(X))
    with quiet(), _numpy_seed_kept():
        explainer: _Kernel | _Masking
        if kind == "kernel":
            explainer = _Kernel(shap, ask, behind)
        else:
            explainer = _Masking(shap, kind, ask, behind, n_permutations)
        for i, row in enumerate(counted(coding.encode(X), progress, f"shap ({kind})")):
            values[i], errors[i], base[i] = explainer(row[np.newaxis], random_state)
    words = explainer.words(p)
    exact = words is None
    notes = () if words is None else (f"{words}; {_stated(errors)}",)
    return Attribution(values, base, kind, exact, notes)


class _Masking:
    """shap's Exact or Permutation explainer; errors from the spread over orders of the features."""

    def __init__(
        self, shap: Any, kind: str, ask: Any, behind: FloatArray, n_permutations: int
    ) -> None:
        masker = shap.maskers.Independent(behind, max_samples=len(behind))
        p = behind.shape[1]
        self.n_permutations = n_permutations
        self.options: dict[str, Any] = {
            "silent": True,
            "batch_size": max(1, ROWS_PER_CALL // len(behind)),
            "max_evals": 2**p if kind == "exact" else n_permutations * (2 * p + 1),
        }
        if kind == "permutation":
            self.options["error_bounds"] = True
            self.explainer = shap.explainers.Permutation(ask, masker)
        else:
            self.explainer = shap.explainers.Exact(ask, masker)

    def __call__(self, row: FloatArray, seed: int) -> tuple[FloatArray, FloatArray | float, float]:
        np.random.seed(seed)
        found = self.explainer(row, **self.options)
        spread = getattr(found, "error_std", None)
        error = 0.0 if spread is None else spread[0] / np.sqrt(2 * self.n_permutations)
        return found.values[0], error, float(np.ravel(found.base_values)[0])

    def words(self, p: int) -> str | None:
        if "error_bounds" not in self.options:
            return None
        return (
            f"estimated from {self.n_permutations} random orders of the features and their reverses"
        )


class _Kernel:
    """shap's KernelExplainer, without its selection of features; errors from repeated runs."""

    def __init__(self, shap: Any, ask: Any, behind: FloatArray) -> None:
        log = logging.getLogger("shap")
        level = log.level
        log.setLevel(logging.ERROR)  # it advises against more than 100 background rows
        try:
            self.explainer = shap.KernelExplainer(ask, behind)
        finally:
            log.setLevel(level)

    @staticmethod
    def coalitions(p: int) -> int:
        return min(2 * p + 2048, (1 << p) - 2)  # shap's own default

    def complete(self, p: int) -> bool:
        return self.coalitions(p) == (1 << p) - 2

    def __call__(self, row: FloatArray, seed: int) -> tuple[FloatArray, FloatArray, float]:
        p = row.shape[1]
        runs = []
        for run in range(1 if self.complete(p) else KERNEL_RUNS):
            np.random.seed([seed, run])
            runs.append(
                self.explainer.shap_values(
                    row, nsamples=max(self.coalitions(p), 1), l1_reg=False, silent=True
                )[0]
            )
        error = np.std(runs, axis=0, ddof=1) if len(runs) > 1 else np.zeros(p)
        return (
            np.mean(runs, axis=0),
            error / np.sqrt(len(runs)),
            float(self.explainer.expected_value),
        )

    def words(self, p: int) -> str | None:
        if self.complete(p):
            return None
        return (
            f"estimated by a weighted regression on {self.coalitions(p)} of the coalitions, "
            f"the mean of {KERNEL_RUNS} runs"
        )


def _stated(errors: FloatArray) -> str:
    typical = float(np.sqrt(np.mean(errors**2)))
    return f"Monte-Carlo standard error of a value about {typical:.2g}, at most {errors.max():.2g}"


def counted(parts: Iterable[T], progress: bool, label: str) -> Iterable[T]:
    """The same, with a progress bar if one is wanted."""
    if not progress:
        return parts
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    bar: Iterable[T] = tqdm(parts, desc=label)
    return bar


@contextmanager
def _numpy_seed_kept() -> Iterator[None]:
    """shap draws from NumPy's global state; the caller's is put back."""
    state = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(state)
