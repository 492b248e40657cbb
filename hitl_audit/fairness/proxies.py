"""How well the model's inputs give away a protected attribute, held out.

A feature that predicts the attribute can stand in for it even if the attribute
is not an input. Strength is the area under the ROC curve of telling one group
from all others on rows the predictor was not fitted on: 0.5 is chance, 1 gives
the group away.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import Chart, Series, number, to_plotly
from hitl_audit.errors import InputError
from hitl_audit.fairness.measures import Floats, Ints, accept, as_frame, check_settings
from hitl_audit.groups import UNKNOWN, group_columns

__all__ = ["ALL_GROUPS", "ALL_INPUTS", "ProxyStrength", "ProxyStrengths", "proxy_strength"]

ALL_INPUTS = "all inputs together"
"""The feature name of the row for all inputs at once."""

ALL_GROUPS = "all groups (mean)"
"""The group name of the unweighted mean over the groups."""

METHOD = (
    "DeLong on the logit scale, of out-of-fold scores ranked within their fold, its variance "
    "corrected for overlapping training sets (Nadeau-Bengio)"
)
_LEAVES = 8
_LEAF_ROWS = 20
_LEVELS = 254
_CHART_FEATURES = 15


@dataclass(frozen=True)
class ProxyStrength:
    """How well one feature tells one group from all others.

    Attributes:
        attribute, group: who is told apart; :data:`ALL_GROUPS` for the mean.
        feature: the model input; :data:`ALL_INPUTS` for all at once.
        n: rows with a known group.
        members: those of the group.
        auc: held-out area under the ROC curve; ``None`` for a small group.
        low, high: interval; ``None`` where none can be vouched for (the
            feature does not vary, or it makes no error).
        status: ``"ok"``, ``"small group"`` or ``"does not vary"``.
    """

    attribute: str
    group: str
    feature: str
    n: int
    members: int
    auc: float | None
    low: float | None
    high: float | None
    status: Literal["ok", "small group", "does not vary"]


@dataclass(frozen=True)
class ProxyStrengths:
    """How well every feature, alone and all together, gives each attribute away.

    Attributes:
        rows: per attribute all inputs together first, then the features, the
            strongest first; of each the mean over groups first.
        folds, min_group, confidence, method, random_state: how it was done.
        notes: what a reader must know about these numbers.
    """

    rows: tuple[ProxyStrength, ...]
    folds: int
    min_group: int
    confidence: float
    method: str
    random_state: int
    notes: tuple[str, ...]

    @property
    def attributes(self) -> tuple[str, ...]:
        """The protected attributes."""
        return tuple(dict.fromkeys(row.attribute for row in self.rows))

    def of(self, attribute: str, feature: str, group: str = ALL_GROUPS) -> ProxyStrength:
        """One row.

        Raises:
            KeyError: there is none.
        """
        for row in self.rows:
            if (row.attribute, row.feature, row.group) == (attribute, feature, group):
                return row
        raise KeyError((attribute, feature, group))

    def frame(self) -> pd.DataFrame:
        """One row per attribute, feature and group."""
        return as_frame(self.rows, ProxyStrength)

    def chart(
        self,
        attribute: str,
        group: str = ALL_GROUPS,
        *,
        labels: Mapping[str, str] | None = None,
    ) -> Chart:
        """The strongest features for one attribute, with intervals.

        Args:
            attribute: the protected attribute.
            group: one of its groups; default the mean over them.
            labels: column → plain words, for features and attributes.

        Raises:
            InputError: an attribute or group that was not measured.
        """
        accept("attribute", attribute, self.attributes)
        of_attribute = [row for row in self.rows if row.attribute == attribute]
        accept("group", group, [row.group for row in of_attribute])
        of_group = [row for row in of_attribute if row.group == group]
        words = {} if labels is None else labels
        name = words.get(attribute, attribute)
        name = name[:1].lower() + name[1:]
        shown = of_group[: _CHART_FEATURES + 1]
        features = tuple(words.get(row.feature, row.feature) for row in shown)
        together, *single = shown
        said = f"{name} cannot be measured here: its groups are too small."
        if together.auc is not None:
            said = f"All inputs together tell {name} apart with an AUC of {number(together.auc)}"
            if single and single[0].auc is not None:
                said += f"; the strongest by itself is {features[1]} ({number(single[0].auc)})"
            said += ". 0.5 is chance."
        if len(shown) < len(of_group):
            said += f" The {len(single)} strongest of {len(of_group) - 1} features are shown."
        listed = "; ".join(
            f"{feature} no value"
            if row.auc is None
            else f"{feature} {number(row.auc)}"
            + ("" if row.low is None else f" ({number(row.low)} to {number(row.high or 1.0)})")
            for feature, row in zip(features, shown, strict=True)
        )
        return Chart(
            kind="intervals",
            message=said,
            alt=f"{said} With {self.confidence * 100:g}% intervals: {listed}.",
            value_label=f"Held-out AUC of {name}",
            series=(
                Series(
                    name="AUC",
                    x=features,
                    y=tuple(row.auc for row in shown),
                    low=tuple(row.low for row in shown),
                    high=tuple(row.high for row in shown),
                    notes=tuple("" if row.status == "ok" else row.status for row in shown),
                ),
            ),
            thresholds=((0.5, "chance"),),
        )

    def plot(self, attribute: str, group: str = ALL_GROUPS) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart(attribute, group))

    def _repr_html_(self) -> str:
        table = self.frame().to_html(max_rows=60, float_format="{:.3f}".format, na_rep="–")
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return f"{table}<ul>{notes}</ul>"


def proxy_strength(
    X: Any,
    sensitive_features: Any,
    *,
    folds: int = 5,
    min_group: int = 30,
    max_rows: int = 20_000,
    confidence: float = 0.95,
    random_state: int = 0,
) -> ProxyStrengths:
    """Predict every protected attribute from the inputs, each alone and all together.

    Alone, a number is cut by a small decision tree and a category is scored by
    the smoothed shares of the groups in it; together, scikit-learn's histogram
    gradient boosting. Missing values are a value like any other. Every score
    is out of fold.

    Args:
        X: (rows, features) the model's raw inputs.
        sensitive_features: see :func:`hitl_audit.groups.group_columns`. Rows
            whose value is missing are left out.
        folds: of the cross-validation, stratified by group.
        min_group: groups with fewer rows are listed but not scored.
        max_rows: a seeded sample of this many rows is used if there are more.
        confidence: of every interval.
        random_state: seed.

    Raises:
        InputError: no feature, no rows, or lengths that differ.
    """
    check_settings(confidence=confidence, folds=folds, min_group=min_group, max_rows=max_rows)
    if folds < 2 or min_group < folds:
        raise InputError(
            f"folds is {folds} and min_group is {min_group}; accepted: 2 folds or more, and a "
            "min_group of at least as many"
        )
    frame = _as_frame(X)
    if frame.empty:
        raise InputError(f"X has shape {frame.shape}; accepted: at least one row and one feature")
    columns = group_columns(sensitive_features, len(frame))
    rng = np.random.default_rng(random_state)
    drawn = np.arange(len(frame))
    notes = [
        "0.5 is chance, 1 gives the group away. A strong feature can stand in for the attribute; "
        "whether the model uses it that way is for the contributions to the gap and for people "
        "to say.",
        f"{folds} folds; intervals: {METHOD}. They are not adjusted for looking at "
        f"{frame.shape[1]} features.",
    ]
    if len(frame) > max_rows:
        drawn = np.sort(rng.choice(len(frame), max_rows, replace=False))
        notes.append(f"Measured on a random sample of {max_rows:,} of {len(frame):,} rows.")
    rows: list[ProxyStrength] = []
    for attribute, values in columns.items():
        if attribute in frame.columns:
            notes.append(f"{attribute} is itself an input of the model.")
        known = drawn[values[drawn] != UNKNOWN]
        if len(known) < len(drawn):
            notes.append(
                f"{attribute} is not known in {len(drawn) - len(known):,} of {len(drawn):,} rows, "
                "which are left out."
            )
        groups, codes = np.unique(values[known], return_inverse=True)
        if len(groups) < 2:
            notes.append(f"{attribute} has fewer than two known groups: nothing to tell apart.")
            continue
        task = _Task(
            attribute, [str(g) for g in groups], codes, folds, min_group, confidence, random_state
        )
        small = [g for g, size in zip(task.groups, task.sizes, strict=True) if size < min_group]
        if small:
            notes.append(
                f"{attribute}: {', '.join(small)} with fewer than {min_group} rows "
                f"{'is' if len(small) == 1 else 'are'} listed but not scored."
            )
        part = frame.iloc[known]
        single = [
            task.strengths(name, _alone(part.iloc[:, i], task))
            for i, name in enumerate(frame.columns)
        ]
        # A mean that is missing (no group is large enough) stands last.
        single.sort(key=lambda found: (found[0].auc is None, -(found[0].auc or 0.0)))
        rows += task.strengths(ALL_INPUTS, _together(part, task))
        rows += [row for found in single for row in found]
    return ProxyStrengths(
        tuple(rows), folds, min_group, confidence, METHOD, random_state, tuple(notes)
    )


def _as_frame(X: Any) -> pd.DataFrame:
    frame = X.to_pandas() if hasattr(X, "to_pandas") else X
    frame = frame if isinstance(frame, pd.DataFrame) else pd.DataFrame(np.asarray(frame))
    return frame.set_axis([str(name) for name in frame.columns], axis=1).reset_index(drop=True)


@dataclass(frozen=True, eq=False)
class _Task:
    """One attribute to predict: the rows' groups, and the folds they fall in."""

    attribute: str
    groups: list[str]
    codes: Ints
    n_folds: int
    min_group: int
    confidence: float
    seed: int

    @property
    def sizes(self) -> Ints:
        return np.bincount(self.codes)

    @property
    def folds(self) -> list[tuple[Ints, Ints]]:
        """(train, test) per fold; every group is spread evenly over the folds."""
        rng = np.random.default_rng(self.seed)
        order = rng.permutation(len(self.codes))
        order = order[np.argsort(self.codes[order], kind="stable")]
        fold = np.empty(len(order), dtype=np.int64)
        fold[order] = np.arange(len(order)) % self.n_folds
        return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(self.n_folds)]

    def strengths(self, feature: str, scores: Floats) -> list[ProxyStrength]:
        """The mean over groups and every group, from (rows, groups) out-of-fold scores."""
        n = len(self.codes)
        found: list[ProxyStrength] = []
        curves = []
        varies = bool((np.ptp(scores, axis=0) > 0).any())
        state: Literal["ok", "does not vary"] = "ok" if varies else "does not vary"
        for place, (group, size) in enumerate(zip(self.groups, self.sizes, strict=True)):
            auc = low = high = None
            if size >= self.min_group:
                auc, influence = _auc(self.codes == place, scores[:, place])
                curves.append((auc, influence))
                low, high = self._interval(auc, influence)
            found.append(
                ProxyStrength(
                    self.attribute,
                    group,
                    feature,
                    n,
                    int(size),
                    auc,
                    low,
                    high,
                    "small group" if auc is None else state,
                )
            )
        mean = low = high = None
        if curves:
            mean = float(np.mean([auc for auc, _ in curves]))
            low, high = self._interval(mean, np.mean([i for _, i in curves], axis=0))
        return [
            ProxyStrength(
                self.attribute,
                ALL_GROUPS,
                feature,
                n,
                int(sum(size for size in self.sizes if size >= self.min_group)),
                mean,
                low,
                high,
                "small group" if mean is None else state,
            ),
            *found,
        ]

    def _interval(self, auc: float, influence: Floats) -> tuple[float | None, float | None]:
        # Folds share most of their training rows, so their errors go together; without the
        # correction of Nadeau & Bengio (Machine Learning 52 (2003), 239-281) a 95% interval of a
        # useless feature covered 0.5 in fewer than 80% of simulations.
        correction = 1 + self.n_folds / (self.n_folds - 1)
        error = math.sqrt(correction * float((influence**2).sum()))
        if error == 0 or not 0 < auc < 1:
            return None, None
        reach = NormalDist().inv_cdf((1 + self.confidence) / 2) * error / (auc * (1 - auc))
        low, high = (auc / (1 - auc) * math.exp(sign * reach) for sign in (-1, 1))
        return low / (1 + low), high / (1 + high)


