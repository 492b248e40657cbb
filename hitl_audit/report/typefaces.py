"""The typefaces of the printed document: what they can write, and how wide it is.

Inter, shipped with the package, writes Latin, Greek and Cyrillic; DejaVu Sans,
which comes with matplotlib, steps in for Arabic, Hebrew and symbols. Both are
the same on every machine, and the machine's own fonts are never used, so that
the same report gives the same bytes everywhere. A character that no typeface
has is written as its code point, ``⟨U+6F22⟩``: it stays readable as a record
and nothing is dropped in silence. Whoever audits data in such a script passes
the folder of a typeface that has it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font

from hitl_audit.errors import ReportError

__all__ = ["INTER_FOLDER", "Typefaces"]

INTER_FOLDER = Path(__file__).with_name("fonts")
_TABULAR_DIGIT = 0.648  # the advance of Inter's tabular digits, in its size
_UNITS = 1000  # the size, in points, at which advances are measured


@lru_cache
def _dejavu_folder() -> Path:
    return Path(mpl.get_data_path()) / "fonts" / "ttf"


@lru_cache
def _face(path: Path) -> Any:
    face = FT2Font(str(path))
    face.set_size(_UNITS, 72)
    return face


@lru_cache
def _coverage(path: Path) -> frozenset[int]:
    return frozenset(_face(path).get_charmap())


@lru_cache(maxsize=20_000)
def _advance(path: Path, char: str) -> float:
    # 16.16 fixed point pixels; at 72 dpi a pixel is a point.
    return float(_face(path).load_char(ord(char)).linearHoriAdvance) / 65536 / _UNITS


class Typefaces:
    """The typefaces of one document, in order of preference.

    Args:
        folders: folders with further fonts (``.ttf``, ``.otf``).

    Raises:
        ReportError: a folder holds no font.
    """

    def __init__(self, folders: Sequence[str | Path] = ()) -> None:
        self.regular = [INTER_FOLDER / "Inter-Regular.otf", _dejavu_folder() / "DejaVuSans.ttf"]
        for folder in map(Path, folders):
            found = sorted(p for p in folder.glob("*") if p.suffix.lower() in {".ttf", ".otf"})
            if not found:
                raise ReportError(
                    f'fonts: got "{folder}", expected a folder with .ttf or .otf files'
                )
            self.regular += found
        self.families = tuple(dict.fromkeys(str(_face(p).family_name) for p in self.regular))
        self._widths: dict[str, float] = dict.fromkeys("0123456789", _TABULAR_DIGIT)

    def files(self) -> list[Path]:
        """Every font file that the document may use."""
        inter = sorted(INTER_FOLDER.glob("*.otf"))
        return [*inter, _dejavu_folder() / "DejaVuSans-Bold.ttf", *self.regular[1:]]

    def _first(self, char: str) -> Path | None:
        return next((p for p in self.regular if ord(char) in _coverage(p)), None)

    def printable(self, text: str) -> str:
        """Replace what cannot be drawn by its code point, and drop control characters."""
        if text.isascii() and text.isprintable():
            return text
        written = []
        for char in unicodedata.normalize("NFC", text):
            if char in "\n\t":
                written.append(" " if char == "\t" else char)
            elif unicodedata.category(char) in {"Cc", "Cs", "Co", "Cn"}:
                written.append(f"⟨U+{ord(char):04X}⟩")
            elif unicodedata.category(char) == "Cf" or self._first(char):
                written.append(char)
            else:
                written.append(f"⟨U+{ord(char):04X}⟩")
        return "".join(written)

    def width(self, text: str, size: float) -> float:
        """The width of a line of text in points, at a size in points; digits are tabular."""
        widths = self._widths
        try:
            return size * sum([widths[c] for c in text])
        except KeyError:
            for char in text:
                if char not in widths:
                    widths[char] = _advance(self._first(char) or self.regular[0], char)
            return size * sum([widths[c] for c in text])

    def wrap(self, text: str, width: float, size: float) -> list[str]:
        """Break a text into lines no wider than ``width`` points, words only if they must."""
        lines = [""]
        for word in text.split():
            joined = f"{lines[-1]} {word}".lstrip()
            if self.width(joined, size) <= width:
                lines[-1] = joined
                continue
            if lines[-1]:
                lines.append("")
            for char in word:
                if lines[-1] and self.width(lines[-1] + char, size) > width:
                    lines.append("")
                lines[-1] += char
        return lines

    def properties(self, text: str, size: float, *, bold: bool = False) -> FontProperties:
        """What matplotlib needs to measure and name the typefaces of one label."""
        path = next(
            (p for p in self.regular if all(ord(c) in _coverage(p) for c in text)),
            self.regular[0],
        )
        if bold and path == self.regular[0]:
            path = INTER_FOLDER / "Inter-SemiBold.otf"
        return FontProperties(
            family=list(self.families), fname=path, size=size, weight=600 if bold else 400
        )
