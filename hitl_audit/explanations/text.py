"""Models of texts, explained by their words: :func:`explain_text`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import ExplanationError, InputError, did_you_mean
from hitl_audit.explanations.encoding import source_columns, text_columns
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.explanations.model_output import ModelOutput, Scale, default_scale, resolve_output
from hitl_audit.explanations.raw_features import sample_rows
from hitl_audit.explanations.shap_values import TOLERANCE, shap_values
from hitl_audit.explanations.text_lime import lime_words
from hitl_audit.inputs import digest_frame

__all__ = ["REST", "explain_text"]

FloatArray = npt.NDArray[np.float64]
REST = "words not in this text"
BACKGROUND_TEXTS = 100
EXACT_WORDS = 8


def explain_text(
    model: Any,
    texts: Any,
    *,
    method: Literal["shap", "lime"] = "shap",
    background: Any = None,
    output: Any = None,
    scale: Scale | None = None,
    random_state: int = 0,
    progress: bool = False,
    n_permutations: int = 10,
    n_seeds: int = 5,
    n_samples: int = 5000,
) -> Explanation:
    """Explain one output of a model of texts, word by word.

    The features are the vocabulary's words (or n-grams) that occur in these
    texts, and last ``"words not in this text"``: what the absence of all other
    words contributes to a text, so that the sum is the prediction. ``data``
    holds how often each word occurs in the text (in the last column: how many
    words of the vocabulary do not).

    SHAP's players are the columns of the vectorizer as they are after its
    weighting (tf-idf): taking a word away does not re-weight the others. Linear
    models have a closed form, φ = coefficient · (x − mean of the background);
    trees are explained by their own algorithm; any other model is asked, with
    the words of the text and the rest of the vocabulary as players. LIME takes
    words away from the text itself (``lime.lime_text``).

    Args:
        model: a fitted Pipeline of a CountVectorizer or TfidfVectorizer, steps
            that keep its columns apart, and an estimator. LIME also takes any
            Pipeline of texts, and a callable that maps a list of n texts to
            (n,) or (n, classes) outputs.
        texts: n strings; the index of a Series names the cases.
        method: ``"shap"`` or ``"lime"``.
        background: for SHAP: texts that stand for "word unknown"; by default
            the 100 of ``texts`` with the smallest seeded hashes.
        output, scale: as for :func:`~hitl_audit.explanations.explain.explain`;
            but the default scale of a linear classifier is the log-odds, on
            which it is linear.
        random_state: seed, a non-negative integer.
        progress: show a progress bar.
        n_permutations: for a model that is asked: orders of the words.
        n_seeds, n_samples: for LIME.

    Raises:
        InputError: an argument cannot be used.
        ExplanationError: the model failed, mixes its words, or no explanation
            agrees with it.
    """
    started = time.perf_counter()
    if method not in ("shap", "lime"):
        raise InputError(
            f'method is "{method}"; accepted: shap, lime{did_you_mean(method, ("shap", "lime"))}'
        )
    for label, number, least in (
        ("random_state", random_state, 0),
        ("n_permutations", n_permutations, 1),
        ("n_seeds", n_seeds, 2),
        ("n_samples", n_samples, 50),
    ):
        if not isinstance(number, int | np.integer) or number < least:
            raise InputError(f"{label} is {number!r}; expected an integer of at least {least}")
    cases = _as_texts(texts, "texts")
    among = text_columns(model)
    if among:
        raise InputError(
            f"model takes tables with texts in {', '.join(among)}; expected a model of texts alone "
            f"(explain takes such tables, each text being one feature)"
        )
    vectorizer, between, estimator = _parts(model)
    if scale is None:
        linear = _single_row(estimator) is not None and hasattr(model, "predict_proba")
        scale = "log-odds" if linear else default_scale(model)
    whole = resolve_output(
        _asking(model, lambda frame: frame["text"].tolist()),
        output=output,
        scale=scale,
        as_array=False,
        rows=cases,
    )
    predictions = whole(cases)
    common: dict[str, Any] = {
        "method": method,
        "scale": whole.scale,
        "output": whole.label,
        "predictions": predictions,
        "random_state": random_state,
    }
    if method == "lime":
        found = lime_words(
            cases["text"].tolist(),
            ask=lambda some: whole(pd.DataFrame({"text": some})),
            predictions=predictions,
            vectorizer=vectorizer,
            random_state=random_state,
            n_seeds=n_seeds,
            n_samples=n_samples,
            progress=progress,
        )
        nothing = np.zeros((n_seeds, len(cases), 1))
        coefficients = np.concatenate([found.coefficients, nothing], axis=2)
        return Explanation(
            values=coefficients.mean(axis=0),
            base_values=found.intercepts.mean(axis=0),
            data=_counts_frame(found.counts, found.words, found.vocabulary_size, cases.index),
            algorithm="lime-text",
            exact=False,
            background_digest=digest_frame(cases.iloc[:0]),
            background_size=0,
            spread=coefficients.std(axis=0, ddof=1),
            score=found.scores.mean(axis=0),
            n_seeds=n_seeds,
            notes=found.notes,
            seconds=time.perf_counter() - started,
            **common,
        )
    if vectorizer is None:
        raise InputError(
            f"model is {type(model).__name__}; expected a Pipeline that starts with a "
            f'CountVectorizer or TfidfVectorizer, or method="lime"'
        )
    behind = _background(background, cases, random_state)
    columns = _Columns(vectorizer, between, estimator, cases, behind)
    inner = resolve_output(
        estimator, output=whole.label, scale=scale, as_array=True, rows=columns.first()
    )
    shap = _shap(columns, inner, predictions, random_state, n_permutations, progress)
    residual = float(np.abs(predictions - shap.base - shap.values.sum(axis=1)).max())
    if residual > TOLERANCE:
        raise ExplanationError(
            f'"{shap.algorithm}" misses the model\'s own output by up to {residual:.2g} '
            f"(accepted: {TOLERANCE:g})"
        )
    return Explanation(
        values=shap.values,
        base_values=shap.base,
        data=_counts_frame(
            columns.counts[:, columns.used], columns.words, len(columns.terms), cases.index
        ),
        algorithm=shap.algorithm,
        exact=shap.exact,
        background_digest=digest_frame(behind),
        background_size=len(behind),
        notes=(PLAYERS, *shap.notes),
        seconds=time.perf_counter() - started,
        **common,
    )


PLAYERS = (
    "the players are the vectorizer's columns as weighted in each text: taking a word away does "
    "not re-weight the others"
)


@dataclass(frozen=True, eq=False)
class _Found:
    values: FloatArray
    base: FloatArray
    algorithm: str
    exact: bool
    notes: tuple[str, ...]


class _Columns:
    """The estimator's columns of the texts and the background, with the words they come from.

    Attributes:
        terms: the vocabulary; ``source`` gives each column's place in it.
        counts: of each term in each text, sparse (n, terms).
        used, words: places and names of the terms that occur in these texts.
        rows, behind: what the estimator sees, sparse (n, q) and (m, q).
        dense: the estimator is given dense arrays.
    """

    def __init__(
        self,
        vectorizer: Any,
        between: Sequence[Any],
        estimator: Any,
        cases: pd.DataFrame,
        behind: pd.DataFrame,
    ) -> None:
        from scipy import sparse
        from sklearn.feature_extraction.text import CountVectorizer

        self.estimator = estimator
        self.terms = [str(t) for t in vectorizer.get_feature_names_out()]
        source, names = list(range(len(self.terms))), self.terms
        for step in between:
            source = [source[i] for i in source_columns(step, names)]
            names = [self.terms[i] for i in source]
        self.source = np.array(source, dtype=np.intp)
        texts = cases["text"].tolist()
        # TfidfVectorizer.transform weighs; the counts are its base class's.
        self.counts: Any = sparse.csr_matrix(CountVectorizer.transform(vectorizer, texts))
        self.used = np.unique(self.counts.indices)
        self.words = [self.terms[j] for j in self.used]
        made = [self._transform(vectorizer, between, t["text"].tolist()) for t in (cases, behind)]
        self.dense = not sparse.issparse(made[0])
        self.rows: Any = sparse.csr_matrix(made[0], dtype=np.float64)
        self.behind: Any = sparse.csr_matrix(made[1], dtype=np.float64)
        if self.rows.shape[1] != len(source):
            raise ExplanationError(
                f"the steps after the vectorizer make {self.rows.shape[1]} columns; "
                f"{len(source)} were expected"
            )

    @staticmethod
    def _transform(vectorizer: Any, between: Sequence[Any], texts: list[str]) -> Any:
        out = vectorizer.transform(texts)
        for step in between:
            out = step.transform(out)
        return out

    def first(self) -> pd.DataFrame:
        """One row, dense."""
        return pd.DataFrame(self.rows[:1].toarray())

    def by_word(self, values: Any, constant: FloatArray) -> FloatArray:
        """Fold (n, q) values − (q,) constant to the words of each text and the rest, (n, u + 1)."""
        from scipy import sparse

        values = sparse.csr_matrix(values)
        q = len(self.source)
        fold: Any = sparse.csr_matrix(
            (np.ones(q), (np.arange(q), self.source)), shape=(q, len(self.terms))
        )
        present = (self.counts[:, self.used] > 0).toarray()
        base = (fold.T @ constant)[self.used]
        folded: Any = values @ fold
        words = np.where(present, folded[:, self.used].toarray() - base, 0.0)
        total = np.asarray(values.sum(axis=1)).ravel() - constant.sum()
        return np.column_stack([words, total - words.sum(axis=1)])


def _shap(
    columns: _Columns,
    output: ModelOutput,
    predictions: FloatArray,
    random_state: int,
    n_permutations: int,
    progress: bool,
) -> _Found:
    weights = _single_row(columns.estimator)
    if weights is not None and output.scale != "probability":
        sign = -1.0 if output.scale == "log-odds" and output.position == 0 else 1.0
        weights = sign * weights
        center = np.asarray(columns.behind.mean(axis=0)).ravel()
        values = columns.by_word(columns.rows.multiply(weights).tocsr(), center * weights)
        intercept = sign * float(np.ravel(columns.estimator.intercept_)[0])
        base = np.full(len(values), intercept + float(center @ weights))
        # Some linear classifiers make their probabilities otherwise (modified Huber loss).
        if np.abs(predictions - base - values.sum(axis=1)).max() <= TOLERANCE:
            return _Found(values, base, "linear", True, ())
    if weights is None:
        try:
            found, _ = shap_values(
                columns.estimator,
                pd.DataFrame(columns.rows.toarray()),
                output=output,
                background=pd.DataFrame(columns.behind.toarray()),
                algorithm="tree-interventional",
                random_state=random_state,
                n_permutations=n_permutations,
            )
            values = columns.by_word(found.values, np.zeros(found.values.shape[1]))
            return _Found(values, found.base, found.algorithm, found.exact, found.notes)
        except ExplanationError:
            pass  # no trees, or not on this scale: the model is asked
    return _asked(columns, output, random_state, n_permutations, progress)


def _asked(
    columns: _Columns, output: ModelOutput, random_state: int, n_permutations: int, progress: bool
) -> _Found:
    """Players: each word of the text, and all other columns together.

    A player's value is the number of the row it takes its columns from: 0 is
    the text, 1 … m the background.
    """
    from scipy import sparse
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    n, m = columns.rows.shape[0], columns.behind.shape[0]
    place = {int(j): u for u, j in enumerate(columns.used)}
    values, base = np.zeros((n, len(columns.used) + 1)), np.zeros(n)
    algorithms: set[str] = set()
    for i in tqdm(range(n), desc="shap (words)", disable=not progress):
        here = columns.counts[i].indices
        stack: Any = sparse.vstack([columns.rows[i], columns.behind]).tocsc()
        groups = [np.flatnonzero(columns.source == j) for j in here]
        groups.append(np.flatnonzero(~np.isin(columns.source, here)))
        order = np.argsort(np.concatenate(groups), kind="stable")
        blocks = [stack[:, group].tocsr() for group in groups]

        def mixed(
            frame: pd.DataFrame, blocks: list[Any] = blocks, order: Any = order
        ) -> FloatArray:
            taken = frame.to_numpy(dtype=np.intp)
            parts = [block[taken[:, k]] for k, block in enumerate(blocks)]
            beside: Any = sparse.hstack(parts, format="csc")
            made = beside[:, order].tocsr()
            ask = output.model
            ask = ask.predict if output.scale == "value" else ask.predict_proba
            return np.asarray(ask(made.toarray() if columns.dense else made), dtype=np.float64)

        names = [f"player {k}" for k in range(len(groups))]
        found, _ = shap_values(
            mixed,
            pd.DataFrame(np.zeros((1, len(groups)), dtype=np.int64), columns=names),
            output=ModelOutput(mixed, output.label, output.position, output.scale, False),
            background=pd.DataFrame(
                np.repeat(np.arange(1, m + 1)[:, np.newaxis], len(groups), axis=1), columns=names
            ),
            algorithm="exact" if len(groups) <= EXACT_WORDS else "permutation",
            random_state=random_state,
            n_permutations=n_permutations,
        )
        algorithms.add(found.algorithm)
        values[i, [place[int(j)] for j in here]] = found.values[0, :-1]
        values[i, -1], base[i] = found.values[0, -1], found.base[0]
    estimated = "permutation" in algorithms
    notes = [f"the words that a text lacks are one player ({REST})"]
    if estimated:
        notes.append(
            f"texts of {EXACT_WORDS} words or more: estimated from {n_permutations} random orders "
            f"of the words and their reverses"
        )
    return _Found(
        values, base, "permutation" if estimated else "exact", not estimated, tuple(notes)
    )


def _parts(model: Any) -> tuple[Any, list[Any], Any]:
    """The vectorizer (``None`` if there is none), the steps between, and the estimator."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.pipeline import Pipeline

    steps: list[Any] = []
    last = model
    while isinstance(last, Pipeline):
        inside = [part for _, part in last.steps if part not in (None, "passthrough")]
        steps, last = [*steps, *inside[:-1]], inside[-1]
    while steps and isinstance(steps[0], Pipeline):
        steps = [*(part for _, part in steps[0].steps if part != "passthrough"), *steps[1:]]
    if not steps or not isinstance(steps[0], CountVectorizer):
        return None, [], last
    return steps[0], steps[1:], last


