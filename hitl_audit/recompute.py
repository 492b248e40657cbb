"""Does the evidence re-derive? Every number of it beside the same one computed again. Pure.

The caller runs the audit again under the same plan (``run_audit``) and hands
both bodies of evidence here. When and where it ran differs by nature; so does
what people judged, which is recorded and not computed.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from hitl_audit.errors import InputError

__all__ = ["Difference", "Recomputed", "recomputed"]

# Not computed from the inputs: times, where it ran, and what people recorded since.
NOT_DERIVED = frozenset(
    {
        "started",
        "created",
        "environment",
        "environment_digest",
        "oversight",
        "review",
        "ledger",
        "chosen",
        "since",
        "follow_ups",
    }
)
# When the plan was registered is recorded; dates in a profile's statements are the run's.
DATED = re.compile(
    r"plan\.(registered_at|registrations|changed_after_results)"
    r"|analyses\.profiles\[\d+\]\.(statements|expires)"
)
# How many people expected a collected property, and where it was seen: recorded, too.
RECORDED = re.compile(r"collected\.(left_out|checks\[\d+\]\.(people|cases|violated|stated)$)")
RELATIVE = 1e-9
ABSOLUTE = 1e-12


@dataclass(frozen=True)
class Difference:
    """One place where the two differ.

    Attributes:
        path: in the evidence, for example ``"fairness.rates[3].value"``.
        stored: what the document's evidence says; ``None`` if it has nothing there.
        again: what was computed now; ``None`` if nothing.
        change: ``again − stored`` for two numbers, else ``None``.
    """

    path: str
    stored: Any
    again: Any
    change: float | None


@dataclass(frozen=True)
class Recomputed:
    """The whole comparison.

    Attributes:
        compared: places that hold a value in at least one of the two.
        numbers: how many of them are numbers.
        exact: how many are equal to the last bit.
        differences: those that differ by more than the tolerance, in order.
        environment: ``(name, stored version, version now)`` of the software that
            differs: it may explain a difference.
    """

    compared: int
    numbers: int
    exact: int
    differences: tuple[Difference, ...]
    environment: tuple[tuple[str, str, str], ...]

    @property
    def same(self) -> bool:
        """Nothing differs by more than the tolerance."""
        return not self.differences

    def words(self, most: int = 10) -> str:
        """A few sentences for people."""
        said = (
            f"{self.compared:,} values were computed again ({self.numbers:,} of them numbers): "
            f"{self.exact:,} are equal to the last bit"
        )
        if self.same:
            said += ", and the others agree within rounding."
        else:
            listed = "; ".join(
                f"{d.path}: {d.stored!r} in the document, {d.again!r} now"
                for d in self.differences[:most]
            )
            rest = len(self.differences) - most
            more = f"; and {rest:,} more" if rest > 0 else ""
            said += f"; {len(self.differences):,} differ: {listed}{more}."
        if self.environment:
            listed = ", ".join(f"{name} {old} → {new}" for name, old, new in self.environment)
            said += f" The software is not the same: {listed}."
        return said


def recomputed(stored: bytes, again: bytes) -> Recomputed:
    """Compare the evidence of a document with the same evidence computed again.

    Args:
        stored: ``evidence.json`` of the document.
        again: canonical JSON of the evidence of a new run, published under the same
            terms (``publication.publish``).

    Numbers agree if they differ by at most a billionth of their size (or 1e-12):
    other processors round the last bits of sums in another way.

    Raises:
        InputError: one of them is no evidence.
    """
    old, new = _read(stored, "the stored evidence"), _read(again, "the evidence computed again")
    counts = {"compared": 0, "numbers": 0, "exact": 0}
    found: list[Difference] = []
    for name in sorted({*old, *new} - NOT_DERIVED):
        _compare(name, old.get(name), new.get(name), counts, found)
    was, now = old.get("environment", {}), new.get("environment", {})
    moved = [
        (name, str(was.get(name, "–")), str(now.get(name, "–")))
        for name in sorted({*was, *now})
        if was.get(name) != now.get(name)
    ]
    return Recomputed(**counts, differences=tuple(found), environment=tuple(moved))


def _read(data: bytes, what: str) -> dict[str, Any]:
    try:
        tree = json.loads(data)
        if isinstance(tree, dict) and tree["format"] == "hitl-audit/evidence/v1":
            notes = tree.get("data", {}).get("notes", [])
            # A remark on an earlier run of the same folder is about that run.
            notes[:] = [note for note in notes if not note.startswith("The last run")]
            return tree
    except (ValueError, KeyError):
        pass
    raise InputError(f'{what} cannot be read; expected "hitl-audit/evidence/v1"')


def _compare(
    path: str, old: Any, new: Any, counts: dict[str, int], found: list[Difference]
) -> None:
    if DATED.match(path) or RECORDED.match(path):
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            _compare(f"{path}.{name}", old.get(name), new.get(name), counts, found)
        return
    if isinstance(old, list) and isinstance(new, list):
        for i in range(max(len(old), len(new))):
            left, right = (values[i] if i < len(values) else None for values in (old, new))
            _compare(f"{path}[{i}]", left, right, counts, found)
        return
    if old is None and new is None:
        return
    counts["compared"] += 1
    numbers = _is_number(old) and _is_number(new)
    counts["numbers"] += numbers
    if type(old) is type(new) and old == new:
        counts["exact"] += 1
    elif not (numbers and math.isclose(old, new, rel_tol=RELATIVE, abs_tol=ABSOLUTE)):
        found.append(Difference(path, old, new, float(new - old) if numbers else None))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
