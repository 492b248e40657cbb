"""The mitigation methods, each as a function from training data to decisions on a holdout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, clone

from hitl_audit.errors import InputError
from hitl_audit.mitigators.paired import Groups

__all__ = [
    "CONSTRAINTS",
    "METHODS",
    "RUN",
    "Decider",
    "Work",
    "reweighing_weights",
    "weight_name",
]

Labels = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float64]
Decide = Callable[[int], Any]

METHODS: dict[str, str] = {
    "reweighing": "Reweighing (Kamiran & Calders)",
    "correlation_remover": "Correlation remover (Fairlearn)",
    "exponentiated_gradient": "Exponentiated gradient (Fairlearn)",
    "grid_search": "Grid search (Fairlearn)",
    "threshold_optimizer": "Threshold optimizer (Fairlearn)",
}
"""The methods by name, and how they are titled."""

# Fairlearn's names; the reductions call the same things by class.
CONSTRAINTS: dict[str, str] = {
    "demographic_parity": "DemographicParity",
    "equalized_odds": "EqualizedOdds",
    "true_positive_rate_parity": "TruePositiveRateParity",
    "false_positive_rate_parity": "FalsePositiveRateParity",
}
"""What the methods that take a constraint aim at."""


def reweighing_weights(y_true: Any, groups: Any) -> Floats:
    """Weights that make group and label independent: P(group) P(label) / P(group, label).

    Kamiran & Calders, "Data preprocessing techniques for classification
    without discrimination", Knowl Inf Syst 33 (2012), 1-33.

    Args:
        y_true: (rows,) labels.
        groups: (rows,) groups.
    """
    label, labels = np.unique(np.asarray(y_true), return_inverse=True)
    name, names = np.unique(np.asarray(groups), return_inverse=True)
    together = np.zeros((len(name), len(label)))
    np.add.at(together, (names, labels), 1)
    expected = together.sum(1)[names] * together.sum(0)[labels] / len(names)
    return np.asarray(expected / together[names, labels], dtype=np.float64)


class Decider(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """An estimator that decides at a threshold, and takes sample weights as Fairlearn gives them.

    Fairlearn passes ``sample_weight`` and reads ``predict``; a Pipeline wants
    the name of the step, and decides at one half.
    """

    def __init__(self, estimator: Any, threshold: float = 0.5, weight_name: str = "") -> None:
        self.estimator = estimator
        self.threshold = threshold
        self.weight_name = weight_name

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Decider:
        """Fit a clone; weights go to the last step.

        Raises:
            InputError: weights for an estimator that takes none.
        """
        if sample_weight is not None and not self.weight_name:
            raise InputError(
                f"{type(_last_step(self.estimator)).__name__}.fit takes no sample_weight"
            )
        extra = {} if sample_weight is None else {self.weight_name: np.asarray(sample_weight)}
        self.classes_ = np.array([0, 1])
        self.estimator_ = clone(self.estimator).fit(X, np.asarray(y), **extra)
        return self

    def predict_proba(self, X: Any) -> Floats:
        """(rows, 2) probabilities of the unfavorable and the favorable outcome."""
        if not hasattr(self.estimator_, "predict_proba"):
            raise InputError(
                f"{type(_last_step(self.estimator)).__name__} has no predict_proba; accepted: "
                "classifiers that give probabilities"
            )
        found = np.asarray(self.estimator_.predict_proba(X), dtype=np.float64)
        place = [int(label) for label in self.estimator_.classes_]
        favorable = found[:, place.index(1)] if 1 in place else np.zeros(len(found))
        return np.column_stack([1 - favorable, favorable])

    def predict(self, X: Any) -> Labels:
        """1 if and only if the probability is at least the threshold."""
        return (self.predict_proba(X)[:, 1] >= self.threshold).astype(np.int8)


def _last_step(estimator: Any) -> Any:
    return _last_step(estimator.steps[-1][1]) if hasattr(estimator, "steps") else estimator


def weight_name(estimator: Any) -> str | None:
    """How ``fit`` of an estimator calls the sample weights of its last step."""
    from sklearn.utils.validation import has_fit_parameter

    if hasattr(estimator, "steps"):
        name, last = estimator.steps[-1]
        inner = weight_name(last)
        return None if inner is None else f"{name}__{inner}"
    return "sample_weight" if has_fit_parameter(estimator, "sample_weight") else None


@dataclass(frozen=True)
class Work:
    """What every method is given; ``decider`` is fitted without mitigation."""

    decider: Decider
    X_train: Any
    y_train: Labels
    train: Groups
    X_holdout: Any
    holdout: Groups
    constraint: str
    grid_size: int
    max_iter: int

    @property
    def unfitted(self) -> Decider:
        """A fresh decider on the same estimator."""
        return Decider(self.decider.estimator, self.decider.threshold, self.decider.weight_name)

    def moment(self) -> Any:
        """The constraint, as Fairlearn's reductions want it."""
        from fairlearn import reductions

        return getattr(reductions, CONSTRAINTS[self.constraint])()

    def refuse_unseen(self) -> None:
        """Refuse groups that training never saw.

        Raises:
            InputError: there are such groups in the holdout.
        """
        unseen = sorted(set(self.holdout.names) - set(self.train.names))
        if unseen:
            raise InputError(
                "it cannot decide about groups of the holdout that training never saw: "
                + ", ".join(unseen)
            )


