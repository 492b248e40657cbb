"""The search behind a rule: a beam over conditions, judged on common random draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.explanations.model_output import ModelOutput
from hitl_audit.explanations.raw_features import Coding, is_number
from hitl_audit.explanations.views.asking import BATCH_ROWS, value_words
from hitl_audit.intervals import Count, wilson
from hitl_audit.slices.conditions import Condition, cells_of

__all__ = ["RuleSearch"]

FloatArray = npt.NDArray[np.float64]

# Draws per candidate in each round of a length, and the share that stays for the next.
ROUNDS = (60, 240, 960)
KEPT = 0.2


@dataclass(frozen=True, eq=False)
class RuleSearch:
    """All conditions that a case meets, and the draws they are judged on.

    A rule is a tuple of positions in ``conditions``.

    Attributes:
        output: the model.
        coding: raw values as codes and back.
        codes: the real rows, coded.
        conditions: all that the case meets.
        column: the position of each condition's feature.
        held: (conditions, rows) which real rows meet it.
        pools: per condition the codes of its feature that meet it, the case's own among them.
        threshold, is_high: what the decision is, and which one the case has.
        random_state: seed.
    """

    output: ModelOutput
    coding: Coding
    codes: FloatArray
    conditions: tuple[Condition, ...]
    column: tuple[int, ...]
    held: npt.NDArray[np.bool_]
    pools: tuple[FloatArray, ...]
    threshold: float
    is_high: bool
    random_state: int

    @classmethod
    def of(
        cls,
        output: ModelOutput,
        rows: pd.DataFrame,
        row: pd.DataFrame,
        threshold: float,
        is_high: bool,
        bins: int,
        random_state: int,
    ) -> RuleSearch:
        """Offer every condition that ``row`` meets, cut from ``rows``."""
        coding = Coding.of(rows, row)
        codes, own = coding.encode(rows), coding.encode(row)[0]
        conditions: list[Condition] = []
        column: list[int] = []
        every = np.ones(len(rows), dtype=bool)
        for j, name in enumerate(rows.columns):
            values = rows[name].rename(str(name))
            cells = cells_of(values, every, bins=bins, min_size=1, labels={})
            offered = [c for c in cells.conditions if c.holds(row[name])[0]]
            if not offered and not is_number(values):
                # A category beyond the commonest, or one that no real row has.
                offered = [Condition(str(name), "category", category=value_words(row[name].iloc[0]),
                                     label=str(name))]  # fmt: skip
                offered = [c for c in offered if c.holds(row[name])[0]]
            conditions += offered
            column += [j] * len(offered)
        held = np.array(
            [c.holds(rows.iloc[:, j]) for c, j in zip(conditions, column, strict=True)], dtype=bool
        ).reshape(len(conditions), len(rows))
        pools = tuple(np.append(codes[met, j], own[j]) for met, j in zip(held, column, strict=True))
        return cls(output, coding, codes, tuple(conditions), tuple(column), held, pools,
                   threshold, is_high, random_state)  # fmt: skip

    def met(self, rule: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Which real rows meet every condition of a rule."""
        return np.asarray(self.held[list(rule)].all(axis=0)) if rule else np.ones(
            self.codes.shape[0], dtype=bool
        )  # fmt: skip

    def agreement(self, rules: Sequence[Sequence[int]], n: int, seed: int) -> list[int]:
        """How many of the same n draws get the case's decision, per rule."""
        rng = np.random.default_rng(seed)
        base = self.codes[rng.integers(0, len(self.codes), size=n)]
        where = rng.random(base.shape)
        counts: list[int] = []
        step = max(1, BATCH_ROWS // n)
        for start in range(0, len(rules), step):
            part = rules[start : start + step]
            drawn = np.tile(base, (len(part), 1))
            for k, rule in enumerate(part):
                for c in rule:
                    j, pool = self.column[c], self.pools[c]
                    at = (where[:, j] * len(pool)).astype(np.intp)
                    drawn[k * n : (k + 1) * n, j] = pool[at]
            high = self.output(self.coding.decode(drawn)) >= self.threshold
            counts += [int(k) for k in (high == self.is_high).reshape(len(part), n).sum(axis=1)]
        return counts

    def run(self, bar: float, max_conditions: int, beam: int, confidence: float) -> tuple[int, ...]:
        """The shortest rule that clears the bar on the searched draws, or the most precise one."""
        rules: list[tuple[int, ...]] = [()]
        best: tuple[float, float, tuple[int, ...]] = (-1.0, 0.0, ())
        for length in range(max_conditions + 1):
            if length:
                rules = self._longer(rules)
            if not rules:
                break
            counts: list[int] = []
            for draws in ROUNDS:
                counts = self.agreement(
                    rules, draws, self.random_state + 1000 * (length + 1) + draws
                )
                if draws != ROUNDS[-1]:
                    rules = self._best(rules, counts, max(2 * beam, int(KEPT * len(rules))))
            passed = []
            for rule, count in zip(rules, counts, strict=True):
                bounds = wilson(Count(count, ROUNDS[-1]), confidence=confidence)
                covered = float(self.met(rule).mean())
                best = max(best, (count / ROUNDS[-1], covered, rule))
                if bounds is not None and bounds[0] >= bar:
                    passed.append((covered, count, rule))
            if passed:
                return max(passed)[2]
            rules = self._best(rules, counts, beam)
        return best[2]

    def _longer(self, rules: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """Each rule with one more condition, on a feature it does not speak of yet."""
        made = {
            tuple(sorted((*rule, c)))
            for rule in rules
            for c in range(len(self.conditions))
            if self.column[c] not in {self.column[k] for k in rule}
        }
        return sorted(made)

    def _best(
        self, rules: Sequence[tuple[int, ...]], counts: Sequence[int], size: int
    ) -> list[tuple[int, ...]]:
        """The most precise rules; of equally precise ones those that cover more."""
        order = sorted(
            range(len(rules)), key=lambda i: (-counts[i], -int(self.met(rules[i]).sum()), rules[i])
        )
        return [rules[i] for i in order[:size]]
