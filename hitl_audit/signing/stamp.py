"""The visible part of a signature: a one-page PDF the size of its field."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import Any

from hitl_audit.errors import MissingDependencyError, SigningError

__all__ = ["Stamp", "stamp_pdf"]


@dataclass(frozen=True)
class Stamp:
    """What a signature shows: who, in which role, stating what, claimed when."""

    name: str
    organization: str
    role: str
    statement: str
    signed_at: str
    fingerprint: str


# What does not fit is scaled down as a whole: nothing is cut off.
_TEMPLATE = """
#let input = sys.inputs
#let width = float(input.width) * 1pt
#let height = float(input.height) * 1pt
#let ink = rgb("#14233a")
#let quiet = rgb("#55606f")
#let accent = rgb("#1f5f8b")
#let bar = 2.4pt
#let pad = 8pt
#let room = (width: width - bar - 2 * pad, height: height - 8pt)
#set document(title: "Signature")
#set page(width: width, height: height, margin: 0pt)
#set text(font: "Inter", size: 7.6pt, fill: ink, lang: "en", hyphenate: false)
#set par(leading: 0.45em, spacing: 0pt)
#let compact = height < 60pt
#let row(body, ..style) = block(width: 100%, below: 5pt, text(..style, body))
#let rows = if compact {
  set text(size: 6pt)
  set block(below: 3.2pt)
  row(size: 8.4pt, weight: "semibold", input.name)
  row(size: 6.6pt, fill: accent, weight: "semibold",
    input.role + if input.organization != "" { " · " + input.organization })
  row(fill: quiet)[Signed #input.signed-at (claimed)]
  row(fill: quiet, size: 4.4pt)[Certificate SHA-256 \\
    #input.fingerprint.slice(0, 47) \\
    #input.fingerprint.slice(48)]
} else {
  row(size: 10.5pt, weight: "semibold", input.name)
  row(fill: accent, weight: "semibold",
    input.role + if input.organization != "" { " · " + input.organization })
  row(style: "italic", input.statement)
  row(fill: quiet)[Signed #input.signed-at (time claimed by the signer's computer)]
  row(fill: quiet, size: 6.4pt)[Certificate SHA-256 #input.fingerprint.slice(0, 47) \\
    #input.fingerprint.slice(48)]
}
#place(left + top, rect(width: bar, height: height, fill: accent))
#context {
  let natural = block(width: room.width, rows)
  let fit = calc.min(1, room.height / measure(natural).height)
  place(left + top, dx: bar + pad, block(height: height,
    align(left + horizon, scale(fit * 100%, origin: left + horizon, reflow: true, natural))))
}
"""


def stamp_pdf(stamp: Stamp, *, width: float, height: float) -> bytes:
    """Draw the stamp on a page of ``width`` × ``height`` points (PDF/A-3b, fonts embedded).

    Raises:
        MissingDependencyError: typst is not installed.
        SigningError: typst refused.
    """
    try:
        import typst
    except ImportError:
        raise MissingDependencyError(
            "signing draws a visible stamp with typst, which is not installed; "
            "install it with: pip install 'hitl-audit[audit]'"
        ) from None
    inputs = {
        "width": f"{width:.3f}",
        "height": f"{height:.3f}",
        "name": stamp.name,
        "organization": stamp.organization,
        "role": stamp.role,
        "statement": stamp.statement,
        "signed-at": stamp.signed_at,
        "fingerprint": stamp.fingerprint,
    }
    with as_file(files("hitl_audit") / "report" / "fonts") as fonts:
        # The wheel's type stub wants folders of the source's type (bytes); typst takes text.
        folders: list[Any] = [str(fonts)]
        try:
            page: bytes = typst.compile(
                _TEMPLATE.encode(),
                format="pdf",
                font_paths=folders,
                ignore_system_fonts=True,
                pdf_standards=["a-3b"],
                pdf_tags=False,
                sys_inputs=inputs,
            )
        except typst.TypstError as error:
            raise SigningError(f"the stamp cannot be drawn: {error.message}") from error
    return page
