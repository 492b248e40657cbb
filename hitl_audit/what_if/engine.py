"""The what-if engine: one model and its people, prepared so that every edit is answered at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.explanations.model_output import Scale, resolve_output
from hitl_audit.explanations.raw_features import align, raw_rows, sample_rows
from hitl_audit.explanations.shapley.attribution import NotApplicableError
from hitl_audit.explanations.shapley.prepared import PreparedAttributions
from hitl_audit.what_if.answers import (
    Answer,
    Comparison,
    Contribution,
    Contributions,
    Scenario,
    change_words,
)
from hitl_audit.what_if.contributions import Fresh, fast_attributions, slow_attributions
from hitl_audit.what_if.controls import Constraint, Control
from hitl_audit.what_if.controls_from_data import controls_of
from hitl_audit.what_if.derived import DerivedColumns, read_derivations
from hitl_audit.what_if.distance import Neighbourhood
from hitl_audit.what_if.edits import Change, Edit, EditHistory, EditKind, Value
from hitl_audit.what_if.formulas import Derivation
from hitl_audit.what_if.population import Population
from hitl_audit.what_if.predictor import Predictor, prepare_predictor
from hitl_audit.what_if.trials import trial_rows

__all__ = ["WhatIf"]

FloatArray = npt.NDArray[np.float64]

BACKGROUND_ROWS = 100  # as explain takes them
_REMEMBERED = 64


@dataclass(frozen=True, eq=False)
class WhatIf:
    """One model and its people, prepared; make it with :meth:`of`.

    Nothing in it changes: histories go in, answers and new histories come out.

    Attributes:
        population: the people.
        background: raw rows that stand for "feature unknown" in contributions.
        controls: one per feature, in the data's order.
        predictor: the model's scores of codes; ``predictor.words`` says how.
        attributions: contributions at once; ``None`` where they take longer.
        why_slow: why, in words; ``""`` where they do not.
        neighbourhood: who is like whom.
        derived: columns that follow from others.
        scores: the model's score of each person, (n,).
        outcome: what a favorable decision is called: ``approval``.
        random_state: seed of everything drawn.
        n_permutations: for contributions that are estimated.
        memory: what was worked out once and depends on nothing else (average responses).
    """

    population: Population
    background: pd.DataFrame
    controls: dict[str, Control]
    predictor: Predictor
    attributions: PreparedAttributions | None
    why_slow: str
    neighbourhood: Neighbourhood
    derived: DerivedColumns
    scores: FloatArray
    outcome: str
    random_state: int
    n_permutations: int
    memory: dict[Any, Any]
    _remembered: Callable[[bytes], tuple[float, ...]]

    @classmethod
    def of(
        cls,
        model: Any,
        X: Any,
        *,
        background: Any = None,
        output: Any = None,
        scale: Scale | None = None,
        threshold: float | None = None,
        constraints: Sequence[Constraint] = (),
        derived: Mapping[str, str | Derivation] | None = None,
        labels: Mapping[str, str] | None = None,
        protected: Sequence[str] = (),
        outcome: str = "a favorable decision",
        random_state: int = 0,
        n_permutations: int = 10,
    ) -> WhatIf:
        """Prepare a model and its people.

        Args:
            model, output, scale: what is predicted, as for
                :func:`hitl_audit.explanations.explain.explain`.
            X: the people, raw rows; the index names the cases.
            background: as in the audit's explanations, so that contributions are
                the same; by default as :func:`explain` draws it.
            threshold: favorable iff score ≥ threshold, on ``scale``; by default 0.5
                for probabilities, 0 for log-odds, and no decision for values.
            constraints: what the plan says about features.
            derived: column → formula (``"loan / income"``) or
                :class:`~hitl_audit.what_if.formulas.Derivation`.
            labels: feature → what people call it.
            protected: protected attributes; no suggestion changes them.
            outcome: what a favorable decision is called.
            random_state: seed.
            n_permutations: for contributions that are estimated.

        Raises:
            InputError: an argument cannot be used, or the model failed.
        """
        rows, as_array = raw_rows(model, X)
        what = resolve_output(model, output=output, scale=scale, as_array=as_array, rows=rows)
        if background is None:
            if len(rows) < 2:
                raise InputError("X has 1 row and there is no background; expected background rows")
            behind = sample_rows(rows, BACKGROUND_ROWS, random_state=random_state)
        else:
            behind = (
                background
                if isinstance(background, pd.DataFrame)
                else raw_rows(model, background)[0]
            )
            rows, behind = align(rows, behind)
        names = [str(c) for c in rows.columns]
        if len(set(names)) < len(names):
            raise InputError("X has columns whose names are the same as text; expected others")
        population = Population.of(rows, behind)
        if threshold is None and what.scale != "value":
            threshold = 0.5 if what.scale == "probability" else 0.0
        if threshold is not None and not np.isfinite(threshold):
            raise InputError(f"threshold is {threshold}; expected a number")
        derivations = read_derivations(derived or {}, population)
        controls = controls_of(
            rows,
            population,
            constraints=constraints,
            derived=derivations,
            labels=labels,
            protected=protected,
        )
        trial = trial_rows(population, controls, random_state)
        predictor = prepare_predictor(what, population, trial, threshold=threshold)
        attributions, why = fast_attributions(predictor, rows, behind)

        @lru_cache(maxsize=_REMEMBERED)
        def remembered(row: bytes) -> tuple[float, ...]:
            assert attributions is not None  # noqa: S101 - only asked then
            assert predictor.encoder is not None  # noqa: S101 - fast attributions need it
            codes = np.frombuffer(row, dtype=np.float64)
            return tuple(attributions.of(predictor.encoder(codes[np.newaxis])[0]).tolist())

        scores = predictor(population.codes)
        scores.setflags(write=False)
        return cls(
            population=population,
            background=behind,
            controls=controls,
            predictor=predictor,
            attributions=attributions,
            why_slow=why,
            neighbourhood=Neighbourhood.of(population, random_state=random_state),
            derived=DerivedColumns(population, derivations, controls),
            scores=scores,
            outcome=outcome,
            random_state=random_state,
            n_permutations=n_permutations,
            memory={},
            _remembered=remembered,
        )

    # Cases and edits

    def start(self, case: Any) -> EditHistory:
        """A case of the data, by its name, that nobody has edited yet.

        Raises:
            InputError: no such case, or several.
        """
        places = [k for k, name in enumerate(self.population.cases) if name == str(case)]
        if len(places) != 1:
            found = "no case" if not places else f"{len(places)} cases"
            raise InputError(
                f"case is {case!r}: {found} of that name"
                + did_you_mean(str(case), self.population.cases)
            )
        return self.start_at(places[0])

    def start_at(self, place: int) -> EditHistory:
        """A case of the data, by its position from 0.

        Raises:
            InputError: no such position.
        """
        if not 0 <= place < len(self.population):
            raise InputError(f"place is {place}; expected 0 to {len(self.population) - 1}")
        values = self.population.values(self.population.codes[place])
        return EditHistory.of(self.population.cases[place], values, place=place)

    def codes(self, history: EditHistory) -> tuple[FloatArray, FloatArray]:
        """The case as it is and as edited, as codes (p,) each."""
        return self.population.row(history.start_values), self.population.row(history.values)

    def edit(
        self, history: EditHistory, feature: str, entered: Any, *, from_slider: bool = False
    ) -> EditHistory:
        """Set one feature; computed columns follow. Unchanged values give the same history.

        Raises:
            InputError: the value cannot be set; the message is for the person who tried.
        """
        self.population.place_of(feature)
        value = self.controls[feature].read(
            entered, history.start_values[feature], from_slider=from_slider
        )
        edit = self.edit_of(history, {feature: value})
        return history.apply(edit) if edit.changes else history

    def edit_of(
        self,
        history: EditHistory,
        values: Mapping[str, Value],
        *,
        kind: EditKind = "edit",
        bounds: bool = True,
    ) -> Edit:
        """The changes that set these values, with the computed columns that follow.

        Raises:
            InputError: a computed column cannot be computed, or (with ``bounds``)
                leaves its bounds.
        """
        now = history.values
        start = self.population.row(history.start_values)
        codes = self.population.row({**now, **values})[np.newaxis]
        possible = self.derived.follow(start, codes)
        after = self.population.values(codes[0])
        named = [*values, *self.derived.how]
        changes = tuple(
            Change(f, now[f], after[f]) for f in dict.fromkeys(named) if after[f] != now[f]
        )
        told = " and ".join(f"{self.label(f)} {self.words(f, v)}" for f, v in values.items())
        if not possible[0]:
            broken = next(f for f in self.derived.how if not _known(after[f]))
            how = self.derived.how[broken].words
            raise InputError(f"With {told}, {self.label(broken)} ({how}) cannot be computed.")
        for f in self.derived.how if bounds else ():
            if after[f] != now[f] and after[f] is not None:
                try:
                    self.controls[f].check(after[f], history.start_values[f])
                except InputError as error:
                    raise InputError(f"With {told}: {error}") from error
        return Edit(changes, kind)

    def label(self, feature: str) -> str:
        """What people call a feature."""
        return self.controls[feature].label

    def words(self, feature: str, value: Value) -> str:
        """A value of a feature for people."""
        return self.controls[feature].words(value)

    # Answers

    def predict(self, values: Mapping[str, Value]) -> float:
        """The model's score of one row of raw values."""
        return float(self.predictor(self.population.row(values)[np.newaxis])[0])

    def scored(self, history: EditHistory) -> float:
        """The model's score of a case with its edits."""
        return self.predict(history.values)

    def answer(self, history: EditHistory) -> Answer:
        """The model's answer: prediction and distance, and contributions where they are fast."""
        start, now = self.codes(history)
        old, new = (float(s) for s in self.predictor(np.stack([start, now])))
        favorable = start_favorable = None
        if self.predictor.threshold is not None:
            start_favorable, favorable = (
                old >= self.predictor.threshold,
                new >= self.predictor.threshold,
            )
        contributions = self._fast_contributions(history.values, start, now)
        changed = history.changed
        scale = self.predictor.output.scale
        return Answer(
            case=history.case,
            revision=history.revision,
            prediction=new,
            start_prediction=old,
            change=new - old,
            favorable=favorable,
            start_favorable=start_favorable,
            changed=changed,
            contributions=contributions,
            distance=self.neighbourhood.look(
                now, tuple(self.controls.values()), without=history.place
            ),
            words=self.prediction_words(new),
            change_words=change_words(new - old, self._edited(changed), scale=scale),
        )

    def explain(self, history: EditHistory, *, fresh: Fresh | None = None) -> Contributions | None:
        """Contributions by asking the model again and again, where there is no faster way.

        Args:
            history: what is explained.
            fresh: asked before each call of the model; once it says no, the work
                is dropped and ``None`` returned.

        Raises:
            ExplanationError: no contributions agree with the model.
        """
        start, now = self.codes(history)
        found = slow_attributions(
            self.predictor,
            np.stack([start, now]),
            self.background,
            fresh=fresh,
            random_state=self.random_state,
            n_permutations=self.n_permutations,
        )
        if found is None:
            return None
        return self._contributions(
            history.values, found.values[0], found.values[1], float(found.base[0]),
            found.algorithm, found.exact, found.notes,
        )  # fmt: skip

    def compare(self, histories: Mapping[str, EditHistory]) -> Comparison:
        """Several versions of one case side by side, the case as it is first.

        Raises:
            InputError: no history, or histories of different cases.
        """
        if not histories:
            raise InputError("histories is empty; expected at least one")
        firsts = {h.start for h in histories.values()}
        if len(firsts) > 1:
            cases = ", ".join(dict.fromkeys(h.case for h in histories.values()))
            raise InputError(f"histories are of different cases ({cases}); expected one case")
        first = next(iter(histories.values()))
        whole = {"as it is": EditHistory(first.case, first.start, first.start, place=first.place)}
        answers = {name: self.answer(h) for name, h in {**whole, **histories}.items()}
        return Comparison(
            first.case,
            tuple(
                Scenario(
                    name, a.prediction, a.change, a.favorable, a.changed,
                    a.distance.likeness, a.words,
                )
                for name, a in answers.items()
            ),
        )  # fmt: skip

    def prediction_words(self, score: float) -> str:
        """``88.0% chance of approval``, or a number with what it is."""
        if self.predictor.output.scale == "probability":
            return f"{score:.1%} chance of {self.outcome}"
        return f"{score:.4g} ({self.predictor.output.words})".replace("-", "−")

    def _edited(self, changed: Sequence[Change]) -> int:
        return sum(c.feature not in self.derived.how for c in changed)

    def _fast_contributions(
        self, values: Mapping[str, Value], start: FloatArray, now: FloatArray
    ) -> Contributions | None:
        found = self.attributions
        if found is None:
            return None
        try:
            before, after = (np.array(self._remembered(c.tobytes())) for c in (start, now))
        except NotApplicableError:  # an extreme value: the model has to be asked
            return None
        return self._contributions(
            values, before, after, found.base, found.algorithm, found.exact, found.notes
        )

    def _contributions(
        self,
        values: Mapping[str, Value],
        before: FloatArray,
        after: FloatArray,
        base: float,
        algorithm: str,
        exact: bool,
        notes: tuple[str, ...],
    ) -> Contributions:
        rows = tuple(
            Contribution(f, self.label(f), values[f], self.words(f, values[f]), float(b), float(a))
            for f, b, a in zip(self.population.features, before, after, strict=True)
        )
        kind = "exact SHAP values" if exact else "approximate SHAP values"
        told = f"{kind} against {len(self.background):,} background rows"
        words = f"{told}: {'; '.join(notes)}" if notes and not exact else told
        scale = self.predictor.output.scale
        return Contributions(rows, base, scale, algorithm, exact, notes, words)


def _known(value: Value) -> bool:
    return value is not None and not (isinstance(value, float) and not np.isfinite(value))
