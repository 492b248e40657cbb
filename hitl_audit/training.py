"""The rows a model was fitted on: what the search for alternatives fits on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.canonical import Digest
from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.inputs import AuditInputs, digest_frame
from hitl_audit.plan import AuditPlan

__all__ = ["TrainingRows", "training_rows"]


@dataclass(frozen=True)
class TrainingRows:
    """The rows the model was fitted on: inputs, outcome (1 = favorable), groups."""

    X: pd.DataFrame
    y: npt.NDArray[np.int64]
    sensitive: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def digest(self) -> Digest:
        """Of inputs, outcomes and groups together."""
        outcome = pd.DataFrame({"recorded:": self.y})
        return digest_frame(
            pd.concat([self.X, outcome, self.sensitive.add_prefix("sensitive:")], axis=1)
        )


def training_rows(
    X: pd.DataFrame,
    y: Any,
    *,
    sensitive: pd.DataFrame | None,
    inputs: AuditInputs,
    plan: AuditPlan,
) -> TrainingRows:
    """Check the rows that alternatives are fitted on, before any work starts.

    Args:
        X: the training rows, with the model's inputs (and the sensitive
            attributes, unless they are given beside it).
        y: recorded outcome per row.
        sensitive: the sensitive attributes, or ``None``.
        inputs: the audited rows.
        plan: names the favorable value and the attributes.

    Raises:
        InputError: columns are missing, lengths differ, or one outcome never occurs.
    """
    features = [str(c) for c in inputs.X.columns]
    beside = X if sensitive is None else sensitive
    for wanted, table in ((features, X), (list(plan.data.sensitive), beside)):
        have = [str(c) for c in table.columns]
        absent = [name for name in wanted if name not in have]
        if absent:
            raise InputError(
                f"the training rows lack {', '.join(absent)}{did_you_mean(absent[0], have)}; "
                "expected the model's inputs and the sensitive attributes"
            )
    labels = pd.Series(np.asarray(y))
    if len(labels) != len(X) or len(beside) != len(X):
        raise InputError(
            f"the training rows have {len(X)} rows, {len(labels)} outcomes and {len(beside)} rows "
            "of sensitive attributes; expected the same number"
        )
    outcome = np.asarray(labels == plan.data.favorable, dtype=np.int64)
    if labels.isna().any() or len(np.unique(outcome)) < 2:
        raise InputError(
            "the outcome of the training rows is missing in some, or the same in all; expected "
            f"both outcomes, {plan.data.favorable!r} among them"
        )
    table = X[features].reset_index(drop=True)
    audited = inputs.X.reset_index(drop=True).astype(table.dtypes.to_dict(), errors="ignore")
    seen = set(pd.util.hash_pandas_object(table, index=False))
    again = int(pd.util.hash_pandas_object(audited, index=False).isin(seen).sum())
    notes: tuple[str, ...] = ()
    if again:
        notes = (
            f"{again:,} of the {len(audited):,} audited rows have the same inputs as a training "
            "row: if they are the same cases, the alternatives look better than they are.",
        )
    return TrainingRows(
        table, outcome, beside[list(plan.data.sensitive)].reset_index(drop=True), notes
    )
