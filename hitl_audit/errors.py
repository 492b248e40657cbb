"""Everything that hitl_audit raises on purpose.

::

    AuditError
    ├── PlanError              the plan (audit.toml) cannot be used
    ├── InputError             the model or the data cannot be used
    │   └── UntrustedModelError    a model file wants types nobody allowed
    ├── EngineError            a part of the data could not be worked on
    ├── ExplanationError       no explanation that can be vouched for
    ├── LedgerError            the judgment ledger refused, or is damaged
    ├── ReportError            the document cannot be made
    ├── SigningError           a key or a signature was refused; nothing was written
    ├── VerificationError      the thing to verify cannot be read at all
    └── MissingDependencyError a part of the toolkit is not installed

A message says what was found, what is accepted and where:
``plan: criteria[0].metric is "selction_rate"; accepted: accuracy, …``.
The command line prints the message alone and exits with 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "AuditError",
    "EngineError",
    "ExplanationError",
    "InputError",
    "LedgerError",
    "MissingDependencyError",
    "PlanError",
    "ReportError",
    "SigningError",
    "UntrustedModelError",
    "VerificationError",
    "did_you_mean",
]


class AuditError(Exception):
    """Base of every error that hitl_audit raises on purpose."""


class PlanError(AuditError):
    """The plan cannot be used; one line per problem."""


class InputError(AuditError):
    """The model or the data cannot be used."""


class UntrustedModelError(InputError):
    """A model file contains types that nobody has allowed.

    Attributes:
        types: the names of the untrusted types, sorted.
    """

    def __init__(self, message: str, types: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.types = tuple(sorted(types))


class EngineError(AuditError):
    """A part of the data could not be worked on; the message names the part."""


class ExplanationError(AuditError):
    """No explanation could be made that agrees with the model."""


class LedgerError(AuditError):
    """The judgment ledger refused an event, or is damaged."""


class ReportError(AuditError):
    """The document could not be made."""


class SigningError(AuditError):
    """A key or a signature was refused; no file was changed."""


class VerificationError(AuditError):
    """The thing to verify could not be read at all."""


class MissingDependencyError(AuditError):
    """A part of the toolkit that is not installed was asked for."""


def did_you_mean(found: str, accepted: Iterable[str]) -> str:
    """Return ``'; did you mean "x"?'`` for the nearest accepted word, or nothing."""
    near = get_close_matches(found, list(accepted), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""
