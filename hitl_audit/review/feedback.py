"""From judgments to a proposed change of the model: tried, compared, recorded.

A change is tried on the training rows and compared with the model as it is on
one holdout, paired by row, overall and by group. Three sets of cases must not
meet: the training rows, the holdout, and the cases whose judgments estimate
what human oversight is worth. A model that has learnt from the estimation
sample would make that estimate flatter itself.

Nothing here changes a deployed model. The result is a
:class:`~hitl_audit.review.records.Change` for the ledger, which somebody other
than its proposer approves.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.canonical import digest, utc_text
from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.groups import binary_labels
from hitl_audit.inputs import digest_frame
from hitl_audit.loading import model_in_memory
from hitl_audit.review.event import Event
from hitl_audit.review.feedback_labels import JudgedLabels, judged_labels
from hitl_audit.review.feedback_measures import compare_before_after
from hitl_audit.review.records import ACTIONS, Change, Measure
from hitl_audit.review.sampling import CaseSample

__all__ = ["Proposal", "propose_change"]


@dataclass(frozen=True)
class Proposal:
    """A change that was tried.

    Attributes:
        change: the record for the ledger.
        judged: what people said about training rows; the old labels are in it.
        threshold: of the changed model.
        features: the columns the changed model reads.
        confidence: of the intervals.
        model: the changed model, fitted; of a threshold change the model as it is.
    """

    change: Change
    judged: JudgedLabels
    threshold: float
    features: tuple[str, ...]
    confidence: float
    model: Any = field(repr=False, compare=False)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Before and after, on the holdout, with the interval of the paired difference."""
        return tuple(Measure(*row) for row in self.change.measures)

    def measure(self, metric: str, group: str = "") -> Measure:
        """One measure, of all rows, of a group (``"race: black"``) or of an attribute's gap.

        Raises:
            InputError: no such measure or group.
        """
        for measure in self.measures:
            if (measure.metric, measure.group) == (metric, group):
                return measure
        known = dict.fromkeys(f"{m.metric} of {m.group or 'all'}" for m in self.measures)
        raise InputError(f'proposal: no "{metric}" of "{group}"; accepted: {", ".join(known)}')

    def frame(self) -> pd.DataFrame:
        """One row per measure and group: metric, group, n, before, after, difference, low, high."""
        frame = pd.DataFrame(self.measures, columns=list(Measure._fields))
        numbers = ["before", "after", "low", "high"]
        frame = frame.astype(dict.fromkeys(numbers, "float64"))
        frame.insert(5, "difference", frame["after"] - frame["before"])
        return frame


