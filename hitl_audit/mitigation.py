"""What mitigation would do: methods fitted on the training rows, judged on one untouched holdout.

Every method starts from the same estimator and the same training rows, and is
compared with the unmitigated estimator on the same holdout rows, so that the
differences are paired.
"""

from __future__ import annotations

import html
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import Chart, Series, number, to_plotly
from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.findings import metric_words
from hitl_audit.groups import binary_labels
from hitl_audit.mitigators.methods import (
    CONSTRAINTS,
    METHODS,
    RUN,
    Decider,
    Work,
    reweighing_weights,
    weight_name,
)
from hitl_audit.mitigators.paired import (
    MEASURES,
    Groups,
    PairedMeasure,
    compare_decisions,
    joined_groups,
)

__all__ = [
    "CONSTRAINTS",
    "METHODS",
    "MitigationComparison",
    "MitigationOutcome",
    "mitigate",
    "reweighing_weights",
]

Labels = npt.NDArray[np.int8]

_TAKES_CONSTRAINT = ("exponentiated_gradient", "grid_search", "threshold_optimizer")
_DEPRECATIONS = (DeprecationWarning, FutureWarning, PendingDeprecationWarning)
_RANDOMIZED = ("exponentiated_gradient", "threshold_optimizer")
_NEEDS_ATTRIBUTE = {
    "threshold_optimizer": (
        "needs the protected attribute of every case when it decides, and holds groups to "
        "different thresholds: group-specific thresholds may be unlawful"
    ),
    "correlation_remover": (
        "needs the protected attribute of every case when it decides, which may be unlawful"
    ),
}


@dataclass(frozen=True)
class MitigationOutcome:
    """What became of one method.

    Attributes:
        method, title: its name, and how it is titled.
        status: ``"compared"`` or ``"could not run"``.
        reason: why it could not run, or ``""``.
        constraint: what it aimed at; ``""`` for a method that takes no constraint.
        needs_attribute: the protected attribute is needed to decide a case.
        randomized: decisions are drawn at random (with the seed that was given).
        redrawn: share of the holdout that a second draw decides otherwise.
        warning: why this must not simply be used, or ``""``.
        measures: before and after on the holdout; () if it could not run.
        notes: what the libraries warned of while it ran.
    """

    method: str
    title: str
    status: Literal["compared", "could not run"]
    reason: str
    constraint: str
    needs_attribute: bool
    randomized: bool
    redrawn: float | None
    warning: str
    measures: tuple[PairedMeasure, ...]
    notes: tuple[str, ...]

    def measure(self, metric: str) -> PairedMeasure:
        """One measure, by its name.

        Raises:
            InputError: an unknown measure, or a method that could not run.
        """
        _accept("metric", metric, MEASURES)
        if not self.measures:
            raise InputError(f"{self.method} could not run: {self.reason}")
        return self.measures[MEASURES.index(metric)]


