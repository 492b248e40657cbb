"""What the what-if panel shows, as plain words and numbers. Pure.

On a control, a case whose answer is shown reversed, everything that is shown is
reversed in the same way: otherwise the first edit would give the control away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hitl_audit.review.revealed import Revealed, mirrored, reversed_answer
from hitl_audit.what_if.answers import Answer, Contributions, change_words
from hitl_audit.what_if.controls import Control
from hitl_audit.what_if.counterfactuals import CounterfactualSet
from hitl_audit.what_if.counterparts import Counterpart
from hitl_audit.what_if.edits import Change, EditHistory, Value
from hitl_audit.what_if.engine import WhatIf
from hitl_audit.what_if.protected import FlippedCase, ProtectedFlip
from hitl_audit.what_if.response import ResponseCurve

__all__ = ["Shown"]

_DIFFERENCES = 6


@dataclass(frozen=True, eq=False)
class Shown:
    """How one audit's what-ifs are put for people.

    Attributes:
        engine: the model and its people.
        labels: words for a favorable and an unfavorable decision.
        groups: titles and features, in the order of the page.
        reversed: the case is a control: its answers are shown reversed.
        names_people: whether other people of the data are named.
    """

    engine: WhatIf
    labels: tuple[str, str]
    groups: tuple[tuple[str, tuple[str, ...]], ...]
    reversed: bool = False
    names_people: bool = True

    # Numbers

    @property
    def threshold(self) -> float | None:
        """Of the decision."""
        return self.engine.predictor.threshold

    def score(self, score: float) -> float:
        """A score as it is shown."""
        if not self.reversed or self.threshold is None:
            return score
        return mirrored(score, self.threshold)

    def decision(self, shown: float) -> str:
        """The decision at a score as it is shown, in the plan's words."""
        if self.threshold is None:
            return ""
        return self.labels[0] if shown >= self.threshold else self.labels[1]

    def number(self, shown: float) -> str:
        """A score as it is shown: ``88.0 of 100``."""
        if self.engine.predictor.output.scale == "probability":
            return f"{shown * 100:.1f} of 100"
        return f"{shown:.4g}".replace("-", "−")

    def moved(self, change: float, edits: int) -> str:
        """``your 2 edits moved it −2.2 points``."""
        return change_words(change, edits, scale=self.engine.predictor.output.scale)

    def level(self, shown: float) -> float:
        """A score as a place on the gauge, 0 to 1."""
        if self.engine.predictor.output.scale == "probability":
            return shown
        scores = self.engine.scores
        low, high = float(scores.min()), float(scores.max())
        return min(1.0, max(0.0, (shown - low) / (high - low))) if high > low else 0.5

    # Values

    def place(self, feature: str, value: Value) -> Any:
        """A value as the page's control has it: a number, a choice's place, or nothing."""
        control = self.engine.controls[feature]
        if value is None or control.is_number:
            return value
        for place, known in enumerate(control.categories):
            if type(known) is type(value) and known == value:
                return place
        return "start"  # not a choice, but where the case is

    def value(self, feature: str, place: Any, history: EditHistory) -> Value:
        """The value of what the page's control says."""
        control = self.engine.controls[feature]
        if control.is_number or place is None or place == "":
            return place if place != "" else None
        if place == "start":
            return history.start_values[feature]
        if isinstance(place, int) and 0 <= place < len(control.categories):
            return control.categories[place]
        return str(place)

    # What the page gets

    def schema(self, history: EditHistory) -> dict[str, Any]:
        """Everything about the case that edits do not change."""
        start = history.start_values
        return {
            "case": history.case,
            "groups": [
                {"title": title, "features": [self._control(f, start[f]) for f in features]}
                for title, features in self.groups
            ],
            "threshold": None if self.threshold is None else self.level(self.threshold),
            "decides": self.threshold is not None,
            "start": self.number(self.score(self.engine.scored(history.reset()))),
        }

    def _control(self, feature: str, start: Value) -> dict[str, Any]:
        control = self.engine.controls[feature]
        ends = control.slider
        notes = [_one_way(control, start)]
        return {
            "feature": feature,
            "label": control.label,
            "kind": "number" if control.is_number else "choice",
            "unit": control.unit,
            "low": ends[0] if ends else None,
            "high": ends[1] if ends else None,
            "step": control.step,
            "decimals": control.decimals,
            "choices": [self.engine.words(feature, c) for c in control.categories],
            "missing": control.allows_missing or start is None,
            "locked": control.why_locked,
            "protected": control.protected,
            "note": " ".join(note for note in notes if note),
            "start": self.place(feature, start),
            "was": self.engine.words(feature, start),
        }

    def answer(self, history: EditHistory, answer: Answer) -> dict[str, Any]:
        """The model's answer to the edited case."""
        before, after = self.score(answer.start_prediction), self.score(answer.prediction)
        follows = self.engine.derived.how
        edits = sum(change.feature not in follows for change in answer.changed)
        turned = self.decision(before) != self.decision(after)
        return {
            "values": {c.feature: self.place(c.feature, c.after) for c in answer.changed},
            "words": {c.feature: self.engine.words(c.feature, c.after) for c in answer.changed},
            "edits": edits,
            "level": self.level(after),
            "start_level": self.level(before),
            "score": self.number(after),
            "decision": self.decision(after),
            "turned": turned,
            "moved": self.moved(after - before, edits),
            "likeness": answer.distance.likeness,
            "distance": "There are people like this in the data."
            if answer.distance.likeness == "like others"
            else answer.distance.words,
            "bars": self.bars(answer.contributions, before, after),
            "undo": history.can_undo,
            "redo": history.can_redo,
        }

    def bars(
        self, contributions: Contributions | None, before: float, after: float
    ) -> dict[str, Any] | None:
        """Contributions before and after, on the scale of the score."""
        if contributions is None:
            return None
        rows = contributions.rows
        pairs = [(row.before, row.after) for row in rows]
        if self.reversed:
            old = self._reversed([b for b, _ in pairs], contributions.base, before)
            new = self._reversed([a for _, a in pairs], contributions.base, after)
            pairs = list(zip(old, new, strict=True))
        unit = {"probability": " points", "log-odds": " log-odds"}.get(contributions.scale, "")
        return {
            "features": [row.feature for row in rows],
            "labels": [row.label for row in rows],
            "values": [row.value_words for row in rows],
            "before": [b for b, _ in pairs],
            "after": [a for _, a in pairs],
            "unit": unit,
            "factor": 100 if contributions.scale == "probability" else 1,
            "words": contributions.words,
            "exact": contributions.exact,
        }

    def _reversed(self, values: Sequence[float], base: float, shown: float) -> list[float]:
        """The contributions of a reversed answer add up to the score that is shown."""
        threshold = self.threshold or 0.0
        told = Revealed(
            "favorable" if mirrored(shown, threshold) >= threshold else "unfavorable",
            mirrored(shown, threshold),
            threshold,
            tuple(("", "", v) for v in values),
            base=base,
        )
        return [number for _, _, number in reversed_answer(told).contributions]

    def curve(self, curve: ResponseCurve) -> dict[str, Any]:
        """The response of the score to one feature."""
        points = [p for p in curve.points if p.value is not None]
        values = [p.value for p in points]

        def levels(scores: Sequence[float | None]) -> list[float | None]:
            return [None if s is None else self.level(self.score(s)) for s in scores]

        lows, highs = levels([p.low for p in points]), levels([p.high for p in points])
        if self.reversed:
            lows, highs = highs, lows
        seen = [p for p in points if p.prediction is not None]
        told = ""
        if seen:
            ordered = sorted(seen, key=lambda p: self.score(p.prediction or 0.0))
            low, high = ordered[0], ordered[-1]
            if low.prediction == high.prediction:
                told = f"{curve.label} alone does not move this case’s score."
            else:
                told = (
                    f"{curve.label} alone takes this case from "
                    f"{self.number(self.score(low.prediction or 0.0))} ({low.words}) to "
                    f"{self.number(self.score(high.prediction or 0.0))} ({high.words})."
                )
        return {
            "feature": curve.feature,
            "label": curve.label,
            "numeric": curve.numeric,
            "x": [float(v) for v in values] if curve.numeric else list(range(len(values))),  # type: ignore[arg-type]
            "names": [p.words for p in points],
            "case": levels([p.prediction for p in points]),
            "average": levels([p.average for p in points]),
            "low": lows,
            "high": highs,
            "near": [p.n_near for p in points],
            "at": self.place(curve.feature, curve.value),
            "level": self.level(self.score(curve.prediction)),
            "start_at": self.place(curve.feature, curve.start_value),
            "start_level": self.level(self.score(curve.start_prediction)),
            "people": curve.people,
            "words": told,
        }

    def counterpart(self, found: Counterpart) -> dict[str, Any]:
        """A real person with the other outcome."""
        if found.case is None or found.prediction is None:
            return {"words": "Nobody in the data gets the other decision.", "rows": [], "more": 0}
        shown = self.score(found.prediction)
        who = f"Case {found.case}" if self.names_people else "The most similar real person"
        return {
            "words": f"{who} gets “{self.decision(shown)}” ({self.number(shown)}); the nearest of "
            f"{found.people:,} people with the other decision.",
            "rows": [
                [d.label, d.here_words, d.there_words] for d in found.differences[:_DIFFERENCES]
            ],
            "more": max(0, len(found.differences) - _DIFFERENCES),
        }

    def ways(self, found: CounterfactualSet) -> dict[str, Any]:
        """Ways to the other decision."""
        ended = "" if found.complete else " The time ran out; there may be smaller ones."
        count = len(found.counterfactuals)
        words = (
            f"{count} {'way' if count == 1 else 'ways'} to the other decision, of "
            f"{found.tried:,} versions tried."
            if count
            else f"No way to the other decision among {found.tried:,} versions tried."
        )
        return {
            "words": words + ended,
            "rows": [
                {
                    "changes": [self._change(c) for c in way.changes],
                    "follows": [self._change(c) for c in way.follows],
                    "score": self.number(self.score(way.prediction)),
                    "decision": self.decision(self.score(way.prediction)),
                    "likeness": way.likeness,
                }
                for way in found.counterfactuals
            ],
        }

    def flip(self, label: str, flip: ProtectedFlip) -> dict[str, Any]:
        """The case as a member of each other group."""
        first = "" if flip.is_input else f"{label} is not an input: the model is not given it. "
        proxies = ", ".join(f"{p.label} ({p.measure} {p.association:.2f})" for p in flip.proxies)
        goes = (
            f"What goes with it in these data: {proxies}."
            if proxies
            else "No feature goes with it noticeably."
        )
        return {
            "words": first + goes,
            "alone": [self._flipped(f) for f in flip.alone],
            "together": [self._flipped(f) for f in flip.with_proxies],
            "notes": list(flip.notes),
        }

    def _flipped(self, flipped: FlippedCase) -> dict[str, Any]:
        after = self.score(flipped.prediction)
        before = self.score(flipped.prediction - flipped.change)
        turned = self.decision(before) != self.decision(after)
        moved = self.moved(after - before, 1).removeprefix("your edit moved it ")
        return {
            "to": flipped.to,
            "what": flipped.what,
            "changes": [self._change(c) for c in flipped.changes],
            "score": self.number(after),
            "moved": moved,
            "turned": turned,
        }

    def _change(self, change: Change) -> list[str]:
        words = self.engine.words
        return [
            self.engine.label(change.feature),
            words(change.feature, change.before),
            words(change.feature, change.after),
        ]

    def compare(self, kept: Mapping[str, EditHistory]) -> dict[str, Any]:
        """Versions of the case side by side."""
        found = self.engine.compare(kept)
        features: dict[str, Value] = {}
        for scenario in found.scenarios:
            features |= {c.feature: c.before for c in scenario.changed}
        columns = []
        for scenario in found.scenarios:
            now = {**features, **{c.feature: c.after for c in scenario.changed}}
            shown = self.score(scenario.prediction)
            columns.append(
                {
                    "name": scenario.name,
                    "score": self.number(shown),
                    "decision": self.decision(shown),
                    "likeness": scenario.likeness,
                    "values": [self.engine.words(f, now[f]) for f in features],
                    "changed": [now[f] != features[f] for f in features],
                }
            )
        return {"rows": [self.engine.label(f) for f in features], "columns": columns}


def _one_way(control: Control, start: Value) -> str:
    if control.direction is None or start is None:
        return ""
    return f"Can only go {control.direction}."
