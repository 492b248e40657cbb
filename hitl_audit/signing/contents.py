"""What a PDF holds: its attachments, and what differs between two revisions."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pikepdf
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.reader import PdfFileReader

from hitl_audit.canonical import sha256

__all__ = [
    "add_attachment",
    "attachments",
    "check_structure",
    "describe_changes",
    "entry",
    "items",
]

_MAXIMUM_NODES = 10_000
_make: Any = generic  # its constructors have no types


def check_structure(pdf: bytes) -> None:
    """Have a second, fast reader (qpdf) look at the tables of a file first.

    A table of objects can be made so that the other reader never comes to its
    end; qpdf refuses those at once.

    Raises:
        ValueError: it cannot be read, or not without repairing its tables.
    """
    end = pdf.rfind(b"%%EOF")
    body = pdf[: end + len(b"%%EOF")] if end >= 0 else pdf
    try:
        with pikepdf.open(io.BytesIO(body), suppress_warnings=True) as document:
            found = [str(warning) for warning in document.get_warnings()]
    except (pikepdf.PdfError, RuntimeError, ValueError, UnicodeError) as error:
        # Its words name the stream, not what is wrong with it, first.
        words = re.sub(r"stream <[^>]*>:? ?", "", str(error))
        raise ValueError(words or type(error).__name__) from None
    if any("xref" in text or "cross-reference" in text for text in found):
        raise ValueError("its table of objects is damaged")


def attachments(pdf: bytes) -> dict[str, bytes]:
    """Return the embedded files by name.

    The bytes of each are bounded by the reader's limits, so a small hostile
    file cannot fill the memory.

    Raises:
        ValueError: two attachments of one name, or a broken name tree.
        pyhanko.pdf_utils.misc.PdfError: not a PDF that can be read.
    """
    return _attachments(PdfFileReader(io.BytesIO(pdf)))


def add_attachment(writer: Any, name: str, data: bytes, description: str, moment: datetime) -> None:
    """Attach a JSON file in an incremental update, as PDF/A-3 wants it.

    Args:
        writer: pyHanko's incremental writer.
        name: file name; ASCII.
        data: its bytes.
        description: what it is, for a reader.
        moment: its time of modification.

    Raises:
        ValueError: the document has no attachments yet, or one of this name.
    """
    tree = entry(entry(writer.root, "/Names", {}), "/EmbeddedFiles")
    if tree is None:
        raise ValueError("the document has no list of attachments")
    if name in {str(key) for key in _name_tree_keys(tree)}:
        raise ValueError(f"the document has an attachment {name} already")
    stream = _make.StreamObject(
        {
            _make.pdf_name("/Type"): _make.pdf_name("/EmbeddedFile"),
            _make.pdf_name("/Subtype"): _make.pdf_name("/application/json"),
            _make.pdf_name("/Params"): _make.DictionaryObject(
                {
                    _make.pdf_name("/ModDate"): _make.pdf_date(moment.replace(microsecond=0)),
                    _make.pdf_name("/Size"): _make.NumberObject(len(data)),
                }
            ),
        },
        stream_data=data,
    )
    stream.compress()
    file = writer.add_object(stream)
    text = _make.pdf_string(name)
    reference = writer.add_object(
        _make.DictionaryObject(
            {
                _make.pdf_name("/Type"): _make.pdf_name("/Filespec"),
                _make.pdf_name("/F"): text,
                _make.pdf_name("/UF"): text,
                _make.pdf_name("/EF"): _make.DictionaryObject(
                    {_make.pdf_name("/F"): file, _make.pdf_name("/UF"): file}
                ),
                _make.pdf_name("/Desc"): _make.TextStringObject(description),
                _make.pdf_name("/AFRelationship"): _make.pdf_name("/Supplement"),
            }
        )
    )
    _insert(writer, tree, text, reference)
    associated = entry(writer.root, "/AF")
    if associated is None:
        associated = writer.root["/AF"] = _make.ArrayObject()
        writer.update_root()
    else:
        writer.update_container(associated)
    associated.append(reference)


def _insert(writer: Any, tree: Any, name: Any, value: Any) -> None:
    """Put an entry into a name tree, in order (ISO 32000-2, 7.9.6)."""
    node = tree
    while "/Kids" in node:
        kids = items(node["/Kids"])
        node = next((k for k in kids if str(name) <= str(k["/Limits"][1])), kids[-1])
        low, high = (str(limit) for limit in node["/Limits"])
        if not low <= str(name) <= high:
            ends = sorted((low, high, str(name)))
            node["/Limits"] = generic.ArrayObject(
                [generic.pdf_string(ends[0]), generic.pdf_string(ends[-1])]
            )
            writer.update_container(node)
    names = node["/Names"]
    place = 0
    while place < len(names) and str(names[place]) < str(name):
        place += 2
    names[place:place] = [name, value]
    writer.update_container(names)


def describe_changes(old: bytes, new: bytes) -> tuple[str, ...]:
    """Say in words how a later revision differs from an earlier one.

    This explains a refusal that was decided elsewhere; it never decides.
    """
    before, after = PdfFileReader(io.BytesIO(old)), PdfFileReader(io.BytesIO(new))
    return (
        *_page_changes(before, after),
        *_attachment_changes(_attachments(before), _attachments(after)),
    )


def entry(dictionary: Any, key: str, default: Any = None) -> Any:
    """Return what a key leads to, references followed (pyHanko's ``get`` does not)."""
    try:
        return dictionary[key]
    except KeyError:
        return default


def items(array: Any) -> list[Any]:
    """Return the items of an array, references followed."""
    return [array[index] for index in range(len(array))]


def _attachments(reader: PdfFileReader) -> dict[str, bytes]:
    names = entry(entry(reader.root, "/Names", {}), "/EmbeddedFiles")
    found: dict[str, bytes] = {}
    if names is None:
        return found
    for specification in _name_tree(names):
        name = str(entry(specification, "/UF") or specification["/F"])
        if name in found:
            raise ValueError(f"two attachments are named {name!r}")
        found[name] = bytes(specification["/EF"]["/F"].data)
    return found


def _name_tree(top: Any) -> Iterator[Any]:
    """Yield the values of a PDF name tree."""
    for names in _name_tree_leaves(top):
        yield from items(names)[1::2]


def _name_tree_keys(top: Any) -> Iterator[Any]:
    for names in _name_tree_leaves(top):
        yield from items(names)[::2]


def _name_tree_leaves(top: Any) -> Iterator[Any]:
    """Yield the arrays of names and values; a tree that loops ends in an error."""
    waiting, seen = [top], 0
    while waiting:
        seen += 1
        if seen > _MAXIMUM_NODES:
            raise ValueError("the list of attachments does not end")
        node = waiting.pop()
        yield entry(node, "/Names", ())
        waiting.extend(items(entry(node, "/Kids", ())))


def _page_changes(before: PdfFileReader, after: PdfFileReader) -> Iterator[str]:
    old, new = list(_pages(before)), list(_pages(after))
    if len(old) != len(new):
        yield f"the number of pages went from {len(old)} to {len(new)}"
        return
    digest_old, digest_new = _Digester(), _Digester()
    for number, (a, b) in enumerate(zip(old, new, strict=True), start=1):
        shown = [key for key in sorted({*a, *b}) if key not in _NOT_DRAWN]
        if any(
            digest_old(a.raw_get(k) if k in a else None)
            != digest_new(b.raw_get(k) if k in b else None)
            for k in shown
        ):
            yield f"the content of page {number} was altered"
        if digest_old(_notes(a)) != digest_new(_notes(b)):
            yield f"an annotation on page {number} was added, altered or removed"


_NOT_DRAWN = frozenset({"/Parent", "/Annots", "/StructParents", "/Tabs"})


def _pages(reader: PdfFileReader) -> Iterator[Any]:
    waiting, seen = [reader.root["/Pages"]], 0
    while waiting:
        seen += 1
        if seen > _MAXIMUM_NODES:
            raise ValueError("the list of pages does not end")
        node = waiting.pop()
        if "/Kids" in node:
            waiting.extend(reversed(items(node["/Kids"])))
        else:
            yield node


def _notes(page: Any) -> list[Any]:
    """The annotations that are not signature fields."""
    return [note for note in items(entry(page, "/Annots", ())) if entry(note, "/FT") != "/Sig"]


def _attachment_changes(old: dict[str, bytes], new: dict[str, bytes]) -> Iterator[str]:
    for name in sorted({*old, *new}):
        if name not in new:
            yield f"the attachment {name} was removed"
        elif name not in old:
            yield f"an attachment {name} was added"
        elif old[name] != new[name]:
            yield f"the attachment {name} was replaced"


class _Digester:
    """Digest of an object and all that it refers to, within one reader."""

    def __init__(self) -> None:
        self._known: dict[Any, bytes] = {}

    def __call__(self, value: Any) -> bytes:
        if isinstance(value, generic.IndirectObject):
            if value.reference not in self._known:
                self._known[value.reference] = b"cycle"
                self._known[value.reference] = self(_resolved(value))
            return self._known[value.reference]
        parts = [type(value).__name__.encode()]
        if isinstance(value, generic.DictionaryObject):
            for key in sorted(value):
                if key not in ("/Parent", "/P", "/StructParent"):
                    parts += [key.encode(), b"\0", self(value.raw_get(key))]
            if isinstance(value, generic.StreamObject):
                parts.append(value.encoded_data)
        elif isinstance(value, list):
            parts += [self(item) for item in value]
        else:
            parts.append(repr(value).encode())
        return sha256(b"".join(parts))


def _resolved(reference: Any) -> Any:
    return reference.get_object()