@dataclass(frozen=True)
class MitigationComparison:
    """Methods side by side, each against the unmitigated estimator.

    Attributes:
        constraint: what the methods that take one aimed at.
        threshold: favorable if and only if the score is at least this.
        n_train, n_holdout: rows fitted on, and rows judged on.
        groups: the groups compared on the holdout.
        confidence: of every interval.
        random_state: seed of randomized methods and of the bootstrap.
        outcomes: one per method, in the order asked for.
        notes: what a reader must know about these numbers.
        decisions: name → (rows,) decisions on the holdout, ``"unmitigated"``
            first: candidates for :func:`hitl_audit.alternatives.frontier`.
    """

    constraint: str
    threshold: float
    n_train: int
    n_holdout: int
    groups: tuple[str, ...]
    confidence: float
    random_state: int
    outcomes: tuple[MitigationOutcome, ...]
    notes: tuple[str, ...]
    decisions: Mapping[str, Labels] = field(repr=False, compare=False)

    def outcome(self, method: str) -> MitigationOutcome:
        """What became of one method.

        Raises:
            InputError: a method that was not asked for.
        """
        names = [one.method for one in self.outcomes]
        _accept("method", method, names)
        return self.outcomes[names.index(method)]

    def frame(self) -> pd.DataFrame:
        """One row per method and measure; one row for a method that could not run."""
        rows: list[dict[str, Any]] = []
        for one in self.outcomes:
            head = {
                "method": one.method,
                "status": one.status,
                "needs_attribute": one.needs_attribute,
                "randomized": one.randomized,
            }
            tail = {"warning": one.warning, "reason": one.reason}
            rows += [head | asdict(measure) | tail for measure in one.measures]
            if not one.measures:
                rows.append(head | tail)
        return pd.DataFrame(rows)

    def chart(self, metric: str = "selection_rate_gap") -> Chart:
        """The change of one measure under each method.

        Raises:
            InputError: an unknown measure.
        """
        _accept("metric", metric, MEASURES)
        ran = [one for one in self.outcomes if one.measures]
        name = metric_words(metric)
        said = f"Change of the {name} on the holdout (n = {self.n_holdout}) under {len(ran)} ways "
        said += "to mitigate, after − before."
        lost = [one.title for one in self.outcomes if not one.measures]
        if lost:
            said += f" Could not run: {', '.join(lost)}."
        marked = [one.title for one in ran if one.warning]
        if marked:
            said += f" May be unlawful, because the attribute decides: {', '.join(marked)}."
        measured = [one.measure(metric) for one in ran]
        values = "; ".join(
            f"{one.title} {_span(m.difference, m.low, m.high)}, from {_text(m.before)} to "
            f"{_text(m.after)}"
            for one, m in zip(ran, measured, strict=True)
        )
        return Chart(
            kind="intervals",
            message=said,
            alt=f"{said} {values}.",
            value_label=f"Change of the {name}, with {self.confidence * 100:g}% paired interval",
            series=(
                Series(
                    name="change",
                    x=tuple(one.title + (" *" if one.warning else "") for one in ran),
                    y=tuple(m.difference for m in measured),
                    low=tuple(m.low for m in measured),
                    high=tuple(m.high for m in measured),
                    notes=tuple(f"{_text(m.before)} → {_text(m.after)}" for m in measured),
                ),
            ),
            thresholds=((0.0, "no change"),),
        )

    def plot(self, metric: str = "selection_rate_gap") -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart(metric))

    def _repr_html_(self) -> str:
        table = self.frame().to_html(max_rows=60, float_format="{:.3f}".format, na_rep="–")
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return f"{table}<ul>{notes}</ul>"


