"""Principal reasons of denials (adverse action), from attributions. Describes; decides nothing.

Equal Credit Opportunity Act, Regulation B, 12 CFR 1002.9(b)(2): the reasons
must be specific and indicate the principal ones. The official interpretation
of 9(b)(2): more than four are not likely to help (comment 1); reasons relate
only to factors actually scored, and no principal reason may be left out
(comment 4); no one method is required, two named ones compare the applicant
with those at or slightly above the minimum passing score, or with all
applicants (comment 5). Here the comparison is the background of SHAP values.
For an additive scorecard the SHAP value of a factor is the applicant's points
for it minus the average points of the comparison group: those two methods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.explanations.explain import explain
from hitl_audit.explanations.model_output import Scale
from hitl_audit.explanations.raw_features import hash_order, is_number, sample_rows
from hitl_audit.explanations.views.asking import (
    check_integers,
    check_order,
    check_share,
    features_used,
    read_subject,
)
from hitl_audit.explanations.views.principal_reasons import Comparison, Reasons
from hitl_audit.explanations.views.reason_texts import ReasonText, check_texts, reason_text

__all__ = ["adverse_action_reasons"]

FloatArray = npt.NDArray[np.float64]

# Attributions are checked against the model to 1e-6: less is not a reason.
LEAST = 1e-6


def adverse_action_reasons(
    model: Any,
    X: Any,
    *,
    decisions: Any,
    denied: Any = 0,
    compare_with: Comparison = "all",
    at_most: int = 4,
    texts: Mapping[str, ReasonText] | None = None,
    higher_output: Literal["approves", "denies"] = "approves",
    output: Any = None,
    scale: Scale | None = None,
    just_above: float = 0.1,
    background_rows: int = 100,
    n_backgrounds: int = 4,
    random_state: int = 0,
    feature_names: Sequence[str] | None = None,
) -> Reasons:
    """The principal reasons of every denied case.

    A reason is a feature whose SHAP value pushes the case towards denial,
    measured from the average output of the comparison group:

    - ``"all"``: all rows of X, a sample of ``background_rows`` of them;
    - ``"just above the cut-off"``: the approved rows with the outputs nearest
      to denial, ``just_above`` of the approved ones but at least 20 (or all).

    The group decides what counts as a reason: a weakness that all applicants
    share is none against "all", and may be one against the just approved.

    A feature that the model does not use is never a reason: every feature is
    shuffled among the rows, and only one that changes some output counts as
    used. Stability repeats everything with other backgrounds, drawn with
    replacement from the comparison group, and other seeds.

    Args:
        model: as in ``explain``.
        X: raw rows of all applicants; the index names the cases.
        decisions: (rows,) the decision on each row.
        denied: the value in ``decisions`` that is a denial.
        compare_with: the comparison group.
        at_most: most reasons per case.
        texts: feature → what is told. A text, or a mapping: for numbers by
            ``"below"`` and ``"above"`` (the comparison group's median; equal is
            below), for other values by the value as shown; ``"missing"``; and
            ``"otherwise"``. Every feature that the model uses needs one,
            because no principal reason may be left out. ``None`` tells the
            features' names.
        higher_output: whether a higher output approves or denies.
        output: as in ``explain``.
        scale: as in ``explain``; by default the value of a regressor and the
            probability of all else.
        just_above: share of the approved rows that are just above the cut-off.
        background_rows: rows of the comparison group used at a time.
        n_backgrounds: other backgrounds for the stability, at least 1.
        random_state: seed.
        feature_names: names for the columns of an array.

    Raises:
        InputError: an argument cannot be used, no case is denied, none is
            approved for ``"just above the cut-off"``, or a used feature has no text.
        ExplanationError: no explanation agrees with the model.
    """
    _check(compare_with, higher_output, at_most, background_rows, n_backgrounds, just_above)
    subject = read_subject(
        model,
        X,
        output=output,
        scale=scale,
        feature_names=feature_names,
        random_state=random_state,
    )
    rows, what = subject.rows, subject.output
    is_denied = _denials(rows, decisions, denied)
    if not rows.index.is_unique:
        raise InputError("X has an index with repeated labels; expected one label per case")
    used = features_used(what, rows, random_state=random_state)
    names = [str(c) for c in rows.columns]
    check_texts(texts, rows.columns, used)
    outputs = what(rows)
    sign = 1.0 if higher_output == "approves" else -1.0
    group = rows
    if compare_with != "all":
        group = _just_above(rows, sign * outputs, ~is_denied, just_above)
    cases = rows[is_denied]

    def attributions(background: pd.DataFrame, seed: int) -> FloatArray:
        found = explain(
            model,
            # A model that was fitted on arrays is asked with arrays.
            cases.to_numpy() if what.as_array else cases,
            background=background,
            feature_names=names if what.as_array else None,
            output=what.label,
            scale=what.scale,
            random_state=seed,
        )
        return sign * found.values

    first = sample_rows(group, background_rows, random_state=random_state)
    raw = attributions(first, random_state)
    dropped = float(np.abs(raw[:, ~used]).max(initial=0.0))
    values = np.where(used, raw, 0.0)
    ranked = _top(values, at_most)
    rng = np.random.default_rng(random_state)
    stays = np.zeros(values.shape)
    first_stays = np.zeros(len(values))
    ordered = group.iloc[hash_order(group, random_state=random_state)]
    for other in range(1, n_backgrounds + 1):
        drawn = ordered.iloc[rng.integers(0, len(group), size=len(first))]
        again = _top(np.where(used, attributions(drawn, random_state + other), 0.0), at_most)
        for i, places in enumerate(again):
            stays[i, places] += 1 / n_backgrounds
            first_stays[i] += bool(places[:1] and places[:1] == ranked[i][:1]) / n_backgrounds
    medians = {c: float(group[c].median()) for c in rows.columns if is_number(rows[c])}
    lines = [
        (
            cases.index[i],
            rank,
            names[j],
            cases.iat[i, j],
            reason_text(texts, names[j], cases.iat[i, j], medians.get(rows.columns[j])),
            values[i, j],
            min(stays[i, j], 1.0),
        )
        for i, places in enumerate(ranked)
        for rank, j in enumerate(places, start=1)
    ]
    reasons = pd.DataFrame(
        lines,
        columns=["case", "rank", "feature", "feature_value", "text", "attribution", "stability"],
    )
    none = np.array([not places for places in ranked])
    per_case = pd.DataFrame(
        {
            "case": cases.index,
            "output": outputs[is_denied],
            "n_reasons": [len(places) for places in ranked],
            "stability": [
                float(stays[i, places].mean()) if places else np.nan
                for i, places in enumerate(ranked)
            ],
            "first_stays": np.where(none, np.nan, np.minimum(first_stays, 1.0)),
            "note": [_case_note(len(places), at_most) for places in ranked],
        }
    )
    unused = tuple(n for n, yes in zip(names, used, strict=True) if not yes)
    result = Reasons(
        reasons=reasons,
        per_case=per_case,
        compare_with=compare_with,
        compared_rows=len(group),
        at_most=at_most,
        n_backgrounds=n_backgrounds,
        unused=unused,
        output_words=what.words,
        random_state=random_state,
        notes=_notes(compare_with, len(group), unused, dropped, texts, per_case, at_most),
    )
    return result


def _check(
    compare_with: Any,
    higher_output: Any,
    at_most: Any,
    background_rows: Any,
    n_backgrounds: Any,
    just_above: Any,
) -> None:
    for name, value, accepted in (
        ("compare_with", compare_with, get_args(Comparison)),
        ("higher_output", higher_output, ("approves", "denies")),
    ):
        if value not in accepted:
            raise InputError(
                f'{name} is "{value}"; accepted: {", ".join(accepted)}'
                f"{did_you_mean(str(value), accepted)}"
            )
    check_integers(
        at_most=(at_most, 1),
        background_rows=(background_rows, 2),
        n_backgrounds=(n_backgrounds, 1),
    )
    check_share("just_above", just_above)


def _denials(rows: pd.DataFrame, decisions: Any, denied: Any) -> Any:
    check_order("decisions", decisions, rows)
    taken = np.asarray(decisions)
    if taken.shape != (len(rows),):
        raise InputError(f"decisions has shape {taken.shape}; expected ({len(rows)},)")
    found = np.asarray(taken == denied, dtype=bool)
    if not found.any():
        values = ", ".join(map(str, pd.unique(pd.Series(taken))[:5]))
        raise InputError(f"denied is {denied!r}; no decision is that (found: {values})")
    return found


def _just_above(rows: pd.DataFrame, favour: FloatArray, approved: Any, share: float) -> Any:
    places = np.flatnonzero(approved)
    if len(places) < 2:
        raise InputError(
            f'compare_with is "just above the cut-off"; {len(places)} cases are not denied, '
            "expected at least 2"
        )
    size = min(len(places), max(20, round(share * len(places))))
    order = places[np.argsort(favour[places], kind="stable")]
    return rows.iloc[order[:size]]


def _top(values: FloatArray, at_most: int) -> list[list[int]]:
    """Per row the features that push most to denial, strongest first."""
    order = np.argsort(values, axis=1, kind="stable")[:, :at_most]
    return [[int(j) for j in places if values[i, j] < -LEAST] for i, places in enumerate(order)]


def _case_note(found: int, at_most: int) -> str:
    if found == 0:
        return "No feature pushes this case towards denial against this comparison group."
    if found < at_most:
        return f"Only {found} feature{'s push' if found > 1 else ' pushes'} towards denial."
    return ""


def _notes(
    compare_with: str,
    size: int,
    unused: tuple[str, ...],
    dropped: float,
    texts: Mapping[str, ReasonText] | None,
    per_case: pd.DataFrame,
    at_most: int,
) -> tuple[str, ...]:
    whom = (
        f"all {size:,} applicants"
        if compare_with == "all"
        else f"the {size:,} approved applicants nearest to the cut-off"
    )
    notes = [
        f"a reason is measured against the average output of {whom}; another comparison group can "
        f"give other reasons",
        "the reasons are the model's: where a person decided, the person's reasons are to be told",
        "whether a reason is specific enough to be told, and lawful, is for people to judge",
    ]
    if unused:
        notes.append(
            f"never a reason, because shuffling them changed no output: {', '.join(unused)} (their "
            f"largest attribution was {dropped:.2g})"
        )
    if texts is None:
        notes.append("no texts are configured: the features' names are shown instead")
    few = int((per_case["n_reasons"] < at_most).sum())
    if few:
        notes.append(f"{few:,} of {len(per_case):,} denied cases have fewer than {at_most} reasons")
    return tuple(notes)