def _reweighing(work: Work) -> Decide:
    weights = reweighing_weights(work.y_train, work.train.codes)
    fitted = work.unfitted.fit(work.X_train, work.y_train, sample_weight=weights)
    return lambda seed: fitted.predict(work.X_holdout)


def _correlation_remover(work: Work) -> Decide:
    """Remove the correlation from what the last step is given, after all other steps."""
    from fairlearn.preprocessing import CorrelationRemover

    work.refuse_unseen()
    estimator = work.decider.estimator
    first, last = None, estimator
    if hasattr(estimator, "steps"):
        last = estimator.steps[-1][1]
        if len(estimator.steps) > 1:
            first = clone(estimator[:-1]).fit(work.X_train, work.y_train)
    names = np.array(work.train.names)

    def numbers(X: Any, groups: Groups) -> Floats:
        found = X if first is None else first.transform(X)
        dense = found.toarray() if hasattr(found, "toarray") else found
        try:
            table = np.asarray(dense, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError("it needs numbers; the features hold other things") from None
        # All groups but one: together with it they would be linearly dependent.
        member = (groups.of_rows[:, None] == names[1:]).astype(np.float64)
        return np.column_stack([table, member])

    table = numbers(work.X_train, work.train)
    columns = list(range(table.shape[1] - len(names) + 1, table.shape[1]))
    if not columns:
        raise InputError("there is only one group, so there is nothing to remove")
    remover = CorrelationRemover(sensitive_feature_ids=columns)
    fitted = Decider(last, work.decider.threshold).fit(remover.fit_transform(table), work.y_train)
    ready = remover.transform(numbers(work.X_holdout, work.holdout))
    return lambda seed: fitted.predict(ready)


def _exponentiated_gradient(work: Work) -> Decide:
    from fairlearn.reductions import ExponentiatedGradient

    fitted = ExponentiatedGradient(work.unfitted, work.moment(), max_iter=work.max_iter)
    fitted.fit(work.X_train, work.y_train, sensitive_features=work.train.of_rows)
    return lambda seed: fitted.predict(work.X_holdout, random_state=seed)


def _grid_search(work: Work) -> Decide:
    from fairlearn.reductions import GridSearch

    fitted = GridSearch(work.unfitted, work.moment(), grid_size=work.grid_size)
    fitted.fit(work.X_train, work.y_train, sensitive_features=work.train.of_rows)
    return lambda seed: fitted.predict(work.X_holdout)


def _threshold_optimizer(work: Work) -> Decide:
    from fairlearn.postprocessing import ThresholdOptimizer

    # Fairlearn would deny every case of a group that it has not seen.
    work.refuse_unseen()
    fitted = ThresholdOptimizer(
        estimator=work.decider,
        constraints=work.constraint,
        prefit=True,
        predict_method="predict_proba",
    ).fit(work.X_train, work.y_train, sensitive_features=work.train.of_rows)
    groups = work.holdout.of_rows
    return lambda seed: fitted.predict(work.X_holdout, sensitive_features=groups, random_state=seed)


RUN: dict[str, Callable[[Work], Decide]] = {
    "reweighing": _reweighing,
    "correlation_remover": _correlation_remover,
    "exponentiated_gradient": _exponentiated_gradient,
    "grid_search": _grid_search,
    "threshold_optimizer": _threshold_optimizer,
}
