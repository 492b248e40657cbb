"""The views of an explanation, as charts: bars of one case or of all, beeswarm, dependence."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_bool_dtype

from hitl_audit.charts import Chart, Series
from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.explanations.raw_features import hash_order, is_number
from hitl_audit.point_clouds import spread_out

if TYPE_CHECKING:
    from hitl_audit.explanations.explanation import Explanation

__all__ = ["MOST_CASES", "ChartKind", "WholeData", "draw"]

FloatArray = npt.NDArray[np.float64]
ChartKind = Literal["local", "global", "beeswarm", "dependence"]

TOP = 10
MOST_CASES = 1000
MOST_PLACES = 20
MOST_COLOURS = 6


@dataclass(frozen=True, eq=False)
class WholeData:
    """What is known of all cases where an explanation is a random draw of them.

    Attributes:
        cases: how many there are.
        importance: the table of :meth:`Explanation.global_importance` of all of them.
    """

    cases: int
    importance: pd.DataFrame


def draw(
    explanation: Explanation,
    *,
    row: Hashable | None,
    kind: ChartKind | None,
    feature: str | None,
    by: str | None,
    whole: WholeData | None = None,
) -> Chart:
    """See :meth:`Explanation.chart`; ``whole`` is known where not all cases are drawn."""
    kinds: Sequence[str] = get_args(ChartKind)
    if kind is None:
        kind = "global" if row is None else "local"
    if kind not in kinds:
        raise InputError(
            f'kind is "{kind}"; accepted: {", ".join(kinds)}{did_you_mean(kind, kinds)}'
        )
    if (row is not None) != (kind == "local"):
        raise InputError(
            f'row is {row!r} with kind "{kind}"; expected the label of a case with "local", '
            f"and with that only"
        )
    if (feature is not None) != (kind == "dependence") or (by is not None and feature is None):
        raise InputError(
            f'feature is {feature!r} and by is {by!r} with kind "{kind}"; expected a feature with '
            f'"dependence", and with that only'
        )
    if feature is not None:
        return _dependence(explanation, feature, by, whole)
    if row is not None:
        return _local(explanation, row)
    if kind == "global":
        return _global(explanation, whole)
    return _beeswarm(explanation, whole)


def _global(explanation: Explanation, whole: WholeData | None) -> Chart:
    table = explanation.global_importance() if whole is None else whole.importance
    top, rest = table.iloc[:TOP], table.iloc[TOP:]
    names, values = top["feature"].tolist(), top["mean_abs"].tolist()
    low, high = _absent(top["low"]), _absent(top["high"])
    notes = (
        [f"sd over seeds {s:.2g}" for s in top["mean_sd"]] if explanation.spread is not None else []
    )
    if len(rest):
        names.append(_rest_name(len(rest)))
        values.append(float(rest["mean_abs"].sum()))
        low.append(None)
        high.append(None)
        notes += [""] * bool(notes)
    message = f"{_leaders(explanation, names[: min(2, len(top))])}{_cases(explanation, whole)}"
    label = f"mean |{explanation.method.upper()}|"
    return _bars(explanation, message, label, names, values, low, high, notes)


def _local(explanation: Explanation, row: Hashable) -> Chart:
    i = explanation.position(row)
    phi = explanation.values[i]
    order = np.argsort(-np.abs(phi), kind="stable")
    top, rest = order[:TOP], order[TOP:]
    names = [explanation.feature_names[j] for j in top]
    values = [float(phi[j]) for j in top]
    notes = [f"= {short(explanation.data.iat[i, int(j)])}" for j in top]
    low: list[float | None] = []
    high: list[float | None] = []
    words, prediction = explanation.output_words, explanation.predictions[i]
    if explanation.spread is not None:
        sd = explanation.spread[i]
        low = [v - float(sd[j]) for v, j in zip(values, top, strict=True)]
        high = [v + float(sd[j]) for v, j in zip(values, top, strict=True)]
        notes = [f"{n}; sd over seeds {sd[j]:.2g}" for n, j in zip(notes, top, strict=True)]
        # The spread of a sum of features is not known, so the rest has no LIME bar.
        left_out = f"; {len(rest)} weaker features are left out" if len(rest) else ""
        message = (
            f"Case {row}: {words} is {prediction:.3g}; LIME weights with "
            f"± one sd over {explanation.n_seeds} seeds{left_out}"
        )
    else:
        if len(rest):
            names.append(_rest_name(len(rest)))
            values.append(float(phi[rest].sum()))
            notes.append("")
        message = (
            f"Case {row}: what moves its {words} from the base "
            f"{explanation.base_values[i]:.3g} to {prediction:.3g}"
        )
    label = f"{explanation.method.upper()} value"
    return _bars(explanation, message, label, names, values, low, high, notes)


def _bars(
    explanation: Explanation,
    message: str,
    label: str,
    names: list[str],
    values: list[float],
    low: list[float | None],
    high: list[float | None],
    notes: list[str],
) -> Chart:
    numbers = ", ".join(f"{n} {v:+.3g}" for n, v in zip(names, values, strict=True))
    series = Series(
        name=explanation.method.upper(),
        x=tuple(names),
        y=tuple(values),
        low=tuple(low),
        high=tuple(high),
        notes=tuple(notes),
    )
    return Chart(
        kind="bars",
        message=message,
        alt=f"{message}. {numbers}.",
        value_label=f"{label} ({explanation.output_words})",
        series=(series,),
    )


def _beeswarm(explanation: Explanation, whole: WholeData | None) -> Chart:
    if whole is None:
        strongest = np.argsort(-np.abs(explanation.values).mean(axis=0), kind="stable").tolist()
    else:
        strongest = [explanation.feature_names.index(f) for f in whole.importance["feature"]]
    top = strongest[:TOP]
    places, said = _drawn(explanation, whole)
    x: list[str] = []
    y: list[float] = []
    shades: list[float | None] = []
    ranges = []
    for j in top:
        name = explanation.feature_names[j]
        if explanation.spread is not None:
            name += f" (mean sd over seeds {explanation.spread[:, j].mean():.2g})"
        values = explanation.values[places, j]
        x += [name] * len(places)
        y += values.tolist()
        shades += _ranks(explanation.data.iloc[:, int(j)].iloc[places])
        ranges.append(f"{name} {values.min():+.3g} to {values.max():+.3g}")
    rest = len(strongest) - len(top)
    left_out = f"; {rest} weaker features are left out" if rest else ""
    leaders = _leaders(explanation, [explanation.feature_names[j] for j in top[:2]])
    message = f"{leaders}{_cases(explanation, whole)}{said}{left_out}"
    return Chart(
        kind="swarm",
        message=message,
        alt=f"{message}. One point per case; {', '.join(ranges)}.",
        value_label=f"{explanation.method.upper()} value ({explanation.output_words})",
        series=(Series(explanation.method.upper(), tuple(x), tuple(y), shades=tuple(shades)),),
        shade_label="Value of the feature",
    )


def _dependence(
    explanation: Explanation, feature: str, by: str | None, whole: WholeData | None
) -> Chart:
    j = _feature(explanation, "feature", feature)
    places, said = _drawn(explanation, whole)
    column = explanation.data.iloc[:, j].iloc[places]
    y = explanation.values[places, j]
    x, ticks = _places(column, y)
    method = explanation.method.upper()
    sd = ""
    if explanation.spread is not None:
        sd = f", mean sd over seeds {explanation.spread[:, j].mean():.2g}"
    low, high = float(y.min()), float(y.max())
    message = (
        f"How {feature} moves the model's {explanation.output_words}: by {low:+.3g} to {high:+.3g} "
        f"({method}{sd}, {_count(explanation, whole):,} cases){said}"
    )
    shade: dict[str, Any] = {}
    if by is None:
        series = [Series(method, tuple(x), tuple(y.tolist()))]
    else:
        second = explanation.data.iloc[:, _feature(explanation, "by", by)].iloc[places]
        if is_number(second):
            seen = second.dropna()
            if len(seen):
                shade["shade_ends"] = (short(seen.min()), short(seen.max()))
            shade["shade_label"] = by
            series = [Series(method, tuple(x), tuple(y.tolist()), shades=tuple(_ranks(second)))]
        else:
            series = _one_per_level(by, second, x, y)
    return Chart(
        kind="points",
        message=message,
        alt=f"{message}. {_means_by_place(column, y)}.",
        value_label=f"{method} value of {feature} ({explanation.output_words})",
        x_label=feature,
        x_ticks=tuple(ticks),
        series=tuple(series),
        **shade,
    )


def _one_per_level(by: str, second: pd.Series, x: list[float], y: FloatArray) -> list[Series]:
    texts = second.map(short, na_action=None).astype(object).to_numpy()
    common = pd.Series(texts).value_counts().index.tolist()
    kept = common if len(common) <= MOST_COLOURS else common[: MOST_COLOURS - 1]
    names = np.array([t if t in kept else "other values" for t in texts], dtype=object)
    series = []
    for level in dict.fromkeys([*sorted(kept), *names.tolist()]):
        here = np.flatnonzero(names == level)
        at = tuple(x[i] for i in here)
        series.append(Series(f"{by} = {level}", at, tuple(y[here].tolist())))
    return series


def _feature(explanation: Explanation, field: str, name: str) -> int:
    names = explanation.feature_names
    if str(name) not in names:
        raise InputError(
            f'{field} is "{name}"; expected one of the {len(names)} features'
            f"{did_you_mean(str(name), names)}"
        )
    return names.index(str(name))


def _drawn(explanation: Explanation, whole: WholeData | None) -> tuple[npt.NDArray[np.intp], str]:
    """The cases that are drawn as points, and the words that say so."""
    n = len(explanation.values)
    places = np.arange(n)
    if n > MOST_CASES:
        order = hash_order(explanation.data, random_state=explanation.random_state)
        places = np.sort(order[:MOST_CASES])
    if len(places) == _count(explanation, whole):
        return places, ""
    return places, f"; {len(places):,} of them drawn, chosen by a seeded hash"


def _ranks(column: pd.Series) -> list[float | None]:
    """Each value's place between the lowest (0) and the highest (1); ``None`` without order."""
    if not (is_number(column) or is_bool_dtype(column)):
        return [None] * len(column)
    ranks = column.astype("Float64").rank(method="average").to_numpy(np.float64, na_value=np.nan)
    low, high = np.nanmin(ranks, initial=np.inf), np.nanmax(ranks, initial=-np.inf)
    if not low < high:
        return [None] * len(column)
    return [None if math.isnan(r) else float((r - low) / (high - low)) for r in ranks]


