"""Signature fields in a PDF, and PAdES signatures in them, one revision each.

Bytes in, bytes out: writing a file is the caller's (see :mod:`hitl_audit.files`).
The first signature certifies the document (only signatures may follow), the
signature in the locking field forbids every later change.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

import pikepdf
from pikepdf import Array, Dictionary, Name, String

from hitl_audit.errors import SigningError, did_you_mean
from hitl_audit.signing.assurance import OFFLINE, Assurance, check_signer, validation_context
from hitl_audit.signing.cms_signer import cms_signer
from hitl_audit.signing.contents import add_attachment
from hitl_audit.signing.keys import SigningKey, spaced_fingerprint
from hitl_audit.signing.people import person_of
from hitl_audit.signing.rules import SigningRules
from hitl_audit.signing.running import outside_event_loop, quiet
from hitl_audit.signing.signatures import FieldState, SignedDocument, read_fields, read_signatures
from hitl_audit.signing.stamp import Stamp, stamp_pdf

__all__ = ["FieldBox", "FieldState", "add_signature_fields", "sign_pdf", "signature_fields"]


@dataclass(frozen=True)
class FieldBox:
    """Where a role signs.

    Attributes:
        name: the field's name (letters, digits, ``-``, ``_``).
        role: who signs, in words.
        page: page number from 1.
        x, y: the upper left corner in points, from the upper left of the page.
        width, height: in points.
        locks: this signature is the last and locks the document.
    """

    name: str
    role: str
    page: int
    x: float
    y: float
    width: float
    height: float
    locks: bool = False


def add_signature_fields(pdf: bytes, boxes: Sequence[FieldBox]) -> bytes:
    """Add one empty, tagged signature field per box, in the order of signing.

    In a tagged PDF every field gets a ``Form`` structure element, so that a
    PDF/UA file stays one. The same bytes and boxes give the same bytes.

    Raises:
        SigningError: boxes that cannot be placed, or a PDF that is signed or
            cannot be read.
    """
    _check_boxes(boxes)
    try:
        with quiet(), pikepdf.open(io.BytesIO(pdf)) as document:
            if "/AcroForm" in document.Root:
                raise SigningError("the PDF has form fields already, expected one without")
            _add_fields(document, boxes)
            out = io.BytesIO()
            document.save(
                out,
                deterministic_id=True,
                object_stream_mode=pikepdf.ObjectStreamMode.preserve,
            )
            return out.getvalue()
    except pikepdf.PdfError as error:
        raise SigningError(f"the PDF cannot be read: {error}") from None


def signature_fields(pdf: bytes) -> tuple[FieldState, ...]:
    """Return the signature fields in the order of signing, empty and filled.

    Raises:
        SigningError: not a PDF that can be read.
    """
    try:
        return read_fields(pdf)
    except Exception as error:  # any broken file: the reader has no common base
        raise SigningError(f"the PDF cannot be read: {error}") from error


def sign_pdf(
    pdf: bytes,
    key: SigningKey,
    *,
    field: str,
    reason: str,
    signed_at: datetime,
    certify: bool | Literal["auto"] = "auto",
    rules: SigningRules | None = None,
    attach: Mapping[str, tuple[bytes, str]] | None = None,
    assurance: Assurance = OFFLINE,
) -> bytes:
    """Sign one empty field (PAdES) and return the PDF with one more revision.

    Args:
        pdf: the document; its bytes stay a prefix of the result.
        key: the signer's key.
        field: name of the field, see :func:`signature_fields`.
        reason: what the signer states by signing; shown in the stamp.
        signed_at: the time the signer claims, with time zone.
        certify: whether this signature certifies; ``"auto"``: the first does.
        rules: the plan's rules on who may sign; none of them without it.
        attach: files to attach in the same revision: name → (bytes, description).
            Only the first signature can.
        assurance: B-B (needs no network), or with a timestamp and revocation data.

    Raises:
        SigningError: unknown or filled field, an earlier role has not signed,
            a locked document, an earlier signature that does not hold, a key
            that is not valid at this time or was revoked, or a person who may
            not sign for this role. Nothing is returned, so nothing is written.
        MissingDependencyError: typst (for the stamp) is not installed.
    """
    if signed_at.tzinfo is None:
        raise SigningError(f"signed_at is {signed_at}, expected a time with a zone")
    if not reason.strip():
        raise SigningError("reason is empty, expected what the signer states by signing")
    key.check_valid_at(signed_at)
    states = signature_fields(pdf)
    target = _field_to_sign(states, field)
    document = _refuse_broken(pdf)
    if rules is not None:
        earlier = [(s.field, s.person) for s in document.signatures]
        refused = rules.refusal(field, person_of(key.certificate), earlier)
        if refused:
            raise SigningError(f"{refused}; nothing was signed")
    if assurance.authorities:
        check_signer(key, assurance.authorities)
    first = not any(state.signed for state in states)
    if attach and not first:
        raise SigningError("files can be attached with the first signature only")
    stamp = Stamp(
        name=key.name,
        organization=key.organization,
        role=target.role[:1].upper() + target.role[1:],
        statement=reason,
        signed_at=f"{signed_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        # Half of it: the whole does not fit a narrow field, and a picture proves nothing.
        fingerprint=spaced_fingerprint(key.fingerprint),
    )
    certifies = first if certify == "auto" else certify
    if certifies and not first:
        raise SigningError(f"field {field}: only the first signature can certify a document")
    page = stamp_pdf(stamp, width=target.width, height=target.height)
    order = _Order(key, target, page, reason, signed_at, certifies, attach or {}, assurance)
    signed = _append_signature(pdf, order)
    # Nobody is given a signature whose timestamp, for example, does not hold.
    _refuse_broken(signed, compare=False)
    return signed


@dataclass(frozen=True)
class _Order:
    """One signature to be made."""

    key: SigningKey
    target: FieldState
    stamp_page: bytes
    reason: str
    signed_at: datetime
    certify: bool
    attach: Mapping[str, tuple[bytes, str]]
    assurance: Assurance


def _check_boxes(boxes: Sequence[FieldBox]) -> None:
    names = [box.name for box in boxes]
    for box in boxes:
        if not box.name or not all(c.isalnum() or c in "-_" for c in box.name):
            raise SigningError(f"field name is {box.name!r}, expected letters, digits, - or _")
        if names.count(box.name) > 1:
            raise SigningError(f"field {box.name}: given twice, expected different names")
        if box.width < 72 or box.height < 24:
            raise SigningError(
                f"field {box.name}: {box.width} × {box.height} points, expected at least 72 × 24"
            )
    if any(box.locks for box in boxes[:-1]):
        raise SigningError("only the last field can lock the document")


def _add_fields(document: pikepdf.Pdf, boxes: Sequence[FieldBox]) -> None:
    root = document.Root
    tagged = "/StructTreeRoot" in root
    fields = Array()
    for box in boxes:
        if not 1 <= box.page <= len(document.pages):
            raise SigningError(
                f"field {box.name}: page is {box.page}, expected 1 to {len(document.pages)}"
            )
        widget = _widget(document, box)
        if tagged:
            _tag(document, widget, box)
        fields.append(widget)
    # 3: signatures exist, and writers must only append
    root.AcroForm = document.make_indirect(Dictionary(Fields=fields, SigFlags=3))


def _widget(document: pikepdf.Pdf, box: FieldBox) -> Any:
    """One annotation that is also the field (merged), with an empty appearance."""
    page = document.pages[box.page - 1]
    left, _, _, top = (float(side) for side in page.mediabox)
    x, y = left + box.x, top - box.y - box.height
    corners = [Decimal(f"{v:.2f}") for v in (x, y, x + box.width, y + box.height)]
    size = [0, 0, corners[2] - corners[0], corners[3] - corners[1]]
    appearance = document.make_stream(b"", Type=Name.XObject, Subtype=Name.Form, BBox=Array(size))
    widget = document.make_indirect(
        Dictionary(
            Type=Name.Annot,
            Subtype=Name.Widget,
            FT=Name.Sig,
            T=String(box.name),
            TU=String(box.role),
            F=4,  # printed with the page
            P=page.obj,
            Rect=Array(corners),
            AP=Dictionary(N=appearance),
        )
    )
    if box.locks:
        widget.Lock = document.make_indirect(
            Dictionary(Type=Name.SigFieldLock, Action=Name.All, P=1)
        )
    page.obj.Annots = Array([*page.obj.get("/Annots", Array()), widget])
    page.obj.Tabs = Name.S
    return widget


def _tag(document: pikepdf.Pdf, widget: Any, box: FieldBox) -> None:
    """Give the field its place in the structure tree (PDF/UA asks for ``Form``)."""
    tree = document.Root.StructTreeRoot
    top = tree.K[0] if isinstance(tree.K, Array) else tree.K
    if "/K" not in top:
        top.K = Array()
    elif not isinstance(top.K, Array):
        top.K = Array([top.K])
    if "/ParentTree" not in tree:
        tree.ParentTree = pikepdf.NumberTree.new(document).obj
    parents = pikepdf.NumberTree(tree.ParentTree)
    index = int(tree.get("/ParentTreeNextKey", max(parents, default=-1) + 1))
    page = document.pages[box.page - 1].obj
    element = document.make_indirect(
        Dictionary(
            Type=Name.StructElem,
            S=Name.Form,
            P=top,
            Pg=page,
            Alt=String(f"Signature of the {box.role}"),
            K=Dictionary(Type=Name.OBJR, Obj=widget, Pg=page),
        )
    )
    top.K.append(element)
    parents[index] = element
    tree.ParentTreeNextKey = index + 1
    widget.StructParent = index


def _field_to_sign(states: tuple[FieldState, ...], name: str) -> FieldState:
    """Return the field if it is this role's turn."""
    if not states:
        raise SigningError("the document has no signature fields")
    names = [state.name for state in states]
    if name not in names:
        raise SigningError(
            f"the document has no field {name!r}; accepted: {', '.join(names)}"
            + did_you_mean(name, names)
        )
    lock = next((state for state in states if state.locks and state.signed), None)
    target = states[names.index(name)]
    if target.signed:
        raise SigningError(f"field {name} ({target.role}) is signed already")
    if lock is not None:
        raise SigningError(f"the document is locked by the signature of the {lock.role}")
    waiting = [state.role for state in states[: names.index(name)] if not state.signed]
    if waiting:
        raise SigningError(
            f"field {name} ({target.role}) must wait: not yet signed by {', '.join(waiting)}"
        )
    return target


