"""LIME for texts: ``lime.lime_text`` over several seeds, on the words that a vectorizer sees."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import ExplanationError

__all__ = ["LimeWords", "lime_words"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LimeWords:
    """Per seed and text (s, n): surrogates over the u words of these texts.

    Attributes:
        coefficients: shape (s, n, u); 0 for words that a text lacks.
        intercepts, scores: shape (s, n); the score is the weighted R².
        words: the u words, sorted.
        counts: of each word in each text, shape (n, u).
        vocabulary_size: of the vectorizer; without one, of these texts.
        notes: in words.
    """

    coefficients: FloatArray
    intercepts: FloatArray
    scores: FloatArray
    words: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    vocabulary_size: int
    notes: tuple[str, ...]


def lime_words(
    texts: list[str],
    *,
    ask: Callable[[list[str]], FloatArray],
    predictions: FloatArray,
    vectorizer: Any,
    random_state: int,
    n_seeds: int,
    n_samples: int,
    progress: bool,
) -> LimeWords:
    """LIME for each text with seeds random_state … random_state + n_seeds − 1.

    With a vectorizer a text is cut as the vectorizer cuts it, and lime takes
    words away from what the vectorizer reads of it; else it is cut at whatever
    is no letter or digit. All words are kept.

    Raises:
        ExplanationError: the model gives the cut text another output.
    """
    from lime.lime_text import LimeTextExplainer
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    cut = [_tokens(text, vectorizer) for text in texts]
    if vectorizer is not None:
        texts = [" ".join(tokens) for tokens in cut]
        off = np.abs(ask(texts) - predictions)
        if off.max() > 1e-9:
            raise ExplanationError(
                f"text {int(off.argmax())}, cut into words as its vectorizer does, gets another "
                f"output of the model (by {off.max():.2g}), so its words cannot be taken away "
                f"one by one"
            )
    words = tuple(sorted({token for tokens in cut for token in tokens}))
    place = {word: j for j, word in enumerate(words)}
    counts = np.zeros((len(texts), len(words)), dtype=np.int64)
    for i, tokens in enumerate(cut):
        for token in tokens:
            counts[i, place[token]] += 1
    coefficients = np.zeros((n_seeds, len(texts), len(words)))
    intercepts = np.tile(predictions, (n_seeds, 1))
    scores = np.full((n_seeds, len(texts)), np.nan)
    with tqdm(total=n_seeds * len(texts), desc="lime (words)", disable=not progress) as bar:
        for s in range(n_seeds):
            for i, text in enumerate(texts):
                bar.update()
                if not cut[i]:
                    continue  # no word to take away: the prediction is the intercept
                explainer = LimeTextExplainer(
                    split_expression=r"\W+" if vectorizer is None else str.split,
                    feature_selection="none",
                    random_state=np.random.RandomState(random_state + s),
                )
                found = explainer.explain_instance(
                    text,
                    lambda some: ask(some)[:, np.newaxis],
                    labels=(0,),
                    num_features=len(words),
                    num_samples=n_samples,
                )
                named = found.domain_mapper.indexed_string
                for at, weight in found.local_exp[0]:
                    coefficients[s, i, place[str(named.word(at))]] = weight
                intercepts[s, i], scores[s, i] = found.intercept[0], found.score
    notes = [f"mean of {n_seeds} seeds with {n_samples} samples each; kernel width 25"]
    if vectorizer is not None and tuple(vectorizer.ngram_range) != (1, 1):
        notes.append("the words are single, though the model also reads words in sequence")
    size = len(words) if vectorizer is None else len(vectorizer.vocabulary_)
    return LimeWords(coefficients, intercepts, scores, words, counts, size, tuple(notes))


def _tokens(text: str, vectorizer: Any) -> list[str]:
    if vectorizer is None:
        return re.findall(r"\w+", text)
    if vectorizer.analyzer != "word":
        raise ExplanationError(
            f"the vectorizer's analyzer is {vectorizer.analyzer!r}; LIME takes words away, so "
            f'"word" is expected (SHAP explains its own columns)'
        )
    tokens = vectorizer.build_tokenizer()(vectorizer.build_preprocessor()(text))
    stopped = vectorizer.get_stop_words() or ()
    tokens = [t for t in tokens if t not in stopped]
    if tuple(vectorizer.ngram_range) == (1, 1):
        # The model is blind to words outside its vocabulary.
        tokens = [t for t in tokens if t in vectorizer.vocabulary_]
    return tokens
