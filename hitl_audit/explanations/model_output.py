"""What is explained: one number per row of the original model, on a stated scale."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import ExplanationError, InputError, did_you_mean

__all__ = [
    "ModelOutput",
    "Scale",
    "default_scale",
    "output_labels",
    "output_words",
    "resolve_output",
    "unseen_categories_allowed",
]

FloatArray = npt.NDArray[np.float64]
Scale = Literal["probability", "log-odds", "value"]


@dataclass(frozen=True)
class ModelOutput:
    """The explained output of a model; calling it asks the model itself.

    Attributes:
        model: a fitted estimator or Pipeline, or a callable.
        label: the class that is explained, or the position of one of several
            values; ``None`` for a plain value.
        position: its column in what the model returns.
        scale: ``"probability"``, ``"log-odds"`` or ``"value"``.
        as_array: the model wants arrays, not DataFrames.
    """

    model: Any
    label: Any
    position: int
    scale: Scale
    as_array: bool

    def __call__(self, frame: pd.DataFrame) -> FloatArray:
        """The output for each row, shape (n,).

        Raises:
            ExplanationError: the model failed, or the output is not finite.
        """
        chosen = self.unchecked(frame)
        if not np.isfinite(chosen).all():
            raise ExplanationError(
                f"the model's {self.scale} is not finite for {int((~np.isfinite(chosen)).sum())} "
                f"of {len(frame)} rows, so it cannot be explained on this scale"
                + (' (try scale="probability")' if self.scale == "log-odds" else "")
            )
        return chosen

    def unchecked(self, frame: pd.DataFrame) -> FloatArray:
        """The output for each row, shape (n,); it may be infinite or no number.

        Raises:
            ExplanationError: the model failed, or returned something else.
        """
        try:
            raw = _ask(self.model, frame, self.scale, as_array=self.as_array)
        except Exception as error:
            raise ExplanationError(
                f"the model failed on {len(frame)} rows: {type(error).__name__}: {error}"
            ) from error
        chosen = raw[:, self.position] if raw.ndim == 2 else raw
        if chosen.shape != (len(frame),):
            raise ExplanationError(
                f"the model returned an array of shape {raw.shape} for {len(frame)} rows; "
                f"expected one value per row"
            )
        return self._log_odds(chosen) if self.scale == "log-odds" else chosen

    @staticmethod
    def _log_odds(p: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(p) - np.log1p(-p))

    @property
    def words(self) -> str:
        """For labels: ``probability of 1`` or ``value``."""
        return output_words(self.scale, self.label)


def output_words(scale: Scale, label: Any) -> str:
    """What is explained, for labels: ``probability of 1``, ``value`` or ``value of output 2``."""
    if scale != "value":
        return f"{scale} of {label}"
    return "value" if label is None else f"value of output {label}"


def _ask(model: Any, frame: pd.DataFrame, scale: str, *, as_array: bool) -> FloatArray:
    rows = frame.to_numpy() if as_array else frame
    if scale == "value":
        ask = model.predict if hasattr(model, "predict") else model
    else:
        ask = getattr(model, "predict_proba", model)
    with unseen_categories_allowed():
        return np.asarray(ask(rows), dtype=np.float64)


@contextmanager
def unseen_categories_allowed() -> Iterator[None]:
    """scikit-learn's encoders warn of unseen categories at each of thousands of calls."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Found unknown categories", category=UserWarning)
        yield


def _columns(model: Any, rows: pd.DataFrame | None, scale: str, *, as_array: bool) -> int | None:
    """How many outputs the model gives a row: 0 for a plain value, ``None`` if it does not say."""
    if rows is None:
        return None
    try:
        raw = _ask(model, rows.iloc[:1], scale, as_array=as_array)
    except Exception:  # reported where the model is asked about all rows
        return None
    return raw.shape[1] if raw.ndim == 2 else 0


def default_scale(model: Any) -> Scale:
    """``value`` for what only predicts (a regressor), ``probability`` for all else."""
    only_predicts = hasattr(model, "predict") and not hasattr(model, "predict_proba")
    return "value" if only_predicts and not hasattr(model, "classes_") else "probability"


def output_labels(
    model: Any, *, scale: str | None, as_array: bool, rows: pd.DataFrame
) -> list[Any]:
    """All outputs of a model: its classes, the positions of its values, or ``None`` alone."""
    scale = scale or default_scale(model)
    if scale != "value" and hasattr(model, "classes_"):
        return [c.item() if isinstance(c, np.generic) else c for c in model.classes_]
    count = _columns(model, rows, scale, as_array=as_array)
    if scale != "value" and hasattr(model, "predict_proba") and count is None:
        return [0, 1]
    return list(range(count)) if count else [None]


def resolve_output(
    model: Any,
    *,
    output: Any,
    scale: str | None = None,
    as_array: bool,
    rows: pd.DataFrame | None = None,
) -> ModelOutput:
    """Decide which output of a model is explained.

    A callable that returns one value per row returns the explained output
    itself; ``output`` then only names it. Without ``scale`` a regressor is
    explained on its value, all else on the probability. A model that does not
    name its classes is asked about the first of ``rows`` how many it has.

    Raises:
        InputError: an unknown scale or class, or a model that does not have
            the output that was asked for.
    """
    scales: Sequence[str] = get_args(Scale)
    if scale is None:
        scale = default_scale(model)
    if scale not in scales:
        raise InputError(
            f'scale is "{scale}"; accepted: {", ".join(scales)}{did_you_mean(scale, scales)}'
        )
    kind = type(model).__name__
    if scale == "value":
        if not (hasattr(model, "predict") or callable(model)):
            raise InputError(f"model is {kind}; expected predict, or a callable")
        return _value(model, output, _columns(model, rows, scale, as_array=as_array), as_array)
    if not (hasattr(model, "predict_proba") or callable(model)):
        hint = ""
        if hasattr(model, "classes_") and hasattr(model, "decision_function"):
            hint = "; its decision_function can be explained: pass model.decision_function"
        elif hasattr(model, "predict"):
            hint = '; a regressor is explained with scale="value"'
        raise InputError(f"model is {kind}; expected predict_proba, or a callable{hint}")
    checked: Scale = "probability" if scale == "probability" else "log-odds"
    known = hasattr(model, "classes_")
    count = None if known else _columns(model, rows, scale, as_array=as_array)
    classes = list(model.classes_) if known else list(range(max(2, count or 0)))
    if output is None:
        if len(classes) != 2:
            raise InputError(
                f"output is None and the model has {len(classes)} classes; "
                f"expected output to be one of {', '.join(map(str, classes))}"
            )
        output = classes[1]
    if (known or len(classes) > 2) and output not in classes:
        raise InputError(
            f"output is {output!r}; the model's classes are {', '.join(map(repr, classes))}"
        )
    position = classes.index(output) if output in classes else 1
    label = output.item() if isinstance(output, np.generic) else output
    return ModelOutput(model, label, position, checked, as_array)


def _value(model: Any, output: Any, count: int | None, as_array: bool) -> ModelOutput:
    if not count or count == 1:
        if output is not None:
            raise InputError(
                f"output is {output!r} and the model has one value per row; expected None"
            )
        return ModelOutput(model, None, 0, "value", as_array)
    if isinstance(output, bool | np.bool) or output not in range(count):
        raise InputError(
            f"output is {output!r} and the model has {count} values per row; expected a position "
            f"from 0 to {count - 1}"
        )
    return ModelOutput(model, int(output), int(output), "value", as_array)
