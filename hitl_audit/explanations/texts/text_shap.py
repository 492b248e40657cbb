"""SHAP for texts: the columns of a fitted vectorizer as players, folded back to words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import ExplanationError
from hitl_audit.explanations.encoding import source_columns
from hitl_audit.explanations.model_output import ModelOutput
from hitl_audit.explanations.shap_values import TOLERANCE, Attribution, shap_values

__all__ = ["PLAYERS", "REST", "TextColumns", "single_row", "word_values"]

FloatArray = npt.NDArray[np.float64]
REST = "words not in this text"
EXACT_WORDS = 8
PLAYERS = (
    "the players are the vectorizer's columns as weighted in each text: taking a word away does "
    "not re-weight the others"
)


class TextColumns:
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


def word_values(
    columns: TextColumns,
    output: ModelOutput,
    predictions: FloatArray,
    random_state: int,
    n_permutations: int,
    progress: bool,
) -> Attribution:
    """Attributions (n, u + 1) of the u words of these texts, and of the rest.

    In order: the closed form of a linear model, if it gives the ``predictions``;
    the trees' own algorithm; the model asked.

    Raises:
        ExplanationError: the model failed, or nothing agrees with it.
    """
    weights = single_row(columns.estimator)
    if weights is not None and output.scale != "probability":
        sign = -1.0 if output.scale == "log-odds" and output.position == 0 else 1.0
        weights = sign * weights
        center = np.asarray(columns.behind.mean(axis=0)).ravel()
        values = columns.by_word(columns.rows.multiply(weights).tocsr(), center * weights)
        intercept = sign * float(np.ravel(columns.estimator.intercept_)[0])
        base = np.full(len(values), intercept + float(center @ weights))
        # Some linear classifiers make their probabilities otherwise (modified Huber loss).
        if np.abs(predictions - base - values.sum(axis=1)).max() <= TOLERANCE:
            return Attribution(values, base, "linear", True, ())
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
            return Attribution(values, found.base, found.algorithm, found.exact, found.notes)
        except ExplanationError:
            pass  # no trees, or not on this scale: the model is asked
    return _asked(columns, output, random_state, n_permutations, progress)


def _asked(
    columns: TextColumns,
    output: ModelOutput,
    random_state: int,
    n_permutations: int,
    progress: bool,
) -> Attribution:
    """Players: each word of the text, and all other columns together.

    A player's value is the number of the row it takes its columns from: 0 is
    the text, 1 … m the background.
    """
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    n, m = columns.rows.shape[0], columns.behind.shape[0]
    place = {int(j): u for u, j in enumerate(columns.used)}
    values, base = np.zeros((n, len(columns.used) + 1)), np.zeros(n)
    algorithms: set[str] = set()
    for i in tqdm(range(n), desc="shap (words)", disable=not progress):
        here = columns.counts[i].indices
        mixture = _Mixture(columns, i, here)

        def mixed(frame: pd.DataFrame, mixture: _Mixture = mixture) -> FloatArray:
            made = mixture.rows(frame.to_numpy(dtype=np.intp))
            ask = output.model
            ask = ask.predict if output.scale == "value" else ask.predict_proba
            return np.asarray(ask(made.toarray() if columns.dense else made), dtype=np.float64)

        players = len(here) + 1
        names = [f"player {k}" for k in range(players)]
        found, _ = shap_values(
            mixed,
            pd.DataFrame(np.zeros((1, players), dtype=np.int64), columns=names),
            output=ModelOutput(mixed, output.label, output.position, output.scale, False),
            background=pd.DataFrame(
                np.repeat(np.arange(1, m + 1)[:, np.newaxis], players, axis=1), columns=names
            ),
            algorithm="exact" if players <= EXACT_WORDS else "permutation",
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
    return Attribution(
        values, base, "permutation" if estimated else "exact", not estimated, tuple(notes)
    )


class _Mixture:
    """Rows whose players take their columns from the text (0) or a background row (1 … m)."""

    def __init__(self, columns: TextColumns, i: int, here: npt.NDArray[Any]) -> None:
        from scipy import sparse

        stack: Any = sparse.vstack([columns.rows[i], columns.behind]).tocsc()
        player = {int(j): k for k, j in enumerate(here)}
        mine = np.isin(columns.source, here)
        self._at = np.flatnonzero(mine)
        self._player = np.array([player[int(j)] for j in columns.source[mine]], dtype=np.intp)
        self._words = stack[:, self._at].toarray()
        self._rest = (stack @ sparse.diags((~mine).astype(np.float64))).tocsr()

    def rows(self, taken: npt.NDArray[np.intp]) -> Any:
        """Sparse rows (N, q) from the players' choices (N, players); the last is the rest."""
        from scipy import sparse

        n, width = len(taken), len(self._at)
        words = self._words[taken[:, self._player], np.arange(width)]
        placed = sparse.csr_matrix(
            (words.ravel(), np.tile(self._at, n), np.arange(n + 1) * width),
            shape=(n, self._rest.shape[1]),
        )
        return self._rest[taken[:, -1]] + placed


def single_row(estimator: Any) -> FloatArray | None:
    """The coefficients of a linear model with one output, shape (q,); ``None`` for all others."""
    coef = getattr(estimator, "coef_", None)
    if coef is None or hasattr(estimator, "support_vectors_"):
        return None
    coef = np.asarray(coef.toarray() if hasattr(coef, "toarray") else coef, dtype=np.float64)
    return coef.ravel() if coef.ndim == 1 or coef.shape[0] == 1 else None
