"""What the fairness panel is about: scores, outcomes and groups, and what the plan says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError
from hitl_audit.fairness.at_threshold import ScoredGroups
from hitl_audit.fairness.rates import METRICS
from hitl_audit.findings import Criterion
from hitl_audit.groups import TIMES, UNKNOWN, group_name
from hitl_audit.inputs import AuditInputs
from hitl_audit.plan import AuditPlan
from hitl_audit.thresholds import ThresholdSweep, sweep_thresholds

__all__ = ["FairnessSetting", "Place"]

By = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class FairnessSetting:
    """The data of a fairness panel, and what was promised about them.

    Attributes:
        y_true: (rows,) 0 or 1, where 1 is the favorable outcome.
        y_score: (rows,) finite numbers; a higher one is more favorable.
        sensitive: rows × attributes, groups as text.
        threshold: the plan's: favorable if and only if score ≥ threshold.
        criteria: the plan's promises.
        metrics: what may be looked at, the plan's first.
        intersections: the combinations of attributes that are compared by.
        reference: attribute → reference group; default the best-off one.
        confidence: of every interval.
        min_group: groups with fewer rows decide nothing.
        cost_ratio: what a false approval costs, in false denials.
        labels: attribute → plain words.
        decisions: words for a favorable and an unfavorable decision.
        scored: the model gives scores; ``False`` if it only decides.
    """

    y_true: npt.NDArray[np.int64]
    y_score: npt.NDArray[np.float64]
    sensitive: pd.DataFrame
    threshold: float
    criteria: tuple[Criterion, ...] = ()
    metrics: tuple[str, ...] = tuple(name for name in METRICS if name != "count")
    intersections: tuple[By, ...] = ()
    reference: Mapping[str, str] = field(default_factory=dict)
    confidence: float = 0.95
    min_group: int = 30
    cost_ratio: float = 1.0
    labels: Mapping[str, str] = field(default_factory=dict)
    decisions: tuple[str, str] = ("Favorable", "Unfavorable")
    scored: bool = True

    @classmethod
    def of(cls, inputs: AuditInputs, plan: AuditPlan) -> FairnessSetting:
        """What a plan says about the inputs of its audit."""
        names = tuple(map(str, inputs.sensitive.columns))
        criteria = tuple(section.criterion for section in plan.criteria)
        asked = [*plan.fairness.metrics, *(c.metric for c in criteria)]
        return cls(
            y_true=inputs.y_true,
            y_score=inputs.y_score,
            sensitive=inputs.sensitive,
            threshold=plan.model.threshold,
            criteria=criteria,
            metrics=tuple(dict.fromkeys([*asked, *cls.metrics])),
            intersections=plan.intersections,
            reference=dict(plan.data.reference),
            confidence=plan.fairness.confidence,
            min_group=plan.fairness.min_group,
            cost_ratio=plan.thresholds.cost_ratio,
            labels={name: plan.label(name) for name in names},
            decisions=(plan.audit.favorable_label, plan.audit.unfavorable_label),
            scored=plan.model.output == "probability",
        )

    @cached_property
    def groups(self) -> ScoredGroups:
        """The scores of every combination of groups, sorted.

        Raises:
            InputError: there are no sensitive attributes.
        """
        if not self.sensitive.shape[1]:
            raise InputError("the audit has no sensitive attributes; expected at least one")
        return ScoredGroups.of(self.y_true, self.y_score, self.sensitive)

    @property
    def choices(self) -> tuple[By, ...]:
        """What can be compared by: single attributes, intersections, and all rows together."""
        singles = tuple((str(name),) for name in self.sensitive.columns)
        promised = tuple(c.by for c in self.criteria if len(c.by) > 1)
        return tuple(dict.fromkeys((*singles, *self.intersections, *promised, ())))

    def promises(
        self, by: By, metric: str, compare: Literal["ratio", "difference", "value"]
    ) -> tuple[Criterion, ...]:
        """The plan's promises about exactly this."""
        return tuple(
            c for c in self.criteria if (c.by, c.metric, c.compare) == (by, metric, compare)
        )

    def words(self, by: By) -> str:
        """What people call an attribute or an intersection."""
        return TIMES.join(self.labels.get(name, name) for name in by) or "All rows together"

    def names(self, by: By) -> tuple[str, ...]:
        """The groups of an attribute or an intersection, in the order of its rates."""
        return tuple(group_name(group) for group in self.groups.counts(0.0).by(by).groups if group)

    def sweep(self, by: By, cost_ratio: float) -> ThresholdSweep:
        """The thresholds that each rule picks for the groups of ``by``.

        Groups in which any attribute is unknown are not equalized.
        """
        people: Any = None
        if by:
            parts = self.sensitive[list(by)].astype(str)
            names = parts.iloc[:, 0]
            for column in parts.columns[1:]:
                names = names + TIMES + parts[column]
            unknown = (parts == UNKNOWN).any(axis=1)
            people = pd.DataFrame({group_name(by): names.where(~unknown, UNKNOWN).to_numpy()})
        return sweep_thresholds(
            self.y_true,
            self.y_score,
            sensitive_features=people,
            cost_ratio=cost_ratio,
            confidence=self.confidence,
            min_group=self.min_group,
            n_points=2,
        )


@dataclass(frozen=True)
class Place:
    """Where somebody stands in a fairness panel.

    Attributes:
        by, metric, compare: what is looked at.
        threshold: of everybody, or of the groups without one of their own.
        own: group → its threshold; () while everybody meets the same.
        grouped_by: whose groups these are.
        cost_ratio: what a false approval costs, in false denials.
        rule: the rule that chose the thresholds, or ``""``.
    """

    by: By
    metric: str
    compare: Literal["ratio", "difference"]
    threshold: float
    own: tuple[tuple[str, float], ...] = ()
    grouped_by: By = ()
    cost_ratio: float = 1.0
    rule: str = ""

    @property
    def per_group(self) -> bool:
        """Do groups meet thresholds of their own?"""
        return bool(self.own)

    @classmethod
    def first(cls, setting: FairnessSetting) -> Place:
        """The first promise of the plan, or the first attribute and metric."""
        promise = next((c for c in setting.criteria if c.by and c.compare != "value"), None)
        return cls(
            by=promise.by if promise else setting.choices[0],
            metric=promise.metric if promise else setting.metrics[0],
            compare="difference" if promise and promise.compare == "difference" else "ratio",
            threshold=setting.threshold,
            cost_ratio=setting.cost_ratio,
        )
