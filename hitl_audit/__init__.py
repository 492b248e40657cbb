"""Explainability and fairness audits with human review, signed.

A model decides about people; this says, with how much certainty, how it treats
them, what its decisions rest on, what people who know the matter think of it,
and puts that into one signed document::

    import hitl_audit as ha

    audit = ha.Audit(model, X_test, y_test, sensitive=["race", "sex"], plan="audit.toml")
    results = audit.run()                          # progress bar; frozen results
    results.fairness.frame()                       # every result: .frame(), .plot()
    results.explanation.to_shap()                  # works with shap.plots
    audit.review(reviewer="Ada Expert")            # judge cases in the notebook
    report = audit.report()                        # PDF, HTML, evidence
    report.sign(ha.load_key("me.p12", b"passphrase"), role="data scientist").save("reports/")
    ha.verify("reports/report.pdf")                # intact? who? when? changed since?

Names below are loaded when they are first used: importing this costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hitl_audit.alternatives import frontier
    from hitl_audit.audit import Audit
    from hitl_audit.engine import open_engine
    from hitl_audit.error_slices import find_error_slices
    from hitl_audit.errors import AuditError
    from hitl_audit.explanations.explain import explain, explain_outputs
    from hitl_audit.explanations.explain_interactions import explain_interactions
    from hitl_audit.explanations.explanation import Explanation
    from hitl_audit.explanations.explanation_set import ExplanationSet
    from hitl_audit.explanations.interaction_values import InteractionValues
    from hitl_audit.explanations.texts.text import explain_text
    from hitl_audit.explanations.trust.faithfulness import faithfulness
    from hitl_audit.explanations.trust.quality import quality
    from hitl_audit.explanations.trust.stability import stability
    from hitl_audit.explanations.views.dependence import partial_dependence
    from hitl_audit.explanations.views.local_effects import accumulated_local_effects
    from hitl_audit.explanations.views.monotonicity import monotonicity
    from hitl_audit.explanations.views.permutation import permutation_importance
    from hitl_audit.explanations.views.reasons import adverse_action_reasons
    from hitl_audit.explanations.views.rules import rule_for_case
    from hitl_audit.explanations.views.surrogate import surrogate
    from hitl_audit.explanations.views.transparent import coefficients
    from hitl_audit.explanations.views.tree_rules import tree_rules
    from hitl_audit.fairness.group_metrics import GroupMetrics, group_metrics
    from hitl_audit.findings import Finding, Status
    from hitl_audit.mitigation import mitigate
    from hitl_audit.performance import Performance, measure_performance
    from hitl_audit.plan import AuditPlan
    from hitl_audit.report.rendered import AuditReport
    from hitl_audit.results import AuditResults
    from hitl_audit.review.agreement import agreement
    from hitl_audit.review.change_approval import approve_change
    from hitl_audit.review.consensus import consensus
    from hitl_audit.review.estimates import weighted_rate
    from hitl_audit.review.feedback import propose_change
    from hitl_audit.review.ledger import Judgment, Ledger
    from hitl_audit.review.oversight import Oversight
    from hitl_audit.review.planner import plan_review
    from hitl_audit.review.sampling import CaseSample, pick_cases, sample_cases
    from hitl_audit.rows import open_rows
    from hitl_audit.signing.keys import load_key, new_key
    from hitl_audit.thresholds import sweep_thresholds
    from hitl_audit.verification import VerificationResult, verify

_HOMES = {
    "Audit": "audit",
    "AuditError": "errors",
    "AuditPlan": "plan",
    "AuditReport": "report.rendered",
    "AuditResults": "results",
    "CaseSample": "review.sampling",
    "Explanation": "explanations.explanation",
    "ExplanationSet": "explanations.explanation_set",
    "Finding": "findings",
    "GroupMetrics": "fairness.group_metrics",
    "InteractionValues": "explanations.interaction_values",
    "Judgment": "review.ledger",
    "Ledger": "review.ledger",
    "Oversight": "review.oversight",
    "Performance": "performance",
    "Status": "findings",
    "VerificationResult": "verification",
    "accumulated_local_effects": "explanations.views.local_effects",
    "adverse_action_reasons": "explanations.views.reasons",
    "agreement": "review.agreement",
    "approve_change": "review.change_approval",
    "coefficients": "explanations.views.transparent",
    "consensus": "review.consensus",
    "explain": "explanations.explain",
    "explain_interactions": "explanations.explain_interactions",
    "explain_outputs": "explanations.explain",
    "explain_text": "explanations.texts.text",
    "faithfulness": "explanations.trust.faithfulness",
    "find_error_slices": "error_slices",
    "frontier": "alternatives",
    "group_metrics": "fairness.group_metrics",
    "load_key": "signing.keys",
    "measure_performance": "performance",
    "mitigate": "mitigation",
    "monotonicity": "explanations.views.monotonicity",
    "new_key": "signing.keys",
    "open_engine": "engine",
    "open_rows": "rows",
    "partial_dependence": "explanations.views.dependence",
    "permutation_importance": "explanations.views.permutation",
    "pick_cases": "review.sampling",
    "plan_review": "review.planner",
    "propose_change": "review.feedback",
    "quality": "explanations.trust.quality",
    "rule_for_case": "explanations.views.rules",
    "sample_cases": "review.sampling",
    "stability": "explanations.trust.stability",
    "surrogate": "explanations.views.surrogate",
    "sweep_thresholds": "thresholds",
    "tree_rules": "explanations.views.tree_rules",
    "verify": "verification",
    "weighted_rate": "review.estimates",
}

__all__ = [
    "Audit",
    "AuditError",
    "AuditPlan",
    "AuditReport",
    "AuditResults",
    "CaseSample",
    "Explanation",
    "ExplanationSet",
    "Finding",
    "GroupMetrics",
    "InteractionValues",
    "Judgment",
    "Ledger",
    "Oversight",
    "Performance",
    "Status",
    "VerificationResult",
    "accumulated_local_effects",
    "adverse_action_reasons",
    "agreement",
    "approve_change",
    "coefficients",
    "consensus",
    "explain",
    "explain_interactions",
    "explain_outputs",
    "explain_text",
    "faithfulness",
    "find_error_slices",
    "frontier",
    "group_metrics",
    "load_key",
    "measure_performance",
    "mitigate",
    "monotonicity",
    "new_key",
    "open_engine",
    "open_rows",
    "partial_dependence",
    "permutation_importance",
    "pick_cases",
    "plan_review",
    "propose_change",
    "quality",
    "rule_for_case",
    "sample_cases",
    "stability",
    "surrogate",
    "sweep_thresholds",
    "tree_rules",
    "verify",
    "weighted_rate",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'hitl_audit' has no attribute {name!r}")
    try:
        value = getattr(import_module(f"hitl_audit.{home}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("hitl_audit"):
            raise
        from hitl_audit.errors import MissingDependencyError

        raise MissingDependencyError(
            f"hitl_audit.{name} needs {error.name}, which is not installed; install what audits "
            'need with: pip install "hitl-audit[audit]"'
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
