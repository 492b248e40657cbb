"""From arguments to checked, encoded, counted rows: what group metrics start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hitl_audit.errors import InputError
from hitl_audit.fairness.counts import GroupCounts, count_cells
from hitl_audit.fairness.encoding import weights_of
from hitl_audit.fairness.measures import accept, check_settings
from hitl_audit.fairness.metric_table import Axis, Law, MetricTable, Rows
from hitl_audit.fairness.own_metrics import OwnMetrics, split_metrics
from hitl_audit.fairness.rates import Weights
from hitl_audit.fairness.reference import Methods
from hitl_audit.fairness.significance import words_of_test
from hitl_audit.groups import UNKNOWN, Feature, binary_labels, encode

__all__ = [
    "METHODS",
    "methods_of",
    "metric_table",
    "named_reference",
]

# The accepted names, by what they are the method of.
_LAWS = ("multinomial", "replay")
_INTERVALS = {
    "wilson": ("rate", "Wilson"),
    "clopper-pearson": ("rate", "Clopper-Pearson"),
    "koopman": ("ratio", "Koopman score"),
    "katz": ("ratio", "Katz log"),
    "newcombe": ("difference", "Newcombe"),
}
METHODS: tuple[str, ...] = (*_LAWS, *_INTERVALS)
"""The accepted methods: two laws of the bootstrap, then intervals of rates, ratios, differences."""


def methods_of(
    method: str | Sequence[str], test: str | None, *, weighted: bool
) -> tuple[str, Methods]:
    """The law of the bootstrap, and the named intervals and test.

    Raises:
        InputError: an unknown method or test, two methods of the same thing,
            or a test that rows with weights do not have.
    """
    given: dict[str, str] = {}
    for name in [method] if isinstance(method, str) else method:
        accept("method", name, METHODS)
        of, meant = _INTERVALS.get(name, ("law", name))
        if given.setdefault(of, meant) != meant:
            raise InputError(f"method names two methods of a {of}: {given[of]} and {meant}")
    law = given.pop("law", "multinomial")
    chosen = test or ("z" if weighted else "fisher")
    words_of_test(chosen)
    if weighted and chosen not in ("z", "chi-squared"):
        raise InputError(
            f'test is "{chosen}", which counts rows, and these have weights; accepted: z, '
            "chi-squared"
        )
    return law, Methods(**given, test=chosen)


def metric_table(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    control_features: Any = None,
    metrics: Any = None,
    sample_weight: Any = None,
    confidence: float = 0.95,
    n_boot: int = 1000,
    method: str = "multinomial",
    random_state: int = 0,
) -> MetricTable:
    """Count the rows once and have what Fairlearn's ``MetricFrame`` has, without comparisons.

    The arguments are those of
    :func:`~hitl_audit.fairness.group_metrics.group_metrics`; ``method`` is
    ``"multinomial"`` or ``"replay"``.

    Raises:
        InputError: anything that cannot be counted, in words.
    """
    accept("method", method, _LAWS)
    check_settings(confidence=confidence, n_boot=n_boot)
    if not isinstance(random_state, int | np.integer) or random_state < 0:
        raise InputError(f"random_state is {random_state!r}; accepted: a whole number, 0 or more")
    truth, decision = binary_labels(y_true, "y_true"), binary_labels(y_pred, "y_pred")
    rows = len(truth)
    if rows != len(decision):
        raise InputError(f"y_pred: got {len(decision)} rows, expected {rows} as in y_true")
    counted, own = split_metrics(metrics)
    weight = weights_of(sample_weight, rows)
    sensitive = encode(sensitive_features, rows)
    controls: tuple[Feature, ...] = ()
    if control_features is not None:
        controls = encode(control_features, rows, "control_features")
    shared = [f.name for f in controls if f.name in {s.name for s in sensitive}]
    if shared:
        raise InputError(
            f"control_features has {', '.join(shared)}, which sensitive_features has too; "
            "accepted: different names"
        )
    features = (*controls, *sensitive)
    counts, cell, groups = count_cells(truth, decision, features)
    size = 4 * len(groups)
    weights = None
    if weight is not None:
        sums, squares = (
            np.bincount(cell, weights=w, minlength=size).reshape(-1, 4).T
            for w in (weight, weight**2)
        )
        weights = Weights(sums, squares)
    return MetricTable(
        axes=tuple(map(Axis.of, features)),
        controls=len(controls),
        groups=groups,
        table=counts.array(),
        weights=weights,
        metrics=counted,
        law=Law(method, n_boot, int(random_state), float(confidence)),
        rows=Rows(cell, weight) if weight is not None or method == "replay" else None,
        own=OwnMetrics(own, truth, decision, weight, controls, sensitive) if own else None,
    )


def named_reference(counts: GroupCounts, reference: Mapping[str, Any]) -> dict[str, str]:
    """Attribute → reference group, as named.

    Raises:
        InputError: an unknown attribute or group, or the group of missing values.
    """
    if not isinstance(reference, Mapping):
        raise InputError(
            f"reference is {reference!r}; expected a mapping from attributes to groups"
        )
    for attribute, group in reference.items():
        accept("reference", attribute, counts.attributes)
        known = [name for (name,) in counts.by([attribute]).groups if name != UNKNOWN]
        accept(f"reference of {attribute}", str(group), known)
    return {attribute: str(group) for attribute, group in reference.items()}
