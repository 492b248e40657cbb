"""One answer out of several reviewers': the result, as values. Pure."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hitl_audit.charts import Chart, Series, to_plotly
from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.review.agreement_ratings import Label
from hitl_audit.review.consensus_reviewers import Accuracy, Confusion

__all__ = ["Consensus", "Fit", "UnitConsensus"]


@dataclass(frozen=True)
class UnitConsensus:
    """What reviewers said about one unit, and what follows.

    Attributes:
        unit: its name.
        label: the consensus; ``None`` if there is none.
        outcome: ``"decided"``; ``"tie"``, ``"no majority"`` or ``"not
            unanimous"``; ``"no votes"``; or ``"insufficient data"`` where the
            whole table has too little for the method.
        resolved_by: ``"votes"``, ``"model"``, ``"tie rule"``, ``"adjudication"``
            (is to decide), or ``"nobody"``.
        share, low, high: votes for ``label`` (without one: for the most frequent
            answer), of all votes, with the Wilson interval; ``None`` without votes.
        n_votes: number of votes.
        entropy: of the shares of votes, in bits; 0 if all say the same.
        votes: (category, number) of every category with a vote, in the order of
            the categories.
        dissent: (reviewer, answer) of everyone who said something else than
            ``label``; without a label, of everyone.
        posterior: (category, probability) under the Dawid-Skene model, or ().
    """

    unit: str
    label: Label | None
    outcome: str
    resolved_by: str
    share: float | None
    low: float | None
    high: float | None
    n_votes: int
    entropy: float
    votes: tuple[tuple[Label, int], ...]
    dissent: tuple[tuple[str, Label], ...]
    posterior: tuple[tuple[Label, float], ...]


@dataclass(frozen=True)
class Fit:
    """How the fit of the Dawid-Skene model went.

    Attributes:
        prevalence: (category, share of true cases).
        log_likelihood: of the ratings.
        iterations, converged: of the start that was kept.
        starts, agreeing: starts, and those that ended as well as the best. If
            few did, the ratings leave open which of several answers is right.
        smoothing: pseudo-count of every confusion.
    """

    prevalence: tuple[tuple[Label, float], ...]
    log_likelihood: float
    iterations: int
    converged: bool
    starts: int
    agreeing: int
    smoothing: float


@dataclass(frozen=True)
class Consensus:
    """The consensus on every unit, and how well each reviewer fits to it.

    Attributes:
        units: in the order of the table.
        accuracies: of each reviewer: against the consensus, and against the
            truth if it was given.
        confusions: per reviewer, reference and answer; likewise.
        accuracy: of the consensus against the truth, if it was given.
        fit: of the Dawid-Skene model, or ``None``.
        words: the summary in a few sentences.
        status: ``"assessed"`` or ``"insufficient data"``.
        method, ties: as asked for.
        categories, raters: the possible answers, and the names of the reviewers.
        confidence, random_state: as asked for.
        votes: (n, r) each reviewer's answer to each unit, or ``None``.
    """

    units: tuple[UnitConsensus, ...]
    accuracies: tuple[Accuracy, ...]
    confusions: tuple[Confusion, ...]
    accuracy: Accuracy | None
    fit: Fit | None
    words: str
    status: str
    method: str
    ties: Label
    categories: tuple[Label, ...]
    raters: tuple[str, ...]
    confidence: float
    random_state: int
    votes: tuple[tuple[Label | None, ...], ...]

    def frame(self) -> pd.DataFrame:
        """One row per unit: the consensus, then what each reviewer said (``vote: NAME``)."""
        rows: list[dict[str, Any]] = []
        for unit, votes in zip(self.units, self.votes, strict=True):
            row: dict[str, Any] = {
                "unit": unit.unit,
                "label": unit.label,
                "outcome": unit.outcome,
                "resolved_by": unit.resolved_by,
                "share": unit.share,
                "low": unit.low,
                "high": unit.high,
                "n_votes": unit.n_votes,
                "entropy": unit.entropy,
                "dissent": "; ".join(f"{who}: {answer}" for who, answer in unit.dissent),
            }
            row |= {f"posterior: {category}": p for category, p in unit.posterior}
            row |= {f"vote: {who}": vote for who, vote in zip(self.raters, votes, strict=True)}
            rows.append(row)
        columns = ["unit", "label", "outcome", "resolved_by", "share", "low", "high", "n_votes"]
        columns += ["entropy", "dissent"]
        if self.fit is not None:
            columns += [f"posterior: {category}" for category in self.categories]
        columns += [f"vote: {who}" for who in self.raters]
        frame = pd.DataFrame(
            {key: pd.Series([row.get(key) for row in rows], dtype=object) for key in columns}
        )
        numbers = ["share", "low", "high", "entropy"]
        numbers += [key for key in columns if key.startswith("posterior: ")]
        return frame.astype(dict.fromkeys(numbers, np.float64) | {"n_votes": np.int64})

    def reviewers(self) -> pd.DataFrame:
        """One row per reviewer and reference; see :class:`Accuracy`."""
        columns = ["reviewer", "against", "n", "value", "low", "high", "method", "status"]
        rows = [[getattr(a, key) for key in columns] for a in self.accuracies]
        frame = pd.DataFrame(rows, columns=columns)
        return frame.astype(dict.fromkeys(["value", "low", "high"], np.float64))

    def confusion(self, reviewer: str | None = None) -> pd.DataFrame:
        """One row per reviewer, reference and answer; see :class:`Confusion`.

        Raises:
            InputError: an unknown reviewer.
        """
        if reviewer is not None and reviewer not in self.raters:
            raise InputError(
                f'consensus: reviewer is "{reviewer}"; accepted: {", ".join(self.raters)}'
                f"{did_you_mean(reviewer, self.raters)}"
            )
        columns = ["reviewer", "against", "reference", "answer", "count", "n", "value"]
        columns += ["low", "high", "status"]
        shown = [c for c in self.confusions if reviewer in (None, c.reviewer)]
        rows = [[getattr(c, key) for key in columns] for c in shown]
        frame = pd.DataFrame(rows, columns=columns)
        return frame.astype(dict.fromkeys(["count", "n", "value", "low", "high"], np.float64))

    def chart(self) -> Chart:
        """Each reviewer's accuracy with its interval."""
        references = dict.fromkeys(a.against for a in self.accuracies if a.value is not None)
        series = []
        for against in references:
            shown = [a for a in self.accuracies if a.against == against and a.value is not None]
            series.append(
                Series(
                    name=against,
                    x=tuple(a.reviewer for a in shown),
                    y=tuple(a.value for a in shown),
                    low=tuple(a.low for a in shown),
                    high=tuple(a.high for a in shown),
                    notes=tuple(f"n = {a.n}" for a in shown),
                )
            )
        alt = "; ".join(
            f"{a.reviewer} {a.value:.0%} ({a.against})"
            for a in self.accuracies
            if a.value is not None
        )
        return Chart(
            kind="intervals",
            message=self.words,
            alt=alt or "no reviewer's accuracy could be estimated",
            value_label="share of answers that match",
            series=tuple(series),
            percent=True,
        )

    def plot(self) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart())

    def _repr_html_(self) -> str:
        table = self.frame().to_html(
            max_rows=60, float_format="{:.3f}".format, na_rep="–", index=False
        )
        return f"<p>{html.escape(self.words)}</p>{table}"