def propose_change(
    model: Any,
    X_train: pd.DataFrame,
    y_train: Any,
    X_holdout: pd.DataFrame,
    y_holdout: Any,
    *,
    action: str,
    sensitive_features: Any,
    events: Iterable[Event],
    estimation: CaseSample | Sequence[str],
    proposer: str,
    description: str,
    expires: datetime,
    now: datetime,
    plan_digest: str,
    threshold: float = 0.5,
    new_threshold: float | None = None,
    drop: Sequence[str] = (),
    triggers: Sequence[str] = (),
    min_reviewers: int = 2,
    reviewed_weight: float = 2.0,
    model_digest: str | None = None,
    min_group: int = 30,
    confidence: float = 0.95,
    n_boot: int = 2000,
    random_state: int = 0,
    event_id: str | None = None,
) -> Proposal:
    """Try a change that judgments suggest, and record what it would do.

    ``"relabel"`` refits on the labels that reviewers settled, ``"reweight"``
    with weights from their judgments
    (:meth:`~hitl_audit.review.feedback_labels.JudgedLabels.weights`),
    ``"retrain"`` with both, ``"features"`` without some columns, and
    ``"threshold"`` decides at another score. A refit is a clone of ``model``,
    which is never changed.

    Args:
        model: the model as it is: a fitted scikit-learn classifier or Pipeline.
        X_train, X_holdout: one row per case, the index holding the case ids.
        y_train, y_holdout: (rows,) 0 or 1, where 1 is the favorable outcome.
        action: one of :data:`~hitl_audit.review.records.ACTIONS`.
        sensitive_features: of the holdout, one column per attribute.
        events: of the review; judgments on training rows teach.
        estimation: the sample whose judgments estimate oversight, or its case ids.
        proposer: who proposes the change.
        description: what changes, in words.
        expires: until when it may be applied.
        now: when it is proposed.
        plan_digest: of the plan that was followed.
        threshold: favorable if and only if the score is at least this.
        new_threshold: for ``"threshold"``.
        drop: columns to leave out, for ``"features"``.
        triggers: event ids of judgments that led to the change; by default
            those on the training rows that were used.
        min_reviewers, reviewed_weight: see
            :func:`~hitl_audit.review.feedback_labels.judged_labels`.
        model_digest: of the model, if it was read from a file.
        min_group: groups with fewer holdout rows are listed without values.
        confidence, n_boot, random_state: of the intervals.
        event_id: UUID of the record; by default a new one.

    Raises:
        InputError: cases that are in two of training, holdout and estimation;
            an action without what it needs; nothing that led to the change; or
            a model, rows or labels that do not fit.
    """
    given = _Given(X_train, y_train, X_holdout, y_holdout)
    _keep_apart(given, estimation)
    _check(action, new_threshold, drop, X_train, proposer, expires, now)
    judged = judged_labels(
        events, given.recorded, min_reviewers=min_reviewers, plan_digest=plan_digest
    )
    led_to = _triggers(judged, action, tuple(triggers))
    tried, features, after_threshold = model, [str(c) for c in X_train.columns], threshold
    if action == "threshold":
        after_threshold = float(new_threshold if new_threshold is not None else threshold)
    else:
        features = [name for name in features if name not in drop]
        tried = _refit(model, given, judged, action, features, reviewed_weight)
    before = _decide(model, X_holdout, threshold)
    after = _decide(tried, X_holdout[features], after_threshold)
    measures = compare_before_after(
        given.y_holdout,
        before,
        after,
        sensitive_features,
        min_group=min_group,
        confidence=confidence,
        n_boot=n_boot,
        random_state=random_state,
    )
    known = model_digest or model_in_memory(model).digest
    change = Change(
        event_id=event_id or str(uuid.uuid4()),
        at=utc_text(now),
        plan_digest=plan_digest,
        model_digest=known,
        action=action,
        description=description,
        triggers=led_to,
        proposer=proposer,
        before_digest=_rule(known, features=list(map(str, X_train.columns)), threshold=threshold),
        after_digest=_rule(
            known if action == "threshold" else model_in_memory(tried).digest,
            features=features,
            threshold=after_threshold,
        ),
        expires=utc_text(expires),
        holdout_digest=digest_frame(X_holdout.assign(__outcome__=given.y_holdout)),
        measures=measures,
    )
    if problems := change.problems():
        raise InputError(f"propose: {'; '.join(problems)}")
    return Proposal(change, judged, after_threshold, tuple(features), confidence, tried)


class _Given:
    """Training rows and holdout, checked."""

    def __init__(self, X_train: Any, y_train: Any, X_holdout: Any, y_holdout: Any) -> None:
        for name, table in (("X_train", X_train), ("X_holdout", X_holdout)):
            if not isinstance(table, pd.DataFrame):
                raise InputError(
                    f"propose: {name} is a {type(table).__name__}; expected a pandas DataFrame "
                    "whose index holds the case ids"
                )
        if list(X_train.columns) != list(X_holdout.columns):
            raise InputError("propose: X_train and X_holdout have other columns, or another order")
        self.X_train = X_train
        self.train_ids = _ids(X_train, "X_train")
        self.holdout_ids = _ids(X_holdout, "X_holdout")
        self.y_train = binary_labels(y_train, "y_train")
        self.y_holdout = binary_labels(y_holdout, "y_holdout")
        for name, labels, ids in (
            ("y_train", self.y_train, self.train_ids),
            ("y_holdout", self.y_holdout, self.holdout_ids),
        ):
            if len(labels) != len(ids):
                raise InputError(f"propose: got {len(labels)} labels in {name}, rows: {len(ids)}")

    @property
    def recorded(self) -> dict[str, int]:
        """Case → recorded label, of the training rows."""
        return dict(zip(self.train_ids, map(int, self.y_train), strict=True))


def _ids(table: pd.DataFrame, name: str) -> list[str]:
    ids = [str(row) for row in table.index]
    if len(set(ids)) < len(ids):
        raise InputError(f"propose: {name} has a case id more than once in its index")
    return ids


def _keep_apart(given: _Given, estimation: CaseSample | Sequence[str]) -> None:
    """Refuse to learn from, or to be judged on, cases that something else rests on."""
    sampled = estimation.case_ids if isinstance(estimation, CaseSample) else estimation
    estimating = {str(case) for case in sampled}
    train, holdout = set(given.train_ids), set(given.holdout_ids)
    for both, words in (
        (
            train & estimating,
            "training rows are in the estimation sample: what people are worth is estimated "
            "from these cases, so no model may learn from them",
        ),
        (
            holdout & estimating,
            "holdout rows are in the estimation sample: the change was suggested by judgments "
            "on it, so it cannot be compared there",
        ),
        (train & holdout, "training rows are in the holdout: a model is not compared on its own"),
    ):
        if both:
            raise InputError(f"propose: {len(both)} {words}; first {min(both)!r}")