def _auc(member: npt.NDArray[np.bool_], scores: Floats) -> tuple[float, Floats]:
    """Area under the curve, and what each row adds to its error (Σ of squares = variance).

    DeLong's structural components, Biometrics 44 (1988), 837-845, from midranks.
    """
    from scipy.stats import rankdata

    ours, others = scores[member], scores[~member]
    m, n = len(ours), len(others)
    above = (rankdata(scores)[member] - rankdata(ours)) / n
    below = 1 - (rankdata(scores)[~member] - rankdata(others)) / m
    auc = float(above.mean())
    influence = np.empty(len(scores))
    influence[member] = (above - auc) / math.sqrt(m * (m - 1))
    influence[~member] = (below - auc) / math.sqrt(n * (n - 1)) if n > 1 else 0.0
    return auc, influence


def _ranked(scores: Floats) -> Floats:
    """Ranks within one fold around 0, so that folds with other levels can be pooled."""
    from scipy.stats import rankdata

    return np.asarray((rankdata(scores, axis=0) - (len(scores) + 1) / 2) / len(scores))


def _alone(column: pd.Series, task: _Task) -> Floats:
    """(rows, groups) out-of-fold scores from one feature."""
    if _is_number(column):
        return _number_alone(column, task)
    codes, levels = pd.factorize(column, use_na_sentinel=False)
    scores = np.empty((len(column), len(task.groups)))
    for train, test in task.folds:
        cells = codes[train] * len(task.groups) + task.codes[train]
        counts = np.bincount(cells, minlength=len(levels) * len(task.groups))
        table = counts.reshape(len(levels), -1).astype(np.float64)
        prior = table.sum(axis=0) / table.sum()
        # One row's worth of the overall shares: a level that is new in the
        # test fold says nothing.
        shares = (table + prior) / (table.sum(axis=1, keepdims=True) + 1)
        scores[test] = _ranked(shares[codes[test]])
    return scores


