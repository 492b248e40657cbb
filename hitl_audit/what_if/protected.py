"""The same case with another protected attribute: alone, and with the features that go with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import InputError
from hitl_audit.groups import UNKNOWN, group_columns
from hitl_audit.what_if.answers import change_words, joined
from hitl_audit.what_if.edits import Change, EditHistory, Value

if TYPE_CHECKING:
    import pandas as pd

    from hitl_audit.what_if.engine import WhatIf

__all__ = ["FlippedCase", "ProtectedFlip", "Proxy", "flip_protected"]

FloatArray = npt.NDArray[np.float64]
Texts = npt.NDArray[np.str_]

_MOST_GROUPS = 20
_FEWEST_MEMBERS = 10


@dataclass(frozen=True)
class Proxy:
    """A feature that goes with a protected attribute.

    Attributes:
        feature, label: the feature.
        association: from 0 (none) to 1 (it gives the attribute away), corrected for chance.
        measure: ``"Cramér's V"`` (W. Bergsma, J. Korean Stat. Soc. 42, 2013) for categories,
            ``"ε"`` (the root of T. L. Kelley's ε², PNAS 21, 1935) for numbers.
        n: people it was measured on.
    """

    feature: str
    label: str
    association: float
    measure: str
    n: int


@dataclass(frozen=True)
class FlippedCase:
    """The case as a member of another group.

    Attributes:
        to: the group.
        what: ``"the attribute alone"``, or which features went with it.
        changes: what was changed.
        prediction, change, favorable: the model's answer, and how far it moved.
        flipped: whether the decision is another than before.
        words: the answer in a sentence.
    """

    to: str
    what: str
    changes: tuple[Change, ...]
    prediction: float
    change: float
    favorable: bool | None
    flipped: bool
    words: str


@dataclass(frozen=True)
class ProtectedFlip:
    """What a protected attribute, and what goes with it, do to one case.

    Attributes:
        attribute, group: the attribute and the case's group.
        is_input: whether the model is given the attribute.
        alone: the attribute changed and nothing else; () if it is not an input.
        proxies: features that go with it, the strongest first.
        with_proxies: per other group each proxy as in that group, then all of them (and
            the attribute, if it is an input).
        words: the answer in a sentence.
        notes: what a reader must know.
    """

    attribute: str
    group: str
    is_input: bool
    alone: tuple[FlippedCase, ...]
    proxies: tuple[Proxy, ...]
    with_proxies: tuple[FlippedCase, ...]
    words: str
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """One row per flipped case, without its changes."""
        import pandas as pd

        rows = [asdict(f) for f in (*self.alone, *self.with_proxies)]
        return pd.DataFrame(rows).drop(columns="changes", errors="ignore")


def flip_protected(
    engine: WhatIf,
    history: EditHistory,
    attribute: str,
    *,
    groups: Any = None,
    most_proxies: int = 3,
    at_least: float = 0.1,
) -> ProtectedFlip:
    """Show the edited case as a member of each other group.

    A proxy that is a number takes the value of the same rank in the other group; a
    category that is rarer there becomes the one that is most over-represented there.

    Args:
        engine: the model and its people.
        history: the case, as edited; one of the data.
        attribute: the protected attribute.
        groups: the group of each person, array-like, in the data's order; by default the column
            of that name.
        most_proxies: at most so many.
        at_least: weaker associations are none.

    Raises:
        InputError: no such column and no groups, too many groups, or a case that is
            not one of the data.
    """
    population = engine.population
    is_input = attribute in population.features
    names = _groups(engine, attribute, groups)
    if history.place is None:
        raise InputError(f"case {history.case} is not one of the data, so its group is not known")
    own = str(names[history.place])
    if is_input and groups is None:
        own = _text(history.values[attribute])
    sizes = {g: int((names == g).sum()) for g in sorted(set(names.tolist()))}
    others = [g for g, n in sizes.items() if g not in (own, UNKNOWN) and n >= _FEWEST_MEMBERS]
    proxies = _proxies(engine, attribute, names, most_proxies, at_least)
    moved = {
        (p.feature, g): _as_in(engine, history, p.feature, names, own, g)
        for p in proxies
        for g in others
    }
    as_value = {} if not is_input else _values_of(engine, attribute)
    alone, together = [], []
    for g in others:
        flip: dict[str, Value] = {attribute: as_value[g]} if g in as_value else {}
        if flip:
            alone.append(_flipped(engine, history, g, "the attribute alone", flip))
        for p in proxies:
            value = moved[p.feature, g]
            together.append(_flipped(engine, history, g, p.label, {p.feature: value}))
        if len(proxies) > 1 or (proxies and flip):
            every = {p.feature: moved[p.feature, g] for p in proxies}
            labels = joined([p.label for p in proxies])
            what = f"{labels} and the attribute" if flip else labels
            together.append(_flipped(engine, history, g, what, {**flip, **every}))
    return ProtectedFlip(
        attribute=attribute,
        group=own,
        is_input=is_input,
        alone=tuple(alone),
        proxies=proxies,
        with_proxies=tuple(together),
        words=_words(engine.controls[attribute].label if is_input else attribute, is_input,
                     alone, together, proxies, others),
        notes=_notes(sizes, own),
    )  # fmt: skip


def _groups(engine: WhatIf, attribute: str, groups: Any) -> Texts:
    population = engine.population
    if groups is None:
        place = population.place_of(attribute)
        if population.numeric[place] and len(np.unique(population.codes[:, place])) > _MOST_GROUPS:
            raise InputError(
                f"{attribute} is a number with many values; pass groups, one name per person"
            )
        groups = [_text(population.value(place, c)) for c in population.codes[:, place]]
    if len(groups) != len(population):
        raise InputError(
            f"groups has {len(groups)} rows and the data have {len(population)}; expected the same"
        )
    names: Texts = np.array(
        group_columns({attribute: list(groups)}, len(population))[attribute], dtype=np.str_
    )
    if len(set(names.tolist())) > _MOST_GROUPS:
        raise InputError(f"{attribute} has more than {_MOST_GROUPS} groups; expected fewer")
    return names


def _text(value: Value) -> str:
    return UNKNOWN if value is None else str(value)


def _values_of(engine: WhatIf, attribute: str) -> dict[str, Value]:
    place = engine.population.place_of(attribute)
    codes = np.unique(engine.population.codes[:, place])
    values = [engine.population.value(place, c) for c in codes if c == c]
    return {_text(v): v for v in values if v is not None}


def _proxies(
    engine: WhatIf, attribute: str, names: Texts, most: int, at_least: float
) -> tuple[Proxy, ...]:
    known = names != UNKNOWN
    found = []
    for j, (feature, control) in enumerate(engine.controls.items()):
        if feature == attribute or feature in engine.derived.how or control.constant:
            continue
        column = engine.population.codes[known, j]
        if control.is_number:
            there = ~np.isnan(column)
            strength, measure, n = _epsilon(column[there], names[known][there]), "ε", there.sum()
        else:
            strength, measure, n = _cramer(column, names[known]), "Cramér's V", len(column)
        if strength >= at_least:
            found.append(Proxy(feature, control.label, strength, measure, int(n)))
    found.sort(key=lambda p: -p.association)
    return tuple(found[:most])


def _epsilon(values: FloatArray, names: Texts) -> float:
    """√max(0, 1 - within mean square / total mean square)."""
    groups, who = np.unique(names, return_inverse=True)
    n, k = len(values), len(groups)
    if n <= k or k < 2 or np.ptp(values) == 0:
        return 0.0
    means = np.bincount(who, values) / np.bincount(who)
    within = float(((values - means[who]) ** 2).sum()) / (n - k)
    total = float(values.var(ddof=1))
    return float(np.sqrt(max(0.0, 1 - within / total)))


def _cramer(codes: FloatArray, names: Texts) -> float:
    a, b = (np.unique(v, return_inverse=True)[1] for v in (codes, names))
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1.0)
    n, (r, c) = table.sum(), table.shape
    if min(r, c) < 2 or n < 2:
        return 0.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    phi2 = float(((table - expected) ** 2 / expected).sum()) / n
    phi2 = max(0.0, phi2 - (r - 1) * (c - 1) / (n - 1))
    rows, columns = r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)
    smaller = min(rows - 1, columns - 1)
    return float(np.sqrt(phi2 / smaller)) if smaller > 0 else 0.0


def _as_in(
    engine: WhatIf, history: EditHistory, feature: str, names: Texts, own: str, to: str
) -> Value:
    """The case's value, carried to another group."""
    place = engine.population.place_of(feature)
    column = engine.population.codes[:, place]
    value = history.values[feature]
    if engine.controls[feature].is_number:
        here, there = column[names == own], column[names == to]
        here, there = here[~np.isnan(here)], there[~np.isnan(there)]
        if value is None or not len(here) or not len(there):
            return value
        below, equal = (here < float(value)).mean(), (here == float(value)).mean()
        rank = float(np.clip(below + equal / 2, 0, 1))
        return engine.population.value(
            place, float(np.quantile(there, rank, method="inverted_cdf"))
        )
    codes = np.arange(len(engine.population.categories[place]))
    shares = {
        g: np.array(
            [(column[names == g] == c).mean() if (names == g).any() else 0.0 for c in codes]
        )
        for g in (own, to)
    }
    code = int(engine.population.code(place, value))
    if shares[to][code] >= shares[own][code]:
        return value
    return engine.population.value(place, float(np.argmax(shares[to] - shares[own])))


def _flipped(
    engine: WhatIf, history: EditHistory, to: str, what: str, values: dict[str, Value]
) -> FlippedCase:
    edit = engine.edit_of(history, values, kind="flip", bounds=False)
    answer = engine.scored(history.apply(edit)) if edit.changes else engine.scored(history)
    before = engine.scored(history)
    change = answer - before
    threshold = engine.predictor.threshold
    favorable = None if threshold is None else answer >= threshold
    flipped = favorable is not None and favorable != (before >= (threshold or 0.0))
    moved = change_words(change, 1, scale=engine.predictor.output.scale)
    said = moved.replace("your edit moved it", "moves it").replace("−0.0", "+0.0")
    told = f"As {to}, {what}: {engine.prediction_words(answer)} ({said})"
    return FlippedCase(
        to, what, edit.changes, answer, change, favorable, flipped,
        f"{told}; the decision changes" if flipped else told,
    )  # fmt: skip


def _words(
    label: str,
    is_input: bool,
    alone: list[FlippedCase],
    together: list[FlippedCase],
    proxies: tuple[Proxy, ...],
    others: list[str],
) -> str:
    if not others:
        return f"No other group of {label} has {_FEWEST_MEMBERS} people to compare with."
    if not is_input:
        first = f"{label} is not an input: the model is not given it."
    elif not any(f.change for f in alone):
        first = f"{label} alone changes nothing for this case."
    else:
        top = max(alone, key=lambda f: abs(f.change))
        first = f"{top.words}."
    if not proxies:
        return f"{first} No feature goes with it noticeably."
    top = max(together, key=lambda f: abs(f.change))
    return f"{first} With what goes with it: {top.words[0].lower()}{top.words[1:]}."


def _notes(sizes: dict[str, int], own: str) -> tuple[str, ...]:
    notes = [
        "associations are of these data and corrected for chance; they say what goes together, "
        "not what causes what",
        "a number keeps its rank within the group, a category that is rarer there is exchanged",
    ]
    small = [f"{g} ({n})" for g, n in sizes.items() if n < _FEWEST_MEMBERS and g != own]
    if small:
        notes.append(
            f"groups with fewer than {_FEWEST_MEMBERS} people are left out: {joined(small)}"
        )
    return tuple(notes)
