"""What the model answers to an edited case, as it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from hitl_audit.explanations.model_output import Scale
from hitl_audit.what_if.distance import Distance
from hitl_audit.what_if.edits import Change, Value

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Answer",
    "Comparison",
    "Contribution",
    "Contributions",
    "Scenario",
    "change_words",
    "joined",
]


@dataclass(frozen=True)
class Contribution:
    """What one feature contributes to the prediction, before the edits and after.

    Attributes:
        feature, label: the feature.
        value, value_words: its value after the edits.
        before, after: SHAP values of the case as it is, and as edited.
    """

    feature: str
    label: str
    value: Value
    value_words: str
    before: float
    after: float


@dataclass(frozen=True)
class Contributions:
    """SHAP values before and after, on the scale of the prediction.

    Attributes:
        rows: one per feature, in the data's order.
        base: the mean prediction over the background: base + Σ = prediction.
        scale, algorithm, exact, notes: as in an ``Explanation``.
        words: what these numbers are, in a sentence.
    """

    rows: tuple[Contribution, ...]
    base: float
    scale: Scale
    algorithm: str
    exact: bool
    notes: tuple[str, ...]
    words: str

    def largest(self, k: int) -> tuple[Contribution, ...]:
        """The k features that matter most, before or after."""
        order = sorted(self.rows, key=lambda c: -max(abs(c.before), abs(c.after)))
        return tuple(order[:k])

    def frame(self) -> pd.DataFrame:
        """One row per feature: feature, label, value, value_words, before, after."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows])


@dataclass(frozen=True)
class Answer:
    """The model's answer to a case with its edits.

    Attributes:
        case: the case.
        revision: of the history that was answered; an answer to a smaller one is stale.
        prediction, start_prediction: scores after the edits and before.
        change: their difference.
        favorable, start_favorable: decisions; ``None`` without a threshold.
        changed: what differs from the case as it is.
        contributions: before and after; ``None`` where they take longer
            (``WhatIf.explain`` works them out).
        distance: of the edited row from the people in the data.
        words: ``88.0% chance of approval``.
        change_words: ``your 2 edits moved it −2.2 points``.
    """

    case: str
    revision: int
    prediction: float
    start_prediction: float
    change: float
    favorable: bool | None
    start_favorable: bool | None
    changed: tuple[Change, ...]
    contributions: Contributions | None
    distance: Distance
    words: str
    change_words: str

    @property
    def flipped(self) -> bool:
        """Whether the edits change the decision."""
        return self.favorable != self.start_favorable


@dataclass(frozen=True)
class Scenario:
    """One of several versions of a case, side by side.

    Attributes:
        name: what it is called.
        prediction, change, favorable: as in :class:`Answer`.
        changed: what differs from the case as it is.
        likeness: as in :class:`~hitl_audit.what_if.distance.Distance`.
        words: as in :class:`Answer`.
    """

    name: str
    prediction: float
    change: float
    favorable: bool | None
    changed: tuple[Change, ...]
    likeness: Literal["like others", "unlike most", "no one like this"]
    words: str


@dataclass(frozen=True)
class Comparison:
    """Several versions of one case, the case as it is first."""

    case: str
    scenarios: tuple[Scenario, ...]

    def frame(self) -> pd.DataFrame:
        """One row per scenario, one column per feature that differs in some of them."""
        import pandas as pd

        start = {c.feature: c.before for s in self.scenarios for c in s.changed}
        lines = []
        for scenario in self.scenarios:
            values = start | {c.feature: c.after for c in scenario.changed}
            line = {
                "scenario": scenario.name,
                "prediction": scenario.prediction,
                "change": scenario.change,
                "favorable": scenario.favorable,
                "likeness": scenario.likeness,
            }
            lines.append(line | values)
        return pd.DataFrame(lines)


def change_words(change: float, edits: int, *, scale: Scale) -> str:
    """``your 2 edits moved it −2.2 points``; an edit is acknowledged even where nothing moves."""
    if edits == 0:
        return "as it is"
    if scale == "probability":
        amount = f"{100 * change:+.1f} points"
        if amount in ("+0.0 points", "-0.0 points"):
            amount = "+0.0 points" if change == 0 else "by less than 0.1 points"
    else:
        amount = f"{change:+.3g}"
    whose = "your edit" if edits == 1 else f"your {edits} edits"
    return f"{whose} moved it {amount}".replace("-", "−")


def joined(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
