"""Metrics of the user's own, measured row by row through Fairlearn."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.fairness.rates import DEFAULT_METRICS, METRICS
from hitl_audit.groups import Feature

__all__ = ["OwnMetrics", "split_metrics"]

Array = npt.NDArray[Any]
Metric = Callable[..., float]


def split_metrics(metrics: Any) -> tuple[tuple[str, ...], dict[str, Metric]]:
    """Tell the metrics that counts give from those that only their function knows.

    A function of Fairlearn's or scikit-learn's that counts give is recognised.

    Args:
        metrics: names, functions ``f(y_true, y_pred)``, both mixed, or a
            mapping of names to functions; ``None`` for the default.

    Raises:
        InputError: an unknown name, a function without one, or no metric.
    """
    if metrics is None:
        return DEFAULT_METRICS, {}
    if isinstance(metrics, Mapping):
        given = list(metrics.items())
    else:
        listed = [metrics] if callable(metrics) or isinstance(metrics, str) else list(metrics)
        given = [(m if isinstance(m, str) else getattr(m, "__name__", ""), m) for m in listed]
    known: list[str] = []
    own: dict[str, Metric] = {}
    functions = _counted() if any(callable(metric) for _, metric in given) else {}
    for name, metric in given:
        if callable(metric):
            if not name:
                raise InputError(f"metric {metric!r} has no name; accepted: {{name: function}}")
            same = [n for n, function in functions.items() if function is metric]
            # In a mapping the user's name for the function stays.
            if same and (not isinstance(metrics, Mapping) or name in same):
                known += same
            elif name in METRICS:
                raise InputError(f'metric "{name}" is built in and cannot be another function')
            else:
                own[name] = metric
        elif metric in METRICS and name == metric:
            known.append(metric)
        elif metric in METRICS:
            raise InputError(
                f'metrics calls "{metric}" by another name, "{name}"; accepted: '
                f'{{"{metric}": "{metric}"}}, or a function by any name'
            )
        else:
            hint = did_you_mean(str(metric), METRICS)
            raise InputError(f'metric is "{metric}"; accepted: {", ".join(METRICS)}{hint}')
    if not given:
        raise InputError(f"metrics is empty; accepted: {', '.join(METRICS)}")
    return tuple(dict.fromkeys(known)), own


def _counted() -> dict[str, Metric]:
    from fairlearn import metrics as fairlearn
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, precision_score

    return {
        "selection_rate": fairlearn.selection_rate,
        "true_positive_rate": fairlearn.true_positive_rate,
        "false_positive_rate": fairlearn.false_positive_rate,
        "true_negative_rate": fairlearn.true_negative_rate,
        "false_negative_rate": fairlearn.false_negative_rate,
        "count": fairlearn.count,
        "accuracy": accuracy_score,
        "balanced_accuracy": balanced_accuracy_score,
        "f1": f1_score,
        "precision": precision_score,
    }


@dataclass(frozen=True, eq=False)
class OwnMetrics:
    """Functions of the user's over the rows, by encoded groups.

    Attributes:
        functions: name → ``f(y_true, y_pred)`` or ``f(…, sample_weight=…)``.
        y_true, y_pred, weight: (rows,).
        controls, sensitive: the encoded columns.
    """

    functions: Mapping[str, Metric]
    y_true: Array
    y_pred: Array
    weight: Array | None
    controls: tuple[Feature, ...]
    sensitive: tuple[Feature, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the functions."""
        return tuple(self.functions)

    def values(self, groups: Array, strata: Array) -> list[dict[str, Array]]:
        """Per function: kind → values of the groups or strata (codes, in this order).

        Raises:
            InputError: a function takes no weights, or returns no single number.
        """
        frame = self._frame()
        found = {
            "by_group": frame.by_group,
            "overall": frame.overall,
            "group_min": frame.group_min(),
            "group_max": frame.group_max(),
        }
        for method in ("between_groups", "to_overall"):
            found[f"difference {method}"] = frame.difference(method=method)
            found[f"ratio {method}"] = frame.ratio(method=method)
        return [
            {
                kind: self._aligned(kind, value, name, groups, strata)
                for kind, value in found.items()
            }
            for name in self.names
        ]

    def intervals(
        self, n_boot: int, seed: int, tails: Sequence[float], groups: Array, strata: Array
    ) -> list[dict[str, Array]]:
        """Per function: kind → (3, groups or strata), from Fairlearn's own resamples."""
        frame = self._frame(n_boot=n_boot, ci_quantiles=list(tails), random_state=seed)
        found = {
            "by_group": frame.by_group_ci,
            "overall": frame.overall_ci,
            "group_min": frame.group_min_ci(),
            "group_max": frame.group_max_ci(),
        }
        for method in ("between_groups", "to_overall"):
            found[f"difference {method}"] = frame.difference_ci(method=method)
            found[f"ratio {method}"] = frame.ratio_ci(method=method)
        result = []
        for name in self.names:
            kinds = {}
            for kind, bounds in found.items():
                low, high = (self._aligned(kind, b, name, groups, strata) for b in bounds)
                # How many replicates had no value Fairlearn does not say.
                kinds[kind] = np.vstack([low, high, np.full(len(low), np.nan)])
            result.append(kinds)
        return result

    def _frame(self, **options: Any) -> Any:
        from fairlearn.metrics import MetricFrame

        params = {}
        for name, function in self.functions.items():
            if self.weight is None:
                continue
            if not _takes_weights(function):
                raise InputError(
                    f'metric "{name}" takes no sample_weight; accepted with weights: a function '
                    "with that argument"
                )
            params[name] = {"sample_weight": self.weight}

        def codes(features: Sequence[Feature]) -> pd.DataFrame:
            return pd.DataFrame({f.name: f.codes for f in features})

        frame = MetricFrame(
            metrics=dict(self.functions),
            y_true=self.y_true,
            y_pred=self.y_pred,
            sensitive_features=codes(self.sensitive),
            control_features=codes(self.controls) if self.controls else None,
            sample_params=params,
            **options,
        )
        for name in self.names:
            if not all(np.isscalar(value) for value in frame.by_group[name]):
                raise InputError(f'metric "{name}" returns no single number; accepted: one number')
        return frame

    def _aligned(self, kind: str, value: Any, name: str, groups: Array, strata: Array) -> Array:
        if kind == "by_group":
            column, codes = value[name], groups
        elif self.controls:
            column, codes = value[name], strata[:, : len(self.controls)]
        else:
            return np.array([float(value[name])])
        keys = [tuple(row) if len(row) > 1 else row[0] for row in codes.tolist()]
        return np.asarray(column.reindex(keys), dtype=np.float64)


def _takes_weights(function: Metric) -> bool:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    return "sample_weight" in parameters
