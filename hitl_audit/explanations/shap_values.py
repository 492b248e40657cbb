"""SHAP values of raw features, each path checked against the original model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import ExplanationError
from hitl_audit.explanations.encoding import Encoding, read_encoding
from hitl_audit.explanations.model_output import ModelOutput
from hitl_audit.explanations.raw_features import Coding

__all__ = ["TOLERANCE", "Algorithm", "Attribution", "import_shap", "shap_values"]

FloatArray = npt.NDArray[np.float64]
Algorithm = Literal[
    "auto", "tree-interventional", "tree-path-dependent", "linear", "permutation", "exact"
]

TOLERANCE = 1e-6
EXACT_AUTO = 8  # 2**8 coalitions cost about as much as the ten permutations of 8 features
EXACT_MOST = 15
RESCALED = (
    "the trees' values on the log-odds, carried to the probability per background row by the "
    "rescaling of shap's TreeExplainer: they sum to the prediction exactly, but are not the "
    "Shapley values of the probability itself"
)


@dataclass(frozen=True, eq=False)
class Attribution:
    """Attributions (n, p), base values (n,), and how they were found."""

    values: FloatArray
    base: FloatArray
    algorithm: str
    exact: bool
    notes: tuple[str, ...]


class _NotApplicableError(Exception):
    """This path does not exist for this model; the message says why."""


def import_shap() -> ModuleType:
    """Import shap, whose start-up uses a part of matplotlib that is about to go."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=PendingDeprecationWarning, module="shap")
        import shap

    module: ModuleType = shap
    return module


def shap_values(
    model: Any,
    X: pd.DataFrame,
    *,
    output: ModelOutput,
    background: pd.DataFrame,
    algorithm: Algorithm = "auto",
    random_state: int = 0,
    n_permutations: int = 10,
    progress: bool = False,
) -> tuple[Attribution, FloatArray]:
    """Attributions of the rows of X, and the original model's predictions of them.

    Every path's base + Σφ is compared with the original model's output, and
    (interventional paths) the base with the mean output over the background,
    both to 1e-6. ``"auto"`` tries the paths in order of speed and takes the
    first that passes.

    Raises:
        ExplanationError: no path passed, or the one asked for did not.
    """
    predictions, mean_output = output(X), float(output(background).mean())
    notes: list[str] = []
    encoding: Encoding | None = None
    try:
        encoding = read_encoding(model, pd.concat([background, X]), as_array=output.as_array)
    except ExplanationError as error:
        notes.append(f"computed on the raw features by asking the model, because {error}")
    paths = _paths(
        output,
        X,
        background,
        encoding,
        random_state=random_state,
        n_permutations=n_permutations,
        progress=progress,
    )
    if algorithm == "auto":
        agnostic = "exact" if X.shape[1] <= EXACT_AUTO else "permutation"
        order = ["linear", "tree-interventional", agnostic]
    else:
        order = [algorithm]
    for name in order:
        try:
            found = paths[name]()
        except _NotApplicableError as error:
            if algorithm != "auto":
                raise ExplanationError(f'algorithm "{name}" cannot be used: {error}') from error
            continue
        wrong = _disagreement(found, predictions, None if "path" in name else mean_output)
        if wrong is None:
            joined = Attribution(
                found.values, found.base, found.algorithm, found.exact, (*notes, *found.notes)
            )
            return joined, predictions
        notes.append(f'"{name}" was refused: {wrong}')
    raise ExplanationError("no explanation agrees with the model: " + "; ".join(notes))


def _disagreement(
    found: Attribution, predictions: FloatArray, mean_output: float | None
) -> str | None:
    if not np.isfinite(found.values).all():
        return "some of its values are not finite"
    residual = float(np.abs(predictions - found.base - found.values.sum(axis=1)).max())
    if residual > TOLERANCE:
        return (
            f"its values miss the model's own output by up to {residual:.2g} "
            f"(accepted: {TOLERANCE:g})"
        )
    if mean_output is not None:
        off = float(np.abs(found.base - mean_output).max())
        if off > TOLERANCE:
            return f"its base misses the mean output over the background by {off:.2g}"
    return None


