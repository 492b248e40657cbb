"""A report in its files: PDF, HTML, evidence and manifest, made and signed together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from hitl_audit.canonical import digest_file, utc_text
from hitl_audit.compare import compare_audits
from hitl_audit.dossier import Dossier
from hitl_audit.errors import ReportError, SigningError, did_you_mean
from hitl_audit.evidence import Evidence, read_evidence
from hitl_audit.files import write_atomically
from hitl_audit.manifest import Manifest, ManifestFile, SignedCheckpoint
from hitl_audit.plan import AuditPlan, PlanLock
from hitl_audit.plan_sections import Role, role_field
from hitl_audit.publication import Publication, publish
from hitl_audit.report.compose import compose
from hitl_audit.report.document import Report
from hitl_audit.report.html import render_html
from hitl_audit.report.numbering import NumberList
from hitl_audit.report.pdf import Attachment, render_pdf
from hitl_audit.report.signature_places import statement
from hitl_audit.signing.assurance import OFFLINE, Assurance
from hitl_audit.signing.attestations import ENVELOPES
from hitl_audit.signing.contents import attachments
from hitl_audit.signing.detached import MANIFEST_SIGNATURE
from hitl_audit.signing.document import SignedDocumentFiles, sign_document
from hitl_audit.signing.keys import SigningKey
from hitl_audit.signing.pdf import FieldState, signature_fields

__all__ = ["AuditReport", "companions", "render", "role_of", "sign_report", "write_signed"]


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
        signed_files: what signing put beside the document: envelopes, and
            signatures of the manifest, by file name.
    """

    document: Report
    pdf: bytes
    html: bytes
    evidence: bytes
    manifest: bytes
    plan: bytes
    lock: bytes
    numbers: bytes = b""
    signed_files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def signatures(self) -> tuple[FieldState, ...]:
        """The places for signatures, in order, and which are signed."""
        return signature_fields(self.pdf)

    def sign(
        self,
        key: SigningKey,
        *,
        role: str,
        signed_at: datetime | None = None,
        assurance: Assurance = OFFLINE,
    ) -> AuditReport:
        """Sign for a role of the plan.

        Args:
            key: the signer's key.
            role: as written in the plan, for example ``"data scientist"``.
            signed_at: claimed time, by default now.
            assurance: with a timestamp or revocation data; by default neither.

        Returns:
            The report with the signature; this one is unchanged.

        Raises:
            SigningError: the role has no place, has signed, or may not sign yet,
                or this person may not sign for it.
        """
        moment = signed_at or datetime.now(UTC)
        signed = sign_report(self.pdf, key, role=role, signed_at=moment, assurance=assurance)
        files = {**self.signed_files, **signed.files}
        return replace(self, pdf=signed.pdf, signed_files=files)

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
        }
        for name, data in files.items():
            write_atomically(target / name, data)
        write_signed(target, SignedDocumentFiles(self.pdf, self.signed_files), replace=True)
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
    *,
    role: str,
    signed_at: datetime,
    assurance: Assurance = OFFLINE,
) -> SignedDocumentFiles:
    """Sign a report's PDF for a role, with the statement printed at its place.

    Raises:
        SigningError: the plan has no such role, or it has signed, or may not
            sign yet, or this person may not sign for it.
        InputError: the report's evidence cannot be used.
    """
    inside = attachments(pdf)
    found = role_of(AuditPlan.from_toml(inside["audit.toml"]).roles, role)
    said = statement(found.signs, read_evidence(inside["evidence.json"]))
    return sign_document(
        pdf, key, field=found.field, reason=said, signed_at=signed_at, assurance=assurance
    )


def role_of(roles: Sequence[Role], role: str) -> Role:
    """Find a role of the plan by its words.

    Raises:
        SigningError: the plan has no such role.
    """
    found = [r for r in roles if r.field == role_field(role)]
    if not found:
        names = [r.role for r in roles]
        raise SigningError(
            f'role is "{role}"; accepted: {", ".join(names)}{did_you_mean(role, names)}'
        )
    return found[0]


def write_signed(folder: Path, signed: SignedDocumentFiles, *, replace: bool = False) -> None:
    """Write a signed PDF and what belongs beside it.

    Args:
        folder: the audit folder.
        signed: what was signed.
        replace: remove what another report's signers left there.
    """
    if replace:
        for path in sorted(folder.iterdir()):
            stale = path.name in ENVELOPES or MANIFEST_SIGNATURE.fullmatch(path.name)
            if stale and path.name not in signed.files:
                path.unlink()
    # The PDF first: signatures of the manifest without one in the PDF would be wrong.
    write_atomically(folder / "report.pdf", signed.pdf)
    for name, data in signed.files.items():
        write_atomically(folder / name, data)


def companions(dossier: Dossier, plan: AuditPlan) -> tuple[ManifestFile, ...]:
    """The files of an audit folder that stay at home, for the manifest.

    These are the results with rows of people, the model's file where it lies in
    the folder, and the choice of an alternative. The judgments are left out:
    they grow, and the manifest's checkpoint stands for them.
    """
    return tuple(
        ManifestFile(
            path.relative_to(dossier.folder).as_posix(),
            digest_file(path).removeprefix("sha256:"),
            path.stat().st_size,
            attached=False,
        )
        for path in _companions(dossier, plan)
    )


def _companions(dossier: Dossier, plan: AuditPlan) -> Iterator[Path]:
    home = dossier.folder.resolve()
    named = [*sorted(dossier.results_path.glob("*")), dossier.choice_path]
    if plan.model.path:
        named.append(dossier.folder / plan.model.path)
    for path in named:
        if path.is_file() and path.resolve().is_relative_to(home):
            yield dossier.folder / path.resolve().relative_to(home)


def render(
    evidence: Evidence,
    *,
    plan: AuditPlan,
    lock: PlanLock,
    now: datetime,
    beside: Sequence[ManifestFile] = (),
    since: Evidence | None = None,
) -> AuditReport:
    """Make the document in all its forms from evidence.

    Args:
        evidence: what was found; the only source of what is said. Groups that are too small
            to be published are taken out first (``publication.publish``).
        plan: the registered plan.
        lock: its registration.
        beside: files that belong to the document and stay at home (:func:`companions`).
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
            *beside,
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
