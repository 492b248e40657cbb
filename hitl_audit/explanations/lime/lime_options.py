"""How LIME draws and fits: lime's own options, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.explanations.lime.lime_neighbourhood import Discretizer, LimeTable

__all__ = ["FeatureSelection", "LimeOptions"]

FeatureSelection = Literal["auto", "forward_selection", "highest_weights", "lasso_path", "none"]

MISSING_NOTE = (
    "columns with missing numbers ({}) are explained as quartile bins and “missing”; a bin is "
    "filled with observed values"
)


@dataclass(frozen=True, eq=False)
class LimeOptions:
    """The options of :func:`~hitl_audit.explanations.lime.lime_weights.lime_weights`, by its names.

    Raises:
        InputError: an option cannot be used, or not with another one.
    """

    random_state: int = 0
    n_seeds: int = 5
    n_samples: int = 5000
    n_features: int | None = None
    feature_selection: FeatureSelection = "auto"
    kernel_width: float | None = None
    discretizer: Discretizer | None = "quartile"
    sample_around_instance: bool = False
    training_labels: Sequence[Any] | None = None

    def __post_init__(self) -> None:
        for name, number, least in (
            ("random_state", self.random_state, 0),
            ("n_seeds", self.n_seeds, 2),
            ("n_samples", self.n_samples, 2),
            ("n_features", 1 if self.n_features is None else self.n_features, 1),
        ):
            if not isinstance(number, int | np.integer) or number < least:
                raise InputError(f"{name} is {number!r}; expected an integer of at least {least}")
        width = self.kernel_width
        if width is not None and not (np.isfinite(width) and width > 0):
            raise InputError(f"kernel_width is {width}; expected a number above 0")
        for name, value, accepted in (
            ("feature_selection", self.feature_selection, get_args(FeatureSelection)),
            ("discretizer", self.discretizer, (*get_args(Discretizer), None)),
        ):
            if value not in accepted:
                names = [a for a in accepted if a is not None]
                raise InputError(
                    f'{name} is "{value}"; accepted: {", ".join(map(str, accepted))}'
                    f"{did_you_mean(str(value), names)}"
                )
        if self.sample_around_instance and self.discretizer is not None:
            raise InputError(
                f'sample_around_instance is True with discretizer "{self.discretizer}"; bins are '
                "drawn alike for every row, so it needs discretizer=None"
            )

    @property
    def seeds(self) -> range:
        """The seeds, one run each."""
        return range(self.random_state, self.random_state + self.n_seeds)

    @property
    def shared(self) -> bool:
        """Whether all rows can share one neighbourhood."""
        return self.discretizer is not None and self.feature_selection != "lasso_path"

    def check_labels(self, n_background: int) -> None:
        """``"entropy"`` needs the class of each background row.

        Raises:
            InputError: they are not there.
        """
        labels = self.training_labels
        if self.discretizer == "entropy" and (labels is None or len(labels) != n_background):
            found = "None" if labels is None else f"{len(labels)} values"
            raise InputError(
                f'training_labels is {found} with discretizer "entropy"; expected the class of '
                f"each of the {n_background} background rows"
            )

    def notes(self, table: LimeTable) -> tuple[str, ...]:
        """What a reader must know of the numbers, in words."""
        width = self.kernel_width
        words = f"0.75·√{len(table.columns)}" if width is None else f"{width:g}"
        notes = [
            f"mean of {self.n_seeds} seeds with {self.n_samples} samples each; kernel width {words}"
        ]
        if self.n_features is not None and self.feature_selection != "none":
            notes.append(
                f"each seed keeps up to {self.n_features} features ({self.feature_selection}); a "
                "feature that is not kept counts as 0 in the mean and the spread"
            )
        if table.bins:
            notes.append(MISSING_NOTE.format(", ".join(map(str, table.bins))))
        return tuple(notes)
