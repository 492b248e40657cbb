"""A report in its files: PDF, HTML, evidence and manifest, made and signed together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from hitl_audit.canonical import utc_text
from hitl_audit.compare import compare_audits
from hitl_audit.errors import ReportError, SigningError, did_you_mean
from hitl_audit.evidence import Evidence, read_evidence
from hitl_audit.files import write_atomically
from hitl_audit.manifest import Manifest, ManifestFile, SignedCheckpoint
from hitl_audit.plan import AuditPlan, PlanLock
from hitl_audit.plan_sections import Role, role_field
from hitl_audit.publication import Publication, publish
from hitl_audit.report.compose import compose
from hitl_audit.report.document import Report
from hitl_audit.report.frame_sections import statement
from hitl_audit.report.html import render_html
from hitl_audit.report.numbering import NumberList
from hitl_audit.report.pdf import Attachment, render_pdf
from hitl_audit.signing.keys import SigningKey
from hitl_audit.signing.pdf import FieldState, sign_pdf, signature_fields

__all__ = ["AuditReport", "render"]


@dataclass(frozen=True)
class AuditReport:
    """One document in all its forms.

    Attributes:
        document: the document as data.
        pdf: the document to sign, with the evidence attached.
        html: the same for a browser, with interactive charts.
        evidence: canonical JSON of every number in it.
        numbers: canonical JSON: which number of the document is which of the evidence.
        manifest: digests of what belongs together.
        plan: the plan as written.
        lock: its registration.
    """

    document: Report
    pdf: bytes
    html: bytes
    evidence: bytes
    manifest: bytes
    plan: bytes
    lock: bytes
    numbers: bytes = b""

    @property
    def signatures(self) -> tuple[FieldState, ...]:
        """The places for signatures, in order, and which are signed."""
        return signature_fields(self.pdf)

    def sign(self, key: SigningKey, *, role: str, signed_at: datetime | None = None) -> AuditReport:
        """Sign for a role of the plan.

        Args:
            key: the signer's key.
            role: as written in the plan, for example ``"data scientist"``.
            signed_at: claimed time, by default now.

        Returns:
            The report with the signature; this one is unchanged.

        Raises:
            SigningError: the role has no place, has signed, or may not sign yet.
        """
        moment = signed_at or datetime.now(UTC)
        pdf = sign_report(
            self.pdf,
            key,
            self.plan_roles,
            read_evidence(self.evidence),
            role=role,
            signed_at=moment,
        )
        return replace(self, pdf=pdf)

    @property
    def plan_roles(self) -> tuple[Role, ...]:
        """The roles of the plan, in order of signing."""
        return AuditPlan.from_toml(self.plan).roles

    def save(self, folder: str | Path, *, replace: bool = False) -> Path:
        """Write all files into a folder, each as a whole or not at all.

        Args:
            folder: made if it does not exist.
            replace: replace a report that somebody signed, too.

        Returns:
            The path of ``report.pdf``.

        Raises:
            ReportError: ``folder`` holds a report that somebody signed.
        """
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        report = target / "report.pdf"
        if report.exists() and not replace:
            self._refuse_to_lose_signatures(report)
        files = {
            "audit.toml": self.plan,
            "plan.lock.json": self.lock,
            "evidence.json": self.evidence,
            "numbers.json": self.numbers,
            "report.html": self.html,
            "manifest.json": self.manifest,
            "report.pdf": self.pdf,  # last: it is there only when everything is
        }
        for name, data in files.items():
            write_atomically(target / name, data)
        return report

    def _refuse_to_lose_signatures(self, path: Path) -> None:
        old = path.read_bytes()
        signed = [f.role for f in signature_fields(old) if f.signed]
        if signed and not self.pdf.startswith(old):
            raise ReportError(
                f"{path} is signed ({', '.join(signed)}); a new report would lose these "
                "signatures. Move it away first, or ask to replace it (--replace)"
            )

    def __repr__(self) -> str:
        states = ", ".join(f"{f.role} {'signed' if f.signed else 'open'}" for f in self.signatures)
        return f"<AuditReport {self.document.title}, {self.document.document_id}: {states}>"

    def _repr_html_(self) -> str:
        from html import escape

        states = ", ".join(
            f"{escape(f.role)}: {'signed' if f.signed else 'open'}" for f in self.signatures
        )
        return (
            f"<p><b>{escape(self.document.title)}</b>, {escape(self.document.document_id)}: PDF "
            f"{len(self.pdf) / 1024:,.0f} kB, HTML {len(self.html) / 1024:,.0f} kB. {states}</p>"
        )


def sign_report(
    pdf: bytes,
    key: SigningKey,
    roles: Sequence[Role],
    evidence: Evidence,
    *,
    role: str,
    signed_at: datetime,
) -> bytes:
    """Sign a report's PDF for a role, with the statement printed at its place.

    Raises:
        SigningError: the plan has no such role, or it has signed, or may not sign yet.
    """
    found = [r for r in roles if r.field == role_field(role)]
    if not found:
        names = [r.role for r in roles]
        raise SigningError(
            f'role is "{role}"; accepted: {", ".join(names)}{did_you_mean(role, names)}'
        )
    said = statement(found[0].signs, evidence)
    return sign_pdf(pdf, key, field=found[0].field, reason=said, signed_at=signed_at)


def render(
    evidence: Evidence,
    *,
    plan: AuditPlan,
    lock: PlanLock,
    now: datetime,
    since: Evidence | None = None,
) -> AuditReport:
    """Make the document in all its forms from evidence.

    Args:
        evidence: what was found; the only source of what is said. Groups that are too small
            to be published are taken out first (``publication.publish``).
        plan: the registered plan.
        lock: its registration.
        since: of an earlier audit; the document then says what moved since.
        now: when the document is made; the same evidence, plan and time give
            the same bytes.

    Raises:
        ReportError: the document cannot be typeset, or the evidence is of another plan.
    """
    if evidence.plan.digest != plan.digest:
        raise ReportError(
            f"the results were made under the plan {evidence.plan.digest}, and this plan is "
            f"{plan.digest}; run the audit again"
        )
    terms = Publication.of(plan)
    evidence = publish(evidence, terms)
    if since is not None:
        evidence = replace(evidence, since=compare_audits(publish(since, terms), evidence))
    document = compose(evidence, generated=utc_text(now))
    html = render_html(document).encode()
    evidence_bytes = evidence.to_bytes()
    numbers = NumberList.of(document, evidence.digest).to_bytes()
    lock_bytes = (lock.model_dump_json(indent=2) + "\n").encode()
    manifest = Manifest(
        document_id=document.document_id,
        created=now,
        files=(
            ManifestFile.of("evidence.json", evidence_bytes, attached=True),
            ManifestFile.of("numbers.json", numbers, attached=True),
            ManifestFile.of("audit.toml", plan.source, attached=True),
            ManifestFile.of("plan.lock.json", lock_bytes, attached=True),
            ManifestFile.of("report.html", html, attached=False),
        ),
        ledger=SignedCheckpoint(
            evidence.ledger.size,
            evidence.ledger.root.removeprefix("sha256:"),
            evidence.ledger.chain_head.removeprefix("sha256:"),
        )
        if evidence.ledger
        else None,
        plan_digest=plan.digest,
        plan_registered_at=datetime.fromisoformat(evidence.plan.registered_at),
        results_created=datetime.fromisoformat(evidence.started),
    ).to_bytes()
    rendered = render_pdf(
        document,
        attachments=(
            Attachment(
                "evidence.json",
                evidence_bytes,
                "application/json",
                "Every number in this document, with its source",
                "data",
            ),
            Attachment(
                "numbers.json",
                numbers,
                "application/json",
                "Where in the evidence each number of this document is",
                "supplement",
            ),
            Attachment(
                "audit.toml",
                plan.source,
                "application/toml",
                "The plan, as registered before the results",
                "source",
            ),
            Attachment(
                "plan.lock.json",
                lock_bytes,
                "application/json",
                "When the plan was registered",
                "supplement",
            ),
            Attachment(
                "manifest.json",
                manifest,
                "application/json",
                "Digests of the files that belong to this document",
                "supplement",
            ),
        ),
        timestamp=now.replace(microsecond=0),
    )
    return AuditReport(
        document, rendered.pdf, html, evidence_bytes, manifest, plan.source, lock_bytes, numbers
    )
