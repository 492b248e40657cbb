"""Contributions of an edited row: at once where there is a fast path, else by asking the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.explanations.agreement import disagreement, resolution_of
from hitl_audit.explanations.model_output import ModelOutput
from hitl_audit.explanations.raw_features import align
from hitl_audit.explanations.shap_values import Attribution, shap_values
from hitl_audit.explanations.shapley.attribution import NotApplicableError
from hitl_audit.explanations.shapley.prepared import PreparedAttributions, prepare_attributions
from hitl_audit.what_if.predictor import Predictor

__all__ = ["Fresh", "fast_attributions", "slow_attributions"]

FloatArray = npt.NDArray[np.float64]
Fresh = Callable[[], bool]

_CHECKED_ROWS = 5


def fast_attributions(
    predictor: Predictor, rows: pd.DataFrame, background: pd.DataFrame
) -> tuple[PreparedAttributions | None, str]:
    """The fast contributions, if they add up to the model's own predictions; else why not."""
    output, some = predictor.output, rows.iloc[:_CHECKED_ROWS]
    if predictor.encoder is None or predictor.encoding is None:
        return (
            None,
            f"contributions take longer: the model has to be asked, because {predictor.why}",
        )
    try:
        found = prepare_attributions(output, predictor.encoding, background, trees=predictor.trees)
        predictions = output(some)
        columns = predictor.encoder(predictor.population.codes[: len(some)])
        values = np.stack([found.of(row) for row in columns])
    except NotApplicableError as error:
        return None, f"contributions take longer: the model has to be asked, because {error}"
    base = np.full(len(some), found.base)
    wrong = disagreement(
        values,
        base,
        predictions,
        resolution_of(output, some, predictions, base=base, values=values),
        mean_output=float(output(background).mean()),
    )
    if wrong is not None:
        return None, f"contributions take longer: the model has to be asked, because {wrong}"
    return found, ""


def slow_attributions(
    predictor: Predictor,
    codes: FloatArray,
    background: pd.DataFrame,
    *,
    fresh: Fresh | None,
    random_state: int,
    n_permutations: int,
) -> Attribution | None:
    """The audit's own SHAP values of rows of codes; ``None`` once ``fresh`` says no.

    Raises:
        ExplanationError: none agree with the model.
    """
    output = predictor.output
    asked = output if fresh is None else _Stoppable(fresh=fresh, **vars(output))
    rows, behind = align(predictor.population.frame(codes), background)
    try:
        found, _ = shap_values(
            output.model,
            rows,
            output=asked,
            background=behind,
            random_state=random_state,
            n_permutations=n_permutations,
        )
    except _StaleError:
        return None
    return found


class _StaleError(Exception):
    """Work that nobody waits for any longer."""


class _Stoppable(ModelOutput):
    """A model's output that stops answering when nobody waits for it."""

    def __init__(self, *, fresh: Fresh, **what: Any) -> None:
        super().__init__(**what)
        object.__setattr__(self, "fresh", fresh)

    def __call__(self, frame: pd.DataFrame) -> FloatArray:
        if not self.fresh():  # type: ignore[attr-defined]
            raise _StaleError
        return super().__call__(frame)
