"""What a signed report proves, in numbered checks that anyone can read.

Four answers: is it intact, who signed, when, and was it changed since? Then the
audit's own rules: roles in order and apart, the lock, attachments as in the
manifest, the signed statements, the plan registered before the results, the
files beside the report, and the judgments.

A check that cannot be completed has failed. Nothing is fetched from a network,
and neither the model nor a data-science library is needed.
"""

from hitl_audit.verification.result import (
    Check,
    Outcome,
    Signature,
    SignerStatus,
    VerificationResult,
)
from hitl_audit.verification.steps import verify

__all__ = ["Check", "Outcome", "Signature", "SignerStatus", "VerificationResult", "verify"]