def _check(
    action: str,
    new_threshold: float | None,
    drop: Sequence[str],
    X_train: pd.DataFrame,
    proposer: str,
    expires: datetime,
    now: datetime,
) -> None:
    if action not in ACTIONS:
        raise InputError(
            f'propose: action is "{action}"; accepted: {", ".join(ACTIONS)}'
            f"{did_you_mean(action, ACTIONS)}"
        )
    if (action == "threshold") != (new_threshold is not None):
        raise InputError('propose: new_threshold goes with action "threshold", and only with it')
    if new_threshold is not None and not 0 <= new_threshold <= 1:
        raise InputError(f"propose: new_threshold is {new_threshold}; accepted: 0 to 1")
    if isinstance(drop, str) or (action == "features") != bool(drop):
        raise InputError('propose: drop, a list of columns, goes with action "features"')
    columns = [str(name) for name in X_train.columns]
    for name in drop:
        if name not in columns:
            raise InputError(
                f'propose: drop names "{name}"; accepted: {", ".join(columns)}'
                f"{did_you_mean(name, columns)}"
            )
    if set(drop) >= set(columns):
        raise InputError("propose: drop leaves no column")
    if not proposer.strip():
        raise InputError("propose: proposer is empty; expected who proposes the change")
    if expires <= now:
        raise InputError(f"propose: expires is {expires}, which is not after {now}")


def _triggers(judged: JudgedLabels, action: str, given: tuple[str, ...]) -> tuple[str, ...]:
    rows = judged.changed if action == "relabel" else judged.rows
    found = tuple(dict.fromkeys(one for row in rows for one in row.triggers))
    if action in ("relabel", "reweight", "retrain") and not found:
        what = "no label changes" if action == "relabel" else "no training row was judged"
        raise InputError(f"propose: {what}, so there is nothing to {action}")
    if not (given or found):
        raise InputError(
            "propose: triggers is empty and no training row was judged; expected the event ids "
            "of the judgments that led to the change"
        )
    return given or found


def _refit(
    model: Any,
    given: _Given,
    judged: JudgedLabels,
    action: str,
    features: list[str],
    reviewed_weight: float,
) -> Any:
    from sklearn.base import clone

    labels: Mapping[str, int] = given.recorded
    if action in ("relabel", "retrain"):
        labels = judged.labels(labels)
    extra: dict[str, Any] = {}
    if action in ("reweight", "retrain"):
        weights = judged.weights(labels, reviewed_weight=reviewed_weight)
        extra[_weight_name(model)] = np.array([weights[case] for case in given.train_ids])
    y = np.array([labels[case] for case in given.train_ids], dtype=np.int64)
    if len(np.unique(y)) < 2:
        raise InputError("propose: all training rows have the same label after the change")
    return clone(model).fit(given.X_train[features], y, **extra)


def _weight_name(model: Any) -> str:
    """How ``fit`` calls the sample weights of the model's last step."""
    from sklearn.utils.validation import has_fit_parameter

    if hasattr(model, "steps"):
        name, last = model.steps[-1]
        return f"{name}__{_weight_name(last)}"
    if not has_fit_parameter(model, "sample_weight"):
        raise InputError(
            f"propose: {type(model).__name__} takes no sample weights, so it cannot be reweighted; "
            'expected a model whose fit takes sample_weight, or action "relabel"'
        )
    return "sample_weight"


def _decide(model: Any, X: pd.DataFrame, threshold: float) -> npt.NDArray[np.int8]:
    if not hasattr(model, "predict_proba"):
        raise InputError(
            f"propose: {type(model).__name__} has no predict_proba; expected a classifier that "
            "gives probabilities"
        )
    classes = [int(c) for c in model.classes_]
    if 1 not in classes:
        raise InputError(f"propose: the model knows the classes {classes}; expected 0 and 1")
    scores = np.asarray(model.predict_proba(X))[:, classes.index(1)]
    return (scores >= threshold).astype(np.int8)


def _rule(model_digest: str, *, features: list[str], threshold: float) -> str:
    """Digest of what decides: the model, what it reads, and where it cuts."""
    return digest({"model": model_digest, "features": features, "threshold": threshold})
