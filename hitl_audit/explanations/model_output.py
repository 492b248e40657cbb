"""What is explained: one number per row of the original model, on a stated scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import ExplanationError, InputError, did_you_mean

__all__ = ["ModelOutput", "Scale", "resolve_output"]

FloatArray = npt.NDArray[np.float64]
Scale = Literal["probability", "log-odds", "value"]


@dataclass(frozen=True)
class ModelOutput:
    """The explained output of a model; calling it asks the model itself.

    Attributes:
        model: a fitted estimator or Pipeline, or a callable.
        label: the class that is explained; ``None`` for a plain value.
        position: the class's column in ``predict_proba``.
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
        rows = frame.to_numpy() if self.as_array else frame
        try:
            if self.scale == "value":
                ask = self.model.predict if hasattr(self.model, "predict") else self.model
            else:
                ask = getattr(self.model, "predict_proba", self.model)
            raw = np.asarray(ask(rows), dtype=np.float64)
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
        if self.scale == "log-odds":
            chosen = self._log_odds(chosen)
        if not np.isfinite(chosen).all():
            raise ExplanationError(
                f"the model's {self.scale} is not finite for {int((~np.isfinite(chosen)).sum())} "
                f"of {len(frame)} rows, so it cannot be explained on this scale"
                + (' (try scale="probability")' if self.scale == "log-odds" else "")
            )
        return chosen

    @staticmethod
    def _log_odds(p: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(p) - np.log1p(-p))

    @property
    def words(self) -> str:
        """For labels: ``probability of 1`` or ``value``."""
        return "value" if self.scale == "value" else f"{self.scale} of {self.label}"


def resolve_output(model: Any, *, output: Any, scale: str, as_array: bool) -> ModelOutput:
    """Decide which output of a model is explained.

    A callable that returns one value per row returns the explained output
    itself; ``output`` then only names it.

    Raises:
        InputError: an unknown scale or class, or a model that does not have
            the output that was asked for.
    """
    scales: Sequence[str] = get_args(Scale)
    if scale not in scales:
        raise InputError(
            f'scale is "{scale}"; accepted: {", ".join(scales)}{did_you_mean(scale, scales)}'
        )
    kind = type(model).__name__
    if scale == "value":
        if not (hasattr(model, "predict") or callable(model)):
            raise InputError(f"model is {kind}; expected predict, or a callable")
        return ModelOutput(model, None, 0, "value", as_array)
    if not (hasattr(model, "predict_proba") or callable(model)):
        hint = '; a regressor is explained with scale="value"' if hasattr(model, "predict") else ""
        raise InputError(f"model is {kind}; expected predict_proba, or a callable{hint}")
    checked: Scale = "probability" if scale == "probability" else "log-odds"
    classes = list(getattr(model, "classes_", (0, 1)))
    if output is None:
        if len(classes) != 2:
            raise InputError(
                f"output is None and the model has {len(classes)} classes; "
                f"expected output to be one of {', '.join(map(str, classes))}"
            )
        output = classes[1]
    if hasattr(model, "classes_") and output not in classes:
        raise InputError(
            f"output is {output!r}; the model's classes are {', '.join(map(repr, classes))}"
        )
    position = classes.index(output) if output in classes else 1
    label = output.item() if isinstance(output, np.generic) else output
    return ModelOutput(model, label, position, checked, as_array)