def _number_alone(column: pd.Series, task: _Task) -> Floats:
    from sklearn.tree import DecisionTreeClassifier

    ranks = _ranks(column)[:, None]
    scores = np.zeros((len(column), len(task.groups)))
    for train, test in task.folds:
        tree = DecisionTreeClassifier(
            max_leaf_nodes=_LEAVES, min_samples_leaf=2 * _LEAF_ROWS, random_state=task.seed
        ).fit(ranks[train], task.codes[train])
        chances = np.zeros((len(test), len(task.groups)))
        chances[:, tree.classes_] = tree.predict_proba(ranks[test])
        scores[test] = _ranked(chances)
    return scores


def _together(frame: pd.DataFrame, task: _Task) -> Floats:
    """(rows, groups) out-of-fold scores from all features."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    columns = [frame.iloc[:, i] for i in range(frame.shape[1])]
    numeric = [_is_number(column) for column in columns]
    table = np.column_stack(
        [
            _ranks(column) if is_number else _common_levels(column)
            for column, is_number in zip(columns, numeric, strict=True)
        ]
    )
    scores = np.zeros((len(frame), len(task.groups)))
    for train, test in task.folds:
        model = HistGradientBoostingClassifier(
            # One tree per group and iteration: many groups get fewer iterations.
            max_iter=max(10, min(60, 600 // len(task.groups))),
            max_leaf_nodes=8,
            min_samples_leaf=_LEAF_ROWS,
            categorical_features=~np.array(numeric),
            early_stopping=False,
            random_state=task.seed,
        )
        # On so few rows threads wait for each other far longer than they work.
        chances = np.zeros((len(test), len(task.groups)))
        with threadpool_limits(1):
            model.fit(table[train], task.codes[train])
            chances[:, model.classes_] = model.predict_proba(table[test])
        scores[test] = _ranked(chances)
    return scores


def _common_levels(column: pd.Series) -> Floats:
    """Category codes by frequency; the rarest share one code, because boosting takes 255."""
    codes, _ = pd.factorize(column, use_na_sentinel=False)
    order = np.argsort(np.argsort(-np.bincount(codes), kind="stable"))
    return np.asarray(np.minimum(order[codes], _LEVELS - 1), dtype=np.float64)


def _ranks(column: pd.Series) -> Floats:
    # Ranks keep the order, which is all a tree sees, and make infinity a number.
    ranks = column.rank(method="dense")
    return np.asarray(ranks.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)


def _is_number(column: pd.Series) -> bool:
    kind = column.dtype
    return pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_datetime64_any_dtype(kind)
