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
    from hitl_audit.error_slices import find_error_slices
    from hitl_audit.errors import AuditError
    from hitl_audit.explanations.explain import explain
    from hitl_audit.explanations.explanation import Explanation
    from hitl_audit.explanations.trust.quality import quality
    from hitl_audit.fairness.group_metrics import GroupMetrics, group_metrics
    from hitl_audit.findings import Finding, Status
    from hitl_audit.mitigation import mitigate
    from hitl_audit.performance import Performance, measure_performance
    from hitl_audit.plan import AuditPlan
    from hitl_audit.report.rendered import AuditReport
    from hitl_audit.results import AuditResults
    from hitl_audit.review.ledger import Judgment, Ledger
    from hitl_audit.review.sampling import CaseSample, sample_cases
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
    "Finding": "findings",
    "GroupMetrics": "fairness.group_metrics",
    "Judgment": "review.ledger",
    "Ledger": "review.ledger",
    "Performance": "performance",
    "Status": "findings",
    "VerificationResult": "verification",
    "explain": "explanations.explain",
    "find_error_slices": "error_slices",
    "frontier": "alternatives",
    "group_metrics": "fairness.group_metrics",
    "load_key": "signing.keys",
    "measure_performance": "performance",
    "mitigate": "mitigation",
    "new_key": "signing.keys",
    "quality": "explanations.trust.quality",
    "sample_cases": "review.sampling",
    "sweep_thresholds": "thresholds",
    "verify": "verification",
}

__all__ = [
    "Audit",
    "AuditError",
    "AuditPlan",
    "AuditReport",
    "AuditResults",
    "CaseSample",
    "Explanation",
    "Finding",
    "GroupMetrics",
    "Judgment",
    "Ledger",
    "Performance",
    "Status",
    "VerificationResult",
    "explain",
    "find_error_slices",
    "frontier",
    "group_metrics",
    "load_key",
    "measure_performance",
    "mitigate",
    "new_key",
    "quality",
    "sample_cases",
    "sweep_thresholds",
    "verify",
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