def _single_row(estimator: Any) -> FloatArray | None:
    coef = getattr(estimator, "coef_", None)
    if coef is None or hasattr(estimator, "support_vectors_"):
        return None
    coef = np.asarray(coef.toarray() if hasattr(coef, "toarray") else coef, dtype=np.float64)
    return coef.ravel() if coef.ndim == 1 or coef.shape[0] == 1 else None


def _asking(model: Any, turn: Callable[[pd.DataFrame], Any]) -> Any:
    """The model as one of DataFrames."""
    if not (hasattr(model, "predict") or hasattr(model, "predict_proba")):
        return (lambda frame: model(turn(frame))) if callable(model) else model
    return _Turned(model, turn)


class _Turned:
    def __init__(self, model: Any, turn: Callable[[pd.DataFrame], Any]) -> None:
        self._model, self._turn = model, turn

    def __getattr__(self, name: str) -> Any:
        if name == "classes_":
            return self._model.classes_
        if name not in ("predict", "predict_proba"):
            raise AttributeError(name)
        ask = getattr(self._model, name)
        return lambda frame: ask(self._turn(frame))


def _as_texts(texts: Any, name: str) -> pd.DataFrame:
    if isinstance(texts, str) or not hasattr(texts, "__len__"):
        raise InputError(f"{name} is a {type(texts).__name__}; expected a list or Series of texts")
    series = texts if isinstance(texts, pd.Series) else pd.Series(list(texts), dtype=object)
    strange = [(i, t) for i, t in zip(series.index, series, strict=True) if not isinstance(t, str)]
    if strange:
        label, found = strange[0]
        raise InputError(
            f"{name} has {len(strange)} entries that are not texts (first: {found!r} at "
            f"{label!r}); expected strings"
        )
    if not len(series):
        raise InputError(f"{name} is empty; expected at least one text")
    return pd.DataFrame({"text": series.astype(object)})


def _background(background: Any, cases: pd.DataFrame, random_state: int) -> pd.DataFrame:
    if background is not None:
        return _as_texts(background, "background")
    if len(cases) < 2:
        raise InputError("texts has 1 text and there is no background; expected background texts")
    return sample_rows(cases, BACKGROUND_TEXTS, random_state=random_state)


def _counts_frame(
    counts: Any, words: Sequence[str], vocabulary_size: int, index: pd.Index
) -> pd.DataFrame:
    table = np.asarray(counts.toarray() if hasattr(counts, "toarray") else counts, dtype=np.int64)
    frame = pd.DataFrame(table, columns=list(words), index=index)
    frame[REST] = vocabulary_size - (table > 0).sum(axis=1)
    return frame
