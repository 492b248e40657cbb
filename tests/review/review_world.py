"""A made-up review, drawn at random and marked as simulated: events beside the arrays
they were made from, so that every number can be counted a second way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hitl_audit.review.event import Event
from hitl_audit.review.oversight import Oversight, summarise
from hitl_audit.review.sampling import CaseSample, SampledCase
from tests.review.review_events import blind, verdict

NAMES = ("unfavorable", "favorable")


@dataclass(frozen=True)
class World:
    """One row of ``table`` per answer: case, reviewer, pi, truth, model, score, group,
    blind (0, 1), final (0, 1, or NaN for unsure), confidence, seconds."""

    table: pd.DataFrame
    sample: CaseSample
    events: list[Event]

    @property
    def cases(self) -> pd.DataFrame:
        return self.table.drop_duplicates("case").set_index("case")

    def summary(self, **options: Any) -> Oversight:
        known = self.cases
        given: dict[str, Any] = {
            "truth": {str(case): int(value) for case, value in known["truth"].items()},
            "groups": {"race": {str(case): str(g) for case, g in known["group"].items()}},
            "n_boot": 200,
        }
        return summarise(self.events, self.sample, **(given | options))


def make_world(
    seed: int,
    *,
    n_cases: int = 120,
    reviewers: int = 3,
    weighted: bool = False,
    unsure: float = 0.05,
    follows: float = 0.6,
) -> World:
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    events: list[Event] = []
    sampled = []
    design = "mixture" if weighted else "random"
    for i in range(n_cases):
        case = f"case-{i}"
        pi = float(rng.choice([0.05, 0.2, 0.6])) if weighted else 0.1
        sampled.append(SampledCase(case, pi, "", ""))
        truth = int(rng.random() < 0.5)
        model = truth if rng.random() < 0.75 else 1 - truth
        score = float(np.clip(0.5 + (model - 0.5) * rng.random(), 0.01, 0.99))
        group = str(rng.choice(["a", "a", "b"]))
        for r in range(reviewers):
            own = truth if rng.random() < 0.7 else 1 - truth
            final: float = model if rng.random() < follows else own
            if rng.random() < unsure:
                final = float("nan")
            row = {
                "case": case,
                "reviewer": f"r{r}",
                "pi": pi,
                "truth": truth,
                "model": model,
                "score": score,
                "group": group,
                "blind": own,
                "final": final,
                "confidence": int(rng.integers(1, 6)),
                "seconds": round(float(rng.gamma(2, 10)), 1),
            }
            rows.append(row)
            answer = "unsure" if np.isnan(final) else "agree" if final == model else "disagree"
            common = {"design": design, "inclusion_probability": pi, "simulated": True}
            events += [
                blind(
                    case,
                    NAMES[own],
                    f"r{r}",
                    confidence=row["confidence"],
                    seconds=0.0,
                    **common,
                ),
                verdict(
                    case,
                    answer,
                    f"r{r}",
                    model_decision=NAMES[model],
                    model_score=score,
                    seconds=row["seconds"],
                    at=f"2026-02-{1 + i // 10 % 28:02d}T12:00:00.000000Z",
                    **common,
                ),
            ]
    sample = CaseSample(design, 10 * n_cases, seed, tuple(sampled))
    return World(pd.DataFrame(rows), sample, events)


def decided(table: pd.DataFrame, column: str) -> pd.Series[Any]:
    """Case → majority of a column, NaN in a tie or without a vote; counted the plain way."""

    def of(votes: pd.Series[Any]) -> float:
        yes, no = float((votes == 1).sum()), float((votes == 0).sum())
        return float("nan") if yes == no else float(yes > no)

    return table.groupby("case", sort=False)[column].apply(of)