def _places(column: pd.Series, y: FloatArray) -> tuple[list[float], list[tuple[float, str]]]:
    """Where each value stands on the x axis, and the names of the places (none for numbers)."""
    if is_number(column):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        missing = np.isnan(values)
        if not missing.any():
            return values.tolist(), []
        if missing.all():
            return [0.0] * len(values), [(0.0, "missing")]
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        aside = low - 0.12 * (high - low or abs(low) or 1.0)
        ticks = [(aside, "missing"), *((t, f"{t:.4g}") for t in _round_numbers(low, high))]
        return np.where(missing, aside, values).tolist(), ticks
    texts = column.map(short, na_action=None).astype(object).to_numpy()
    counts = pd.Series(texts).value_counts()
    kept = set(counts.index if len(counts) <= MOST_PLACES else counts.index[: MOST_PLACES - 1])
    if isinstance(column.dtype, pd.CategoricalDtype):
        levels = [str(c) for c in column.cat.categories if str(c) in kept]
    else:
        levels = sorted(kept - {"missing"})
    levels += ["missing"] * ("missing" in kept and "missing" not in levels)
    levels += ["other values"] * (len(kept) < len(counts))
    x = np.zeros(len(texts))
    low, high = float(y.min()), float(y.max())
    for place, level in enumerate(levels):
        here = np.flatnonzero([(t if t in kept else "other values") == level for t in texts])
        x[here] = place + np.array(spread_out(y[here].tolist(), low, high, width=0.35))
    return x.tolist(), [(float(i), level) for i, level in enumerate(levels)]