def _paths(
    output: ModelOutput,
    X: pd.DataFrame,
    background: pd.DataFrame,
    encoding: Encoding | None,
    *,
    random_state: int,
    n_permutations: int,
    progress: bool,
) -> dict[str, Callable[[], Attribution]]:
    def agnostic(kind: str) -> Attribution:
        return _agnostic(
            kind,
            output,
            X,
            background,
            random_state=random_state,
            n_permutations=n_permutations,
            progress=progress,
        )

    return {
        "linear": lambda: _linear(output, X, background, _known(encoding)),
        "tree-interventional": lambda: _trees(output, X, background, _known(encoding)),
        "tree-path-dependent": lambda: _trees(output, X, None, _known(encoding)),
        "exact": lambda: agnostic("exact"),
        "permutation": lambda: agnostic("permutation"),
    }


def _known(encoding: Encoding | None) -> Encoding:
    if encoding is None:
        raise _NotApplicableError("the model's columns cannot be traced back to raw features")
    return encoding


def _linear(
    output: ModelOutput, X: pd.DataFrame, background: pd.DataFrame, encoding: Encoding
) -> Attribution:
    """φ = coefficient · (x − mean of the background), summed per raw feature."""
    coef = getattr(encoding.estimator, "coef_", None)
    if coef is None or np.size(coef) != len(encoding.source):
        raise _NotApplicableError("the final estimator has no single row of coefficients")
    if output.scale == "probability":
        raise _NotApplicableError(
            'a linear model is linear on scale="log-odds", not on the probability'
        )
    sign = -1.0 if output.scale == "log-odds" and output.position == 0 else 1.0
    weights = sign * np.ravel(np.asarray(coef, dtype=np.float64))
    intercept = sign * float(np.ravel(encoding.estimator.intercept_)[0])
    center = encoding.transform(background).mean(axis=0)
    values = encoding.fold((encoding.transform(X) - center) * weights)
    base = np.full(len(X), intercept + float(center @ weights))
    return Attribution(values, base, "linear", exact=True, notes=())


def _trees(
    output: ModelOutput, X: pd.DataFrame, background: pd.DataFrame | None, encoding: Encoding
) -> Attribution:
    """shap's TreeExplainer on the final estimator, folded back to raw features."""
    shap = import_shap()
    name = "tree-path-dependent" if background is None else "tree-interventional"
    rows = encoding.transform(X)
    try:
        with _quiet():
            if background is None:
                explainer = shap.TreeExplainer(
                    encoding.estimator, feature_perturbation="tree_path_dependent"
                )
            else:
                explainer = _interventional(
                    shap, encoding.estimator, encoding.transform(background), output
                )
            _check_scale(explainer, output)
            base = np.ravel(np.asarray(explainer.expected_value, dtype=np.float64))
            if background is not None:
                rows = _by_rank(explainer, rows)
            raw = np.asarray(explainer.shap_values(rows, check_additivity=False), dtype=np.float64)
    except _NotApplicableError:
        raise
    except Exception as error:  # shap raises whatever its parser of that library meets
        raise _NotApplicableError(
            f"shap's TreeExplainer: {type(error).__name__}: {error}"
        ) from error
    values, level = _chosen_output(raw, base, output)
    notes: list[str] = []
    rescaled = output.scale == "probability" and explainer.model.tree_output == "log_odds"
    if rescaled:
        notes.append(RESCALED)
    if background is None:
        notes.append("the background is the training rows that fell into each leaf, not a sample")
    split, total = _trees_that_split_a_feature(explainer.model.trees, encoding.source)
    if split:
        notes.append(
            f"columns made from one raw feature are separate players, added up: in {split} of "
            f"{total} trees a path tests two of them, where the sum can differ from the raw "
            f"feature's own Shapley value"
        )
    exact = not rescaled and not split and background is not None
    base_values = np.full(len(X), level)
    return Attribution(encoding.fold(values), base_values, name, exact, tuple(notes))


def _interventional(shap: ModuleType, estimator: Any, rows: FloatArray, output: ModelOutput) -> Any:
    # Given a plain array, shap silently keeps only 100 of its rows.
    masker = shap.maskers.Independent(rows, max_samples=len(rows))
    return shap.TreeExplainer(
        estimator,
        masker,
        feature_perturbation="interventional",
        model_output="probability" if output.scale == "probability" else "raw",
    )


def _check_scale(explainer: Any, output: ModelOutput) -> None:
    made = "probability" if explainer.model_output == "probability" else explainer.model.tree_output
    wanted = {"probability": "probability", "log-odds": "log_odds", "value": "raw_value"}
    if made != wanted[output.scale]:
        raise _NotApplicableError(f"the trees give a {made}, not a {output.scale}")


