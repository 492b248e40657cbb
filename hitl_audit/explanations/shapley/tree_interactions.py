"""SHAP interaction values of a pipeline's trees, by shap's TreeExplainer, in raw features."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.explanations.encoding import Encoding
from hitl_audit.explanations.model_output import ModelOutput, Scale
from hitl_audit.explanations.shapley.attribution import Attribution, NotApplicableError
from hitl_audit.explanations.shapley.model_agnostic import counted
from hitl_audit.explanations.shapley.tree_ensemble import import_shap, quiet
from hitl_audit.explanations.shapley.tree_values import (
    PATH_DEPENDENT,
    SCALES,
    split_features_note,
)

__all__ = ["TreeInteractions"]

FloatArray = npt.NDArray[np.float64]

CELLS_AT_ONCE = 8_000_000  # numbers that shap gives back for one slab of rows
OWN_SCALES: dict[str, Scale] = {made: scale for scale, made in SCALES.items()}


class TreeInteractions:
    """shap's reading of one encoding's trees; path-dependent (Lundberg et al. 2020, Algorithm 2).

    Raises:
        NotApplicableError: shap cannot read them.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        shap = import_shap()
        try:
            with quiet():
                self._explainer: Any = shap.TreeExplainer(
                    encoding.estimator, feature_perturbation="tree_path_dependent"
                )
        except Exception as error:  # shap raises whatever its parser of that library meets
            raise NotApplicableError(
                f"shap's TreeExplainer: {type(error).__name__}: {error}"
            ) from error

    @property
    def scale(self) -> Scale | None:
        """The scale on which the trees add up; ``None`` if shap does not know it."""
        return OWN_SCALES.get(self._explainer.model.tree_output)

    def values(self, X: pd.DataFrame, output: ModelOutput, *, progress: bool) -> Attribution:
        """Interactions of the rows of X, (n, p, p): blocks of columns added up per raw feature.

        Raises:
            NotApplicableError: the trees do not give this output, or shap fails on them.
        """
        made, count = self._explainer.model.tree_output, int(self._explainer.model.num_outputs)
        if output.scale != "value" and count > 1 and made != "probability":
            raise NotApplicableError(
                f"the trees give {count} scores that softmax mixes, neither log-odds nor "
                f"probabilities of a class"
            )
        if made != SCALES[output.scale]:
            own = f'; expected scale="{self.scale}"' if self.scale else ""
            raise NotApplicableError(
                f"the trees add up to a {self.scale or 'score of no known scale'}, not to a "
                f"{output.scale}{own}"
            )
        rows = self._encoding.transform(X)
        try:
            with quiet():
                folded, base = self._folded(rows, output, progress)
        except NotApplicableError:
            raise
        except Exception as error:
            raise NotApplicableError(
                f"shap's TreeExplainer: {type(error).__name__}: {error}"
            ) from error
        split = split_features_note(self._explainer.model.trees or [], self._encoding.source)
        notes = (
            "computed by shap's TreeExplainer",
            PATH_DEPENDENT,
            *((split,) if split else ()),
        )
        return Attribution(
            folded, np.full(len(X), base), "tree-path-dependent", exact=not split, notes=notes
        )

    def _folded(
        self, rows: FloatArray, output: ModelOutput, progress: bool
    ) -> tuple[FloatArray, float]:
        columns, p = rows.shape[1], self._encoding.n_features
        to_raw = np.zeros((columns, p))
        to_raw[np.arange(columns), self._encoding.source] = 1.0
        n_outputs = max(1, int(self._explainer.model.num_outputs))
        step = max(1, CELLS_AT_ONCE // (columns**2 * n_outputs))
        folded = np.empty((len(rows), p, p))
        starts = range(0, len(rows), step)
        for a in counted(starts, progress, "shap interactions (trees)"):
            raw = np.asarray(
                self._explainer.shap_interaction_values(rows[a : a + step]), dtype=np.float64
            )
            one, base = self._chosen(raw, output)
            blocks = to_raw.T @ one @ to_raw
            # Libraries that add in single precision miss symmetry by their rounding.
            folded[a : a + step] = (blocks + blocks.transpose(0, 2, 1)) / 2
        return folded, base

    def _chosen(self, raw: FloatArray, output: ModelOutput) -> tuple[FloatArray, float]:
        """One output's interactions and base, of what shap gives."""
        # Known only now where a library computed the values itself.
        levels = np.ravel(np.asarray(self._explainer.expected_value, dtype=np.float64))
        if raw.ndim == 4:
            return raw[..., output.position], float(levels[output.position])
        if output.scale == "value" or output.position == 1:
            return raw, float(levels[-1])
        return -raw, (1.0 if output.scale == "probability" else 0.0) - float(levels[-1])