def mitigate(
    estimator: Any,
    X_train: Any,
    y_train: Any,
    X_holdout: Any,
    y_holdout: Any,
    *,
    sensitive_train: Any,
    sensitive_holdout: Any,
    methods: Sequence[str] = tuple(METHODS),
    constraint: str = "demographic_parity",
    threshold: float = 0.5,
    grid_size: int = 10,
    max_iter: int = 50,
    min_group: int = 30,
    confidence: float = 0.95,
    n_boot: int = 1000,
    random_state: int = 0,
) -> MitigationComparison:
    """Fit every method on the training rows and judge it on the same holdout.

    Args:
        estimator: a scikit-learn classifier, or a Pipeline that ends in one;
            it is cloned, never changed. Sample weights go to its last step.
        X_train, X_holdout: as the estimator takes them.
        y_train, y_holdout: (rows,) 0 or 1, where 1 is the favorable outcome.
        sensitive_train, sensitive_holdout: as in ``group_metrics``; several
            attributes are joined to their intersections.
        methods: some of :data:`METHODS`.
        constraint: one of :data:`CONSTRAINTS`.
        threshold: favorable if and only if the score is at least this; the
            threshold optimizer chooses its own.
        grid_size: models that grid search fits.
        max_iter: most rounds of exponentiated gradient.
        min_group: smaller groups, and rows of unknown group, enter the
            accuracy but no gap; training uses all rows.
        confidence, n_boot: of the paired intervals.
        random_state: seed of randomized decisions and of the bootstrap.

    Raises:
        InputError: lengths that differ, labels other than 0 and 1, an unknown
            method or constraint, an impossible setting, or an estimator that
            cannot be fitted at all. A method that cannot run is no error but
            an outcome, with its reason.
    """
    truth = binary_labels(y_holdout, "y_holdout")
    labels = binary_labels(y_train, "y_train")
    for name in methods:
        _accept("methods", name, METHODS)
    _accept("constraint", constraint, CONSTRAINTS)
    if not 0 <= threshold <= 1:
        raise InputError(f"threshold is {threshold}; accepted: a number from 0 to 1")
    for setting, value in (
        ("grid_size", grid_size),
        ("max_iter", max_iter),
        ("min_group", min_group),
    ):
        if value < 1:
            raise InputError(f"{setting} is {value}; accepted: 1 or more")
    for name, X, rows in (("X_train", X_train, labels), ("X_holdout", X_holdout, truth)):
        if len(X) != len(rows):
            raise InputError(f"{name} has {len(X)} rows, its labels have {len(rows)}")
    train = joined_groups(sensitive_train, len(labels), min_group=1)
    holdout = joined_groups(sensitive_holdout, len(truth), min_group=min_group)
    decider = Decider(estimator, threshold, weight_name(estimator) or "")
    try:
        decider.fit(X_train, labels)
        before = decider.predict(X_holdout)
    except Exception as error:
        raise InputError(f"the estimator cannot be fitted and applied: {_first(error)}") from error
    work = Work(
        decider, X_train, labels, train, X_holdout, holdout, constraint, grid_size, max_iter
    )
    outcomes, decisions = [], {"unmitigated": before}
    for method in dict.fromkeys(methods):
        reason, redrawn = "", None
        measures: tuple[PairedMeasure, ...] = ()
        # What the libraries warn of belongs into the outcome, beside its numbers.
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                decide = RUN[method](work)
                after = np.asarray(decide(random_state), dtype=np.int8)
                if method in _RANDOMIZED:
                    redrawn = float(np.mean(after != decide(random_state + 1)))
            except Exception as error:
                reason = _first(error)
        # Deprecations concern whoever maintains the libraries, not these numbers.
        said = [w for w in caught if not issubclass(w.category, _DEPRECATIONS)]
        notes = tuple(dict.fromkeys(str(w.message).splitlines()[0] for w in said))
        if not reason:
            decisions[method] = after
            measures = compare_decisions(
                truth, before, after, holdout,
                confidence=confidence, n_boot=n_boot, random_state=random_state,
            )  # fmt: skip
        outcomes.append(
            MitigationOutcome(
                method=method,
                title=METHODS[method],
                status="could not run" if reason else "compared",
                reason=reason,
                constraint=constraint if method in _TAKES_CONSTRAINT else "",
                needs_attribute=method in _NEEDS_ATTRIBUTE,
                randomized=method in _RANDOMIZED,
                redrawn=redrawn,
                warning=_NEEDS_ATTRIBUTE.get(method, ""),
                measures=measures,
                notes=notes,
            )
        )
    compared = tuple(name for name, yes in zip(holdout.names, holdout.compared, strict=True) if yes)
    return MitigationComparison(
        constraint=constraint,
        threshold=threshold,
        n_train=len(labels),
        n_holdout=len(truth),
        groups=compared,
        confidence=confidence,
        random_state=random_state,
        outcomes=tuple(outcomes),
        notes=_notes(outcomes, holdout, min_group, random_state),
        decisions=decisions,
    )


def _notes(
    outcomes: Sequence[MitigationOutcome], holdout: Groups, min_group: int, random_state: int
) -> tuple[str, ...]:
    notes = ["All methods were fitted on the training rows and judged on the same holdout rows."]
    if len(outcomes) > 1:
        notes.append(
            "Intervals are for one method each; the best of several looks better than it is."
        )
    for one in outcomes:
        if one.status == "could not run":
            notes.append(f"{one.title} could not run: {one.reason}.")
            continue
        if one.warning:
            notes.append(f"{one.title} {one.warning}.")
        if one.randomized and one.redrawn is not None:
            notes.append(
                f"{one.title} decides at random; shown is one draw, seed {random_state}. Another "
                f"draw decides {100 * one.redrawn:.1f}% of the holdout otherwise."
            )
    if holdout.left_out:
        notes.append(
            f"Not in any gap, because unknown or fewer than {min_group} rows in the holdout: "
            f"{', '.join(holdout.left_out)}."
        )
    if holdout.compared.sum() < 2:
        notes.append("Fewer than two groups are large enough, so the gaps say nothing.")
    return tuple(notes)


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    said = lines[0] if lines else "no message"
    return (said if isinstance(error, InputError) else f"{type(error).__name__}: {said}").rstrip(
        "."
    )


def _text(value: float | None) -> str:
    return "–" if value is None else number(value)


def _span(value: float | None, low: float | None, high: float | None) -> str:
    return f"{_text(value)} ({_text(low)} to {_text(high)})"


def _accept(field: str, found: str, accepted: Any) -> None:
    names = tuple(accepted)
    if found not in names:
        hint = did_you_mean(found, names)
        raise InputError(f'{field} is "{found}"; accepted: {", ".join(names)}{hint}')
