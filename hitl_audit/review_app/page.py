"""The kernel's side of the served page: which audit, which person, which widget.

Who reviews is decided here and never taken from a later message of the page:
the name on the command line, the name a proxy put into a header, or the name
given at the sign-in.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hitl_audit.errors import AuditError, InputError

if TYPE_CHECKING:
    from hitl_audit.audit import Audit

__all__ = [
    "ADJUDICATE",
    "FOLDER",
    "HEADER",
    "REVIEWER",
    "ROLE",
    "open_audit",
    "show_page",
    "try_open",
    "wait_for_person",
]

FOLDER = "HITL_AUDIT_FOLDER"
ADJUDICATE = "HITL_AUDIT_ADJUDICATE"
REVIEWER = "HITL_AUDIT_REVIEWER"
ROLE = "HITL_AUDIT_ROLE"
HEADER = "HITL_AUDIT_USER_HEADER"


def open_audit() -> Audit:
    """Open the audit folder that the server was started for, with its results.

    Raises:
        InputError: the folder has no results of its own plan, model and data.
    """
    # The server needs only the names above; an audit would cost it 150 MB.
    from hitl_audit.audit import Audit

    audit = Audit.open(os.environ[FOLDER])
    if not audit.has_results:
        raise InputError(
            f'{os.environ[FOLDER]} has no results of this plan, model and data; run "hitl-audit '
            f'run {os.environ[FOLDER]}" first'
        )
    return audit


def try_open() -> Audit | AuditError:
    """As :func:`open_audit`, or why it cannot be opened: the page has to say so in words."""
    try:
        return open_audit()
    except AuditError as error:
        return error


def wait_for_person(audit: Audit | AuditError) -> None:
    """Return when a person opens the page.

    A kernel that was started ahead uses the time: what the first case and the first
    edit need is imported, compiled and worked out, beside the waiting.
    """
    from voila.utils import wait_for_request

    import hitl_audit.widgets.judge
    import hitl_audit.widgets.sign_in  # noqa: F401 - the import is the work

    if not isinstance(audit, AuditError) and audit.plan.what_if.in_review:
        audit.trials()
    wait_for_request()


def show_page(audit: Audit | AuditError) -> Any:
    """The widget to show: the cases, the sign-in that leads to them, or why there are none."""
    import ipywidgets

    audit = _as_it_is_now(audit)
    if isinstance(audit, AuditError):
        return _problem(f"There is nothing to judge here now. {audit}")
    role = os.environ.get(ROLE) or "domain expert"
    name, how = _known_person()
    if name:
        return _judge(audit, name, role, how)
    if how:
        return _problem(
            f"The proxy did not say who you are: its header {os.environ[HEADER]} is empty."
        )
    from hitl_audit.widgets.sign_in import SignInWidget

    box, opened = ipywidgets.VBox(), audit

    def enter(given: str) -> None:
        box.children = (_judge(opened, given, role, "declared"),)

    names = [reviewer.name for reviewer in audit.plan.review.reviewers]
    box.children = (SignInWidget(audit.plan.audit.title, names, enter),)
    return box


def _judge(audit: Audit, name: str, role: str, how: str) -> Any:
    try:
        if os.environ.get(ADJUDICATE):
            return audit.adjudicate(reviewer=name, role=role)
        return audit.review(reviewer=name, role=role, identified_by=how)
    except AuditError:
        if how == "declared":
            raise  # the sign-in shows it beside the name
        return _problem(f"{name} may not review here.")


def _as_it_is_now(audit: Audit | AuditError) -> Audit | AuditError:
    """A kernel that was started ahead may have opened an audit that has been run anew since."""
    from hitl_audit.dossier import Dossier

    try:
        plan, _ = Dossier(os.environ[FOLDER]).registered_plan()
    except AuditError as error:
        return error
    if isinstance(audit, AuditError) or plan.digest != audit.plan.digest:
        return try_open()
    return audit


def _problem(words: str) -> Any:
    import html

    import ipywidgets

    return ipywidgets.HTML(f"<p role='alert'>{html.escape(words)}</p>")


def _known_person() -> tuple[str, str]:
    """The name, and how it is known; no name if nobody said."""
    if name := os.environ.get(REVIEWER, "").strip():
        return name, "command line"
    if header := os.environ.get(HEADER):
        # Voilà hands headers on as CGI does.
        variable = "HTTP_" + header.upper().replace("-", "_")
        return os.environ.get(variable, "").strip(), "proxy header"
    return "", ""
