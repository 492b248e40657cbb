"""The explanations of one run: of which rows, by which methods, and how far to trust them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import pandas as pd

from hitl_audit.canonical import plain
from hitl_audit.evidence import GroupQuality, Provenance, QualityGap, QualityMeasure
from hitl_audit.explanations.explain import explain
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.explanations.raw_features import sample_rows
from hitl_audit.explanations.trust.faithfulness import Faithfulness, faithfulness
from hitl_audit.explanations.trust.quality import ExplanationQuality, quality
from hitl_audit.explanations.trust.stability import STABILITY_MEASURES, Stability, stability
from hitl_audit.explanations.views.asking import read_subject
from hitl_audit.inputs import AuditInputs
from hitl_audit.plan import AuditPlan
from hitl_audit.review.sampling import CaseSample

__all__ = ["Explained", "explanations"]

EXPLAINED_ROWS = 2000
# The paths that ask the model again and again take seconds for every ten rows.
MODEL_AGNOSTIC = ("permutation", "exact", "kernel")
MODEL_AGNOSTIC_ROWS = 200
LIME_ROWS = 5000
LIME_EXPLAINED = 500
# Of these the model is asked some thousand times a case.
MEASURED_CASES = 60
FAITHFULNESS_DRAWS: dict[str, Any] = {"n_background": 10, "n_random": 5}
BY_GROUP = ("reliable", "sign_agreement", "spearman", "score", "instability")
"""The measures that are compared between groups; the others are on few cases."""


@dataclass(frozen=True, eq=False)
class Explained:
    """What a run explained.

    Attributes:
        shap, lime: of all rows, or of a random draw of them.
        case_shap: SHAP of the review cases.
        case_quality: how far to trust each review case's explanation.
        measures: quality overall.
        by_group, gaps: quality by group, and its largest differences.
        notes: on which rows, and what was left out.
    """

    shap: Explanation | None
    lime: Explanation | None
    case_shap: Explanation | None
    case_quality: ExplanationQuality | None
    measures: tuple[QualityMeasure, ...]
    by_group: tuple[GroupQuality, ...]
    gaps: tuple[QualityGap, ...]
    notes: tuple[str, ...]

    def sources(self, inputs: AuditInputs, plan: AuditPlan) -> tuple[Provenance, ...]:
        """Where the measures of trust came from: enough to compute them again."""
        k, measured = plan.explain.top, {q.measure for q in self.measures}
        few = {"k": k, "cases": MEASURED_CASES, "background": plan.explain.background}
        parts: tuple[tuple[str, bool, dict[str, Any]], ...] = (
            (
                "quality",
                bool(measured),
                {"k": k, "sign_agreement_at_least": plan.explain.sign_agreement_at_least},
            ),
            ("faithfulness", "pgi" in measured, {**few, **FAITHFULNESS_DRAWS}),
            ("stability", bool(measured & set(STABILITY_MEASURES)), few),
        )
        return tuple(
            Provenance(
                f"explanation_quality.{name}",
                f"hitl_audit.{name}",
                plain(said),
                inputs.data_digest,
                plan.seed,
            )
            for name, made, said in parts
            if made
        )


def explanations(
    inputs: AuditInputs,
    plan: AuditPlan,
    sample: CaseSample,
    progress: Callable[[str, float], None],
) -> Explained:
    """Explain by the plan's methods, and measure how far the explanations can be trusted."""
    label = plan.model.output == "label"
    scored = inputs.predictor.score if label else inputs.predictor.model
    common: dict[str, Any] = {
        "output": None if label else inputs.predictor.favorable,
        "random_state": plan.seed,
    }
    cases = inputs.X.loc[list(sample.case_ids)]
    background = sample_rows(inputs.X, plan.explain.background, random_state=plan.seed)

    def tell_shap(rows: pd.DataFrame, behind: pd.DataFrame) -> Explanation:
        return explain(scored, rows, method="shap", background=behind, **common)

    def tell_lime(rows: pd.DataFrame) -> Explanation:
        return explain(
            scored,
            rows,
            method="lime",
            background=sample_rows(inputs.X, LIME_ROWS, random_state=plan.seed),
            n_seeds=plan.explain.lime_seeds,
            n_samples=plan.explain.lime_samples,
            **common,
        )

    shap = lime = judged = None
    if "shap" in plan.explain.methods:
        progress("explanations (SHAP; the first time kernels are compiled)", 0.2)
        judged = tell_shap(cases, background)
        asked = judged.algorithm in MODEL_AGNOSTIC
        shap = tell_shap(_rows(inputs, plan, asked=asked), background)
    if "lime" in plan.explain.methods:
        progress("explanations (LIME)", 0.35)
        rows = _rows(inputs, plan, asked=False) if shap is None else shap.data
        lime = tell_lime(sample_rows(rows, LIME_EXPLAINED, random_state=plan.seed))
    if shap is None or judged is None:
        return Explained(shap, lime, judged, None, (), (), (), ())
    progress("how far to trust the explanations", 0.45)
    case_lime = None
    if lime is not None:
        inside = cases.index.isin(lime.index).all()
        case_lime = lime.select(list(cases.index)) if inside else tell_lime(cases)
    compared = shap if lime is None else shap.select(list(lime.index))
    # Review cases may be drawn with unequal chances, so what is averaged is drawn at random.
    drawn = list(sample_rows(compared.data, MEASURED_CASES, random_state=plan.seed).index)
    few = compared.select(drawn)
    faithful = _faithfulness(few, scored, background, plan, common)
    stable = _stability(
        few, None if lime is None else lime.select(drawn), tell_shap, background, inputs, plan
    )
    bars = plan.explain.bars
    further: dict[str, Any] = dict(bars)
    if bars:
        further["faithfulness"] = _faithfulness(judged, scored, background, plan, common)
        further["stability"] = _stability(judged, case_lime, tell_shap, background, inputs, plan)
    agreed = _quality(compared, lime, plan)
    by_group, gaps = _by_group(agreed, inputs.sensitive.loc[compared.index], plan)
    how = "both methods explained, drawn at random" if lime is not None else "SHAP explained"
    notes = [
        f"Agreement was measured on {len(compared.index):,} of {len(inputs):,} cases, which {how}."
    ]
    if stable is not None:
        varied = "; ".join(stable.notes)
        notes.append(f"Stability was measured on {len(drawn):,} of them: {varied}.")
    if plan.explain.stability and judged.algorithm in MODEL_AGNOSTIC:
        notes.append(
            "Stability over backgrounds and under noise was not measured: explaining this model "
            "asks it again and again, which would take too long."
        )
    return Explained(
        shap=shap,
        lime=lime,
        case_shap=judged,
        case_quality=_quality(judged, case_lime, plan, **further),
        measures=tuple(
            measure
            for part in (agreed, faithful, stable)
            if part is not None
            for measure in _measures(part, plan)
        ),
        by_group=by_group,
        gaps=gaps,
        notes=tuple(notes),
    )


