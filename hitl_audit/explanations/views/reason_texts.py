"""What a denied applicant is told about a feature: configured, plain, and complete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.explanations.views.asking import value_words

__all__ = ["ReasonText", "check_texts", "reason_text"]

ReasonText = str | Mapping[str, str]
"""One text, or texts by direction or value: see ``adverse_action_reasons``."""


def check_texts(
    texts: Mapping[str, ReasonText] | None, columns: Iterable[Any], used: npt.NDArray[np.bool_]
) -> None:
    """Every text belongs to a feature, and every used feature has one.

    Raises:
        InputError: an unknown feature, an empty text, or a used feature without one.
    """
    if texts is None:
        return
    if not isinstance(texts, Mapping):
        raise InputError(
            f"texts is a {type(texts).__name__}; expected a mapping from features to texts"
        )
    names = [str(c) for c in columns]
    for name, text in texts.items():
        if name not in names:
            raise InputError(
                f"texts has {name!r}; X has no such column{did_you_mean(str(name), names)}"
            )
        parts = list(text.values()) if isinstance(text, Mapping) else [text]
        if not parts or not all(isinstance(t, str) and t.strip() for t in parts):
            raise InputError(f"texts: {name} is {text!r}; expected a text, or a mapping to texts")
    untold = [n for n, yes in zip(names, used, strict=True) if yes and n not in texts]
    if untold:
        raise InputError(
            f"texts lacks {', '.join(untold)}; the model uses them, and no principal reason may "
            f"be left out"
        )


def reason_text(
    texts: Mapping[str, ReasonText] | None, name: str, value: Any, median: float | None
) -> str:
    """What is told about a feature of this value; ``median`` is ``None`` for categories.

    Raises:
        InputError: the feature's texts do not cover the value.
    """
    told = None if texts is None else texts[name]
    if told is None or isinstance(told, str):
        return told or name
    if pd.isna(value):
        key = "missing"
    elif median is not None:
        key = "above" if float(value) > median else "below"
    else:
        key = value_words(value)
    if key not in told and "otherwise" not in told:
        raise InputError(
            f'texts: {name} has no text for "{key}" and no "otherwise"; it has {", ".join(told)}'
        )
    return told.get(key, told.get("otherwise", ""))
