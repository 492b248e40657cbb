"""Models of texts, explained by their words: :func:`explain_text`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import ExplanationError, InputError, did_you_mean
from hitl_audit.explanations.encoding import text_columns
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.explanations.model_output import Scale, default_scale, resolve_output
from hitl_audit.explanations.raw_features import sample_rows
from hitl_audit.explanations.shap_values import TOLERANCE
from hitl_audit.explanations.texts.text_lime import lime_words
from hitl_audit.explanations.texts.text_shap import (
    PLAYERS,
    REST,
    TextColumns,
    single_row,
    word_values,
)
from hitl_audit.inputs import digest_frame

__all__ = ["REST", "explain_text"]

FloatArray = npt.NDArray[np.float64]
BACKGROUND_TEXTS = 100


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
        linear = single_row(estimator) is not None and hasattr(model, "predict_proba")
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
    columns = TextColumns(vectorizer, between, estimator, cases, behind)
    inner = resolve_output(
        estimator, output=whole.label, scale=scale, as_array=True, rows=columns.first()
    )
    shap = word_values(columns, inner, predictions, random_state, n_permutations, progress)
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