def _by_rank(explainer: Any, rows: FloatArray) -> FloatArray:
    """Put ranks among a column's thresholds for its values, in the trees, the background and rows.

    shap's interventional code holds thresholds in single precision, so that a
    value close to one can fall on its other side (on the loanapp data that
    moved a probability by .009). Ranks make the same comparisons exactly.
    """
    trees = explainer.model
    inner = trees.children_left >= 0
    tables = [t.astype(trees.input_dtype).astype(np.float64) for t in (explainer.data, rows)]
    for j in range(rows.shape[1]):
        here = inner & (trees.features == j)
        edges = np.unique(trees.thresholds[here])
        trees.thresholds[here] = np.searchsorted(edges, trees.thresholds[here]) + 0.5
        for table in tables:
            seen = ~np.isnan(table[:, j])
            table[seen, j] = np.searchsorted(edges, table[seen, j])
    trees.input_dtype = np.float64
    explainer.data = tables[0]
    return tables[1]


def _chosen_output(
    raw: FloatArray, base: FloatArray, output: ModelOutput
) -> tuple[FloatArray, float]:
    """The explained class's values (n, q) and base, from one or several outputs of the trees."""
    if raw.ndim == 3:
        return raw[:, :, output.position], float(base[output.position])
    if output.scale == "value" or output.position == 1:
        return raw, float(base[-1])
    return -raw, (1.0 if output.scale == "probability" else 0.0) - float(base[-1])


def _trees_that_split_a_feature(
    trees: Iterable[Any], source: npt.NDArray[np.intp]
) -> tuple[int, int]:
    """How many trees have a path that tests two columns of one raw feature, of how many."""
    split = total = 0
    for tree in trees:
        total += 1
        stack: list[tuple[int, frozenset[int]]] = [(0, frozenset())]
        while stack:
            node, seen = stack.pop()
            left = int(tree.children_left[node])
            if left < 0:
                continue
            column = int(tree.features[node])
            if any(c != column and source[c] == source[column] for c in seen):
                split += 1
                break
            stack += [(left, seen | {column}), (int(tree.children_right[node]), seen | {column})]
    return split, total


def _agnostic(
    kind: str,
    output: ModelOutput,
    X: pd.DataFrame,
    background: pd.DataFrame,
    *,
    random_state: int,
    n_permutations: int,
    progress: bool,
) -> Attribution:
    """shap's Exact or Permutation explainer on raw features, asking the original model."""
    shap = import_shap()
    p = X.shape[1]
    if kind == "exact" and p > EXACT_MOST:
        raise _NotApplicableError(
            f"{p} features have 2^{p} coalitions; expected at most {EXACT_MOST}"
        )
    coding = Coding.of(background, X)
    rows = coding.encode(background)
    masker = shap.maskers.Independent(rows, max_samples=len(rows))

    def ask(codes: FloatArray) -> FloatArray:
        return output(coding.decode(codes))

    values = np.zeros((len(X), p))
    base = np.zeros(len(X))
    with _quiet(), _numpy_seed_kept():
        explainer = (
            shap.explainers.Exact(ask, masker)
            if kind == "exact"
            else shap.explainers.Permutation(ask, masker)
        )
        budget = 2**p if kind == "exact" else n_permutations * (2 * p + 1)
        for i, row in enumerate(_counted(coding.encode(X), progress, f"shap ({kind})")):
            # The same permutations for every row: the result of a case does not
            # depend on which cases come before it.
            np.random.seed(random_state)
            found = explainer(row[np.newaxis], max_evals=budget, silent=True)
            values[i], base[i] = found.values[0], np.ravel(found.base_values)[0]
    notes = (
        ()
        if kind == "exact"
        else (f"estimated from {n_permutations} random orders of the features and their reverses",)
    )
    return Attribution(values, base, kind, kind == "exact", notes)


def _counted(rows: FloatArray, progress: bool, label: str) -> Iterable[FloatArray]:
    if not progress:
        return rows
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    counted: Iterable[FloatArray] = tqdm(rows, desc=label)
    return counted


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence shap's remarks: what they are about is checked here, against the model."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="shap")
        yield


@contextmanager
def _numpy_seed_kept() -> Iterator[None]:
    """shap draws from NumPy's global state; the caller's is put back."""
    state = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(state)


ALGORITHMS: tuple[str, ...] = get_args(Algorithm)
