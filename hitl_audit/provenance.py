"""Where a number of a document comes from: function, parameters, data, seed. Pure.

A document carries ``numbers.json`` beside its evidence: for every number in it an
id, the text as printed, and its places in the evidence. This module follows a
place to the value and to the entry of ``evidence.provenance`` that says how it
was computed. It reads plain JSON, so it explains documents of other versions too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hitl_audit.errors import InputError, did_you_mean

__all__ = ["NumberOrigin", "Origin", "explain_number", "value_at"]

NUMBERS_FORMAT = "hitl-audit/numbers/v1"
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
_ID = re.compile(r"(?:T|F|O|S)\d+(?:\.\d+)*", re.IGNORECASE)
_MOST_BESIDE = 14
_MOST_FOUND = 40
# What is read and not computed: the part of the evidence, who says it, which digest proves it.
_READ = {
    "audit": ("the registered plan", "plan"),
    "plan": ("the registered plan", "plan"),
    "publication": ("the registered plan, which says what may be published", "plan"),
    "data": ("the audited rows, as they were read", "data"),
    "model": ("the audited model, as it was read", "model"),
}


@dataclass(frozen=True)
class Origin:
    """One place in the evidence that a number was written from.

    Attributes:
        path: the place, for example ``"fairness.rates[3].value"``.
        value: what stands there, unrounded.
        beside: ``(name, value)`` of what stands with it: group, n, interval, method.
        part: the entry of ``evidence.provenance`` that covers it; ``""`` if it
            was read and not computed.
        function: what computed it, or what it was read from.
        parameters: with which arguments.
        data_digest: on which data.
        random_state: the seed; ``None`` where nothing is random.
    """

    path: str
    value: Any
    beside: tuple[tuple[str, Any], ...]
    part: str
    function: str
    parameters: dict[str, Any]
    data_digest: str
    random_state: int | None

    def words(self) -> str:
        """Several lines for people."""
        said = [
            ("value", _short(self.value)),
            ("beside it", "; ".join(f"{name} {_short(value)}" for name, value in self.beside)),
            ("computed by" if self.part else "read from", self.function),
            ("with", "; ".join(f"{k} = {_short(v)}" for k, v in self.parameters.items())),
            ("on data", self.data_digest),
        ]
        if self.part:
            seed = "none is used" if self.random_state is None else str(self.random_state)
            said.append(("seed", seed))
        return "\n".join(
            [f"  {self.path}", *(f"    {name:<12} {text}" for name, text in said if text)]
        )


@dataclass(frozen=True)
class NumberOrigin:
    """One number of a document and where it comes from.

    Attributes:
        id: as in ``numbers.json``.
        text: as printed.
        origins: its places in the evidence; several if it was computed from
            several, for example a ratio of two counts.
    """

    id: str
    text: str
    origins: tuple[Origin, ...]

    def words(self) -> str:
        """Several lines for people."""
        return "\n".join([f"{self.id}: {self.text}", *(o.words() for o in self.origins)])


def explain_number(numbers: bytes, evidence: bytes, id: str) -> tuple[NumberOrigin, ...]:
    """Where a number of a document comes from.

    Args:
        numbers: ``numbers.json`` of the document.
        evidence: ``evidence.json`` of the document.
        id: of a number (``"T12.3.5.1"``), of a place (``"T12.3.5"``: all numbers of
            that cell; ``"T12"``: of the table), or a number as it is printed (``"88.8%"``).

    Returns:
        Every number that is meant, in the document's order.

    Raises:
        InputError: a file is no such file, or there is no such number.
    """
    listed = _listed(numbers)
    tree = _tree(evidence)
    wanted = id.strip()
    if _ID.fullmatch(wanted):
        place = wanted.upper()
        found = [n for n in listed if n[0] == place or n[0].startswith(f"{place}.")]
    else:
        found = [n for n in listed if n[1].replace(",", "") == wanted.replace(",", "")]
    if not found:
        raise InputError(_unknown(wanted, listed))
    if len(found) > _MOST_FOUND and not _ID.fullmatch(wanted):
        raise InputError(
            f'"{wanted}" is printed {len(found)} times; expected the id of one: '
            f"{', '.join(n[0] for n in found[:8])} …"
        )
    return tuple(
        NumberOrigin(name, text, tuple(_origin(tree, path) for path in sources))
        for name, text, sources in found
    )


def _unknown(wanted: str, listed: Sequence[tuple[str, str, tuple[str, ...]]]) -> str:
    known = [n[0] for n in listed]
    near = did_you_mean(wanted.upper(), known)
    kinds = "T for a table, F for a figure, O for a line of page one, S for a text of a section"
    return (
        f'the document has no number "{wanted}"{near}; expected an id such as '
        f"{', '.join(known[:2]) or 'T1.1.2.1'} ({kinds}), or a number as it is printed"
    )


def _listed(numbers: bytes) -> list[tuple[str, str, tuple[str, ...]]]:
    try:
        read = json.loads(numbers)
        if read["format"] != NUMBERS_FORMAT:
            raise InputError(
                f'numbers.json has format "{read["format"]}"; expected "{NUMBERS_FORMAT}"'
            )
        return [(str(a), str(b), tuple(map(str, c))) for a, b, c in read["numbers"]]
    except (ValueError, KeyError, TypeError):
        raise InputError(f'numbers.json cannot be read; expected "{NUMBERS_FORMAT}"') from None


def _tree(evidence: bytes) -> dict[str, Any]:
    try:
        tree = json.loads(evidence)
        if isinstance(tree, dict) and str(tree["format"]).startswith("hitl-audit/evidence/"):
            return tree
    except (ValueError, KeyError):
        pass
    raise InputError('evidence.json cannot be read; expected "hitl-audit/evidence/v1"')


def steps(path: str) -> tuple[str | int, ...]:
    """A path as the steps to take: ``"a.b[3]"`` → ``("a", "b", 3)``."""
    return tuple(int(i) if i else name for i, name in _STEP.findall(path))


def value_at(tree: Any, path: str) -> Any:
    """What stands at a place of the evidence.

    Raises:
        InputError: there is no such place.
    """
    here = tree
    for step in steps(path):
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            raise InputError(
                f'the evidence has no "{path}" (nothing at "{step}"): the document and its '
                "evidence do not belong together"
            ) from None
    return here


def _origin(tree: dict[str, Any], path: str) -> Origin:
    value = value_at(tree, path)
    taken = steps(path)
    while taken and not isinstance(_at(tree, taken[:-1]), dict):
        taken = taken[:-1]
    around = _at(tree, taken[:-1]) if taken else {}
    beside = [
        (name, found)
        for name, found in around.items()
        if name != taken[-1] and name not in ("format", "words") and _is_small(found)
    ]
    beside = [*_whose(tree, taken, dict(beside)), *beside]
    entry = _entry(tree, path)
    if len(taken) == 1:
        beside = []
    return Origin(
        path=path,
        value=value if _is_small(value) else _length(value),
        beside=tuple(beside[:_MOST_BESIDE]),
        part=entry.get("part", ""),
        function=entry["function"],
        parameters=entry.get("parameters", {}),
        data_digest=entry.get("data_digest", ""),
        random_state=entry.get("random_state"),
    )


def _whose(
    tree: Any, taken: Sequence[str | int], known: Mapping[str, Any]
) -> list[tuple[str, Any]]:
    """Attribute, group and measure that stand further out: whose number it is."""
    found: dict[str, Any] = {}
    for end in range(len(taken) - 2, 0, -1):
        here = _at(tree, taken[:end])
        if isinstance(here, Mapping):
            for name in ("attribute", "group", "reference", "rule", "measure", "metric"):
                if name not in known and isinstance(here.get(name), str):
                    found.setdefault(name, here[name])
    return list(found.items())


def _at(tree: Any, taken: Sequence[str | int]) -> Any:
    for step in taken:
        tree = tree[step]
    return tree


def _is_small(value: Any) -> bool:
    if isinstance(value, dict):  # a count: {"successes": 110, "total": 129}
        return len(value) <= 2 and all(_is_small(v) for v in value.values())
    return value is not None and not isinstance(value, list)


def _length(value: Any) -> str:
    return f"{len(value)} entries"


def _entry(tree: dict[str, Any], path: str) -> dict[str, Any]:
    """The entry of provenance with the longest name that covers the place."""
    names = [_name(tree, steps(path)[:end]) for end in range(len(steps(path)), 0, -1)]
    entries = {entry["part"]: entry for entry in tree.get("provenance", ())}
    for name in names:
        if name in entries:
            return dict(entries[name])
    head = str(steps(path)[0])
    if head.startswith("explanation_quality"):
        return dict(_quality_entry(tree, path, entries))
    if head in _READ:
        what, part = _READ[head]
        return {"function": what, "data_digest": tree.get(part, {}).get("digest", "")}
    if head in ("oversight", "ledger"):
        ledger = tree.get("ledger") or {}
        return {
            "part": "oversight",
            "function": "hitl_audit.review.oversight.summarise",
            "data_digest": ledger.get("root", ""),
        }
    if head == "chosen":
        return {"function": "alternative.json, recorded by the person who chose"}
    if head == "follow_ups":
        return {"function": "follow_ups.json, recorded by the person named there"}
    if head == "since":
        return {
            "part": "since",
            "function": "hitl_audit.compare.compare_audits",
            "parameters": {
                side: tree["since"][side]["document_id"] for side in ("before", "after")
            },
            "data_digest": tree["since"]["after"]["data_digest"],
        }
    return {"function": f"the evidence itself ({head})"}


def _name(tree: Any, taken: Sequence[str | int]) -> str:
    """A place as provenance names it: ``explanations[0]`` → ``explanations.shap``."""
    words = [str(step) for step in taken if isinstance(step, str)]
    if taken and isinstance(taken[-1], int):
        here = _at(tree, taken)
        if isinstance(here, Mapping):
            tables = here.get("tables")
            profile = tables.get("profile") if isinstance(tables, Mapping) else None
            words.append(str(profile or here.get("method") or ""))
    return ".".join(words)


def _quality_entry(
    tree: dict[str, Any], path: str, entries: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    from hitl_audit.explanations.trust.faithfulness import FAITHFULNESS_MEASURES
    from hitl_audit.explanations.trust.stability import STABILITY_MEASURES

    taken = steps(path)
    measure = ""
    if len(taken) > 1:
        here = _at(tree, taken[:2])
        measure = str(here.get("measure", "")) if isinstance(here, Mapping) else ""
    kind = (
        "faithfulness"
        if measure in FAITHFULNESS_MEASURES
        else "stability"
        if measure in STABILITY_MEASURES
        else "quality"
    )
    found = entries.get(f"explanation_quality.{kind}")
    return found or {"function": f"hitl_audit.{kind}", "part": f"explanation_quality.{kind}"}


def _short(value: Any) -> str:
    if isinstance(value, str):
        return value
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else text[:157] + "…"