def _refuse_broken(pdf: bytes, *, compare: bool = True) -> SignedDocument:
    """Nobody puts a name under a document whose earlier signatures do not hold."""
    try:
        earlier = read_signatures(pdf, compare=compare)
    except Exception as error:  # any broken file: the reader has no common base
        raise SigningError(f"the earlier signatures cannot be checked: {error}") from error
    for signature in earlier.signatures:
        problem = signature.problem or " and ".join(signature.changes)
        if problem:
            raise SigningError(
                f"the signature of the {signature.role} does not hold: {problem}; nothing was "
                "signed"
            )
    if earlier.tail_problem:
        raise SigningError(f"{earlier.tail_problem}; nothing was signed")
    if earlier.archive:
        raise SigningError("this is an archive copy; nothing was signed")
    return earlier


def _append_signature(pdf: bytes, order: _Order) -> bytes:
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
    from pyhanko.pdf_utils.misc import PdfError
    from pyhanko.sign import signers
    from pyhanko.sign.fields import MDPPerm, SigSeedSubFilter
    from pyhanko.sign.general import SigningError as PyHankoError
    from pyhanko.sign.signers.pdf_signer import DSSContentSettings, SigDSSPlacementPreference
    from pyhanko.sign.timestamps.common_utils import TimestampRequestError

    class ClockedSigner(signers.PdfSigner):
        """Takes the claimed time from the caller instead of the computer."""

        def init_signing_session(self, *args: Any, **kwargs: Any) -> Any:
            session = super().init_signing_session(*args, **kwargs)
            session.system_time = order.signed_at.astimezone(UTC)
            return session

    target, assurance = order.target, order.assurance
    long_term = assurance.level == "B-LT"

    async def run() -> bytes:
        writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
        for name, (data, description) in sorted(order.attach.items()):
            add_attachment(writer, name, data, description, order.signed_at)
        context: Any = (
            validation_context(assurance.authorities, order.key.chain) if long_term else None
        )
        metadata = signers.PdfSignatureMetadata(
            field_name=target.name,
            md_algorithm="sha256",
            reason=order.reason,
            name=order.key.name,
            subfilter=SigSeedSubFilter.PADES,
            certify=order.certify,
            docmdp_permissions=MDPPerm.NO_CHANGES if target.locks else MDPPerm.FILL_FORMS,
            embed_validation_info=long_term,
            validation_context=context,
            # One revision, so that readers say "total document signed".
            dss_settings=DSSContentSettings(
                include_vri=False, placement=SigDSSPlacementPreference.TOGETHER_WITH_SIGNATURE
            ),
        )
        signer = ClockedSigner(
            metadata,
            signer=cms_signer(order.key),
            timestamper=assurance.stamper,
            stamp_style=_stamp_style(writer, target, order.stamp_page),
        )
        out = io.BytesIO()
        try:
            await signer.async_sign_pdf(writer, output=out, existing_fields_only=True)
        finally:
            if context is not None:
                await context.aclose()
        return out.getvalue()

    try:
        with quiet():
            return outside_event_loop(lambda: asyncio.run(run()))
    except (PyHankoError, PdfError, TimestampRequestError, ValueError) as error:
        raise SigningError(f"field {target.name}: {error}; nothing was signed") from error


def _stamp_style(writer: Any, target: FieldState, page: bytes) -> Any:
    """The drawn page as the appearance of the signature."""
    from pyhanko.pdf_utils.content import PdfResources, RawContent
    from pyhanko.pdf_utils.layout import AxisAlignment, BoxConstraints, Margins, SimpleBoxLayoutRule
    from pyhanko.pdf_utils.reader import PdfFileReader
    from pyhanko.stamp import StaticStampStyle

    resources = PdfResources()  # type: ignore[no-untyped-call]
    resources.xobject["/Stamp"] = writer.import_page_as_xobject(PdfFileReader(io.BytesIO(page)))
    return StaticStampStyle(
        background=RawContent(b"/Stamp Do", resources, BoxConstraints(target.width, target.height)),
        border_width=0,
        background_opacity=1.0,
        background_layout=SimpleBoxLayoutRule(
            x_align=AxisAlignment.ALIGN_MIN,
            y_align=AxisAlignment.ALIGN_MIN,
            margins=Margins(0, 0, 0, 0),
        ),
    )