def _rows(inputs: AuditInputs, plan: AuditPlan, *, asked: bool) -> pd.DataFrame:
    """All rows, or a random draw of many."""
    limit = MODEL_AGNOSTIC_ROWS if asked else EXPLAINED_ROWS
    if len(inputs) <= limit:
        return inputs.X
    return sample_rows(inputs.X, limit, random_state=plan.seed)


def _quality(
    shap: Explanation, lime: Explanation | None, plan: AuditPlan, **further: Any
) -> ExplanationQuality:
    return quality(
        shap,
        lime,
        k=plan.explain.top,
        sign_agreement_at_least=plan.explain.sign_agreement_at_least,
        **further,
    )


def _faithfulness(
    few: Explanation,
    scored: Any,
    background: pd.DataFrame,
    plan: AuditPlan,
    common: dict[str, Any],
) -> Faithfulness | None:
    if not plan.explain.faithfulness or len(few.feature_names) < 2:
        return None
    subject = read_subject(scored, few.data, output=common["output"], scale=few.scale)
    return faithfulness(
        few,
        subject.output,
        background,
        k=min(plan.explain.top, len(few.feature_names) - 1),
        **FAITHFULNESS_DRAWS,
        random_state=plan.seed,
    )


def _stability(
    few: Explanation,
    few_lime: Explanation | None,
    tell_shap: Callable[[pd.DataFrame, pd.DataFrame], Explanation],
    background: pd.DataFrame,
    inputs: AuditInputs,
    plan: AuditPlan,
) -> Stability | None:
    """Over seeds; over backgrounds and under noise where SHAP need not ask the model."""
    fast = few.algorithm not in MODEL_AGNOSTIC
    runs = None if few_lime is None else few_lime.runs
    if not plan.explain.stability or (runs is None and not fast):
        return None
    return stability(
        few,
        tell_shap if fast else None,
        lime=runs,
        background=background if fast else None,
        pool=inputs.X if fast and len(inputs) > len(background) else None,
        k=plan.explain.top,
        random_state=plan.seed,
    )


def _measures(
    part: ExplanationQuality | Faithfulness | Stability, plan: AuditPlan
) -> tuple[QualityMeasure, ...]:
    table = part.summary(plan.fairness.confidence)
    return tuple(
        QualityMeasure(
            measure=str(row.measure),
            meaning=str(row.meaning),
            value=_known(row.value),
            low=_known(row.low),
            high=_known(row.high),
            n=int(row.n),
            method=str(row.interval),
        )
        for row in cast("Iterable[Any]", table.itertuples())
    )


def _by_group(
    found: ExplanationQuality, sensitive: pd.DataFrame, plan: AuditPlan
) -> tuple[tuple[GroupQuality, ...], tuple[QualityGap, ...]]:
    made = found.by_group(
        sensitive,
        measures=BY_GROUP,
        confidence=plan.fairness.confidence,
        min_group=max(2, plan.fairness.min_group),
    )
    groups = tuple(
        GroupQuality(
            attribute=str(row.attribute),
            group=str(row.group),
            measure=str(row.measure),
            meaning=str(row.meaning),
            value=_known(row.value),
            low=_known(row.low),
            high=_known(row.high),
            n=int(row.n),
            method=str(row.interval),
            status=str(row.status),
        )
        for row in cast("Iterable[Any]", made.frame().itertuples())
    )
    gaps = tuple(
        QualityGap(
            attribute=str(row.attribute),
            measure=str(row.measure),
            highest=str(row.highest),
            lowest=str(row.lowest),
            value=_known(row.value),
            low=_known(row.low),
            high=_known(row.high),
            p_value=_known(row.p_value),
            groups=int(row.groups),
            method=_text(row.interval),
            test=_text(row.test),
            status=str(row.status),
        )
        for row in cast("Iterable[Any]", made.differences().itertuples())
    )
    return groups, gaps


def _known(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)