def _round_numbers(low: float, high: float) -> list[float]:
    if low == high:
        return [low]
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(f * power for f in (1, 2, 5, 10) if f * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def _means_by_place(column: pd.Series, y: FloatArray) -> str:
    """The numbers of a dependence chart for who does not see it: means over quarters or levels."""
    if is_number(column):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        seen = values[~np.isnan(values)]
        edges = np.unique(np.quantile(seen, [0, 0.25, 0.5, 0.75, 1])) if len(seen) else np.zeros(0)
        parts = []
        for k, (a, b) in enumerate(pairwise(edges)):
            last = k == len(edges) - 2
            here = (values >= a) & ((values <= b) if last else (values < b))
            if here.any():
                parts.append(f"from {a:.4g} to {b:.4g}: {y[here].mean():+.3g}")
        if len(edges) == 1:
            parts.append(f"at {edges[0]:.4g}: {y[~np.isnan(values)].mean():+.3g}")
        if np.isnan(values).any():
            parts.append(f"missing: {y[np.isnan(values)].mean():+.3g}")
    else:
        texts = column.map(short, na_action=None).astype(object).to_numpy()
        means = pd.Series(y).groupby(texts).mean()
        parts = [f"{level}: {mean:+.3g}" for level, mean in means.head(MOST_PLACES).items()]
    return f"Mean attribution {', '.join(parts)}"


def _leaders(explanation: Explanation, names: list[str]) -> str:
    verb = "moves" if len(names) == 1 else "move"
    return f"{' and '.join(names)} {verb} the model's {explanation.output_words} most "


def _cases(explanation: Explanation, whole: WholeData | None) -> str:
    return f"({explanation.method.upper()}, {_count(explanation, whole):,} cases)"


def _count(explanation: Explanation, whole: WholeData | None) -> int:
    return len(explanation.values) if whole is None else whole.cases


def _absent(column: pd.Series) -> list[float | None]:
    return [None if np.isnan(v) else float(v) for v in column]


def _rest_name(count: int) -> str:
    return f"{count} other feature{'s' if count > 1 else ''}"


def short(value: Any) -> str:
    """A raw value for people."""
    if isinstance(value, float | np.floating):
        return "missing" if np.isnan(value) else f"{value:.4g}"
    return "missing" if pd.isna(value) else str(value)
