"""What of the evidence may leave the house: small groups are taken out before a document is made.

A table of groups tells about a person if a group is so small that its rate
gives single outcomes away. Groups below the publication minimum are therefore
taken out of the evidence that is attached and of everything printed from it.
Where a published total less the published groups would give a group away,
further groups are taken out with it (complementary suppression; see Hundepool
et al., *Statistical Disclosure Control*, Wiley 2012, chapter 4): in every sum
that is published either nothing is missing, or at least two groups that
together reach the minimum.

People whose value is unknown are no group that anybody could be recognised by:
a small one is taken out as well, but no other group is with it.

Decisions on criteria are made before, on all groups; the document names every
group that is left out, and why. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from hitl_audit.error_slices import ErrorSlices
from hitl_audit.evidence import Evidence, ProfileRecord, PublicationRecord, ReviewRecord
from hitl_audit.fairness.counts import GroupCounts
from hitl_audit.fairness.disparity import GapSummary
from hitl_audit.fairness.group_metrics import GroupMetrics
from hitl_audit.fairness.profile_table import ProfileTable
from hitl_audit.findings import Finding
from hitl_audit.groups import ALL, TIMES, UNKNOWN

if TYPE_CHECKING:
    from hitl_audit.plan import AuditPlan

__all__ = ["DEFAULT_MINIMUM", "Publication", "hidden_cells", "publish"]

Cell = tuple[str, ...]

DEFAULT_MINIMUM = 10
"""Groups of fewer people are not published, unless the plan says another number."""

_DROP = object()
_NAMES = ("group", "reference", "to", "highest", "lowest")


@dataclass(frozen=True)
class Publication:
    """What the plan allows to leave the house (``[publication]``).

    Attributes:
        minimum_group: fewest people of a group that is published; 1 publishes all.
        rows: the judged cases may be written into documents one by one.
        free_text: what reviewers wrote may be quoted.
        reviewer_names: reviewers may be named; otherwise they have numbers.
    """

    minimum_group: int = DEFAULT_MINIMUM
    rows: bool = False
    free_text: bool = False
    reviewer_names: bool = False

    @classmethod
    def of(cls, plan: AuditPlan) -> Publication:
        """What a plan allows; the defaults where it says nothing."""
        return cls(**plan.publication.model_dump())


def hidden_cells(
    attributes: Sequence[str], sizes: Mapping[Cell, int], minimum: int
) -> dict[Cell, str]:
    """Which cells of a table must not be published, and why.

    Args:
        attributes: of the table; one for a plain one, more for a crossing.
        sizes: people per cell, one value per attribute; cells of nobody are left out.
        minimum: fewest people of a cell that is published.

    Returns:
        The hidden cells and the reason, in words. In every line (all cells that share
        some of the values, down to all cells) with a hidden cell of known values, at
        least two cells are hidden, which together reach the minimum; as far as the line
        has them.
    """
    small = f"fewer than {minimum} people"
    hidden = {cell: small for cell, n in sizes.items() if n < minimum}
    lines = _lines(len(attributes), sizes)
    changed = True
    while changed:
        changed = False
        for line in lines:
            out = [cell for cell in line if cell in hidden]
            at_risk = any(UNKNOWN not in cell for cell in out)
            enough = len(out) >= 2 and sum(sizes[cell] for cell in out) >= minimum
            left = [cell for cell in line if cell not in hidden]
            if at_risk and not enough and left:
                # The smallest one that is left: least is lost with it.
                chosen = min(left, key=lambda cell: (sizes[cell], cell))
                hidden[chosen] = "with the totals it would give a smaller group away"
                changed = True
    return hidden


def _lines(width: int, cells: Iterable[Cell]) -> list[tuple[Cell, ...]]:
    """All sets of cells that share the values of some attributes: what sums may be known of."""
    lines: dict[tuple[tuple[int, str], ...], list[Cell]] = {}
    for cell in sorted(cells):
        for chosen in range(2**width - 1):  # every proper part of the attributes, and none
            key = tuple((i, cell[i]) for i in range(width) if chosen >> i & 1)
            lines.setdefault(key, []).append(cell)
    return [tuple(line) for _, line in sorted(lines.items())]


class _Hidden:
    """The hidden groups of one population, by attribute."""

    def __init__(self, found: Mapping[str, Mapping[str, str]], minimum: int) -> None:
        self.found, self.minimum = found, minimum

    def has(self, attribute: str, group: Any) -> bool:
        """Whether a group is hidden; oversight writes ``"race: Black − white"`` for both."""
        if not isinstance(group, str):
            return False
        named, colon, rest = group.partition(": ")
        hidden = self.found.get(named, {}) if colon else {}
        return group in self.found.get(attribute, {}) or any(
            part in hidden for part in rest.split(" − ")
        )

    @classmethod
    def of(cls, metrics: GroupMetrics, minimum: int) -> _Hidden:
        sizes: dict[str, dict[Cell, int]] = {}
        for rate in metrics.rates:
            if rate.attribute != ALL:
                cell = tuple(rate.group.split(TIMES))
                known = sizes.setdefault(rate.attribute, {})
                known[cell] = max(known.get(cell, 0), rate.n)
        found = {
            attribute: {
                TIMES.join(cell): why
                for cell, why in hidden_cells(
                    attribute.split(TIMES), _whole(attribute, cells), minimum
                ).items()
            }
            for attribute, cells in sizes.items()
        }
        return cls({a: hidden for a, hidden in found.items() if hidden}, minimum)


def _whole(attribute: str, cells: Mapping[Cell, int]) -> dict[Cell, int]:
    """Cells whose names fit the attributes; a name with the sign × in it stays whole."""
    width = len(attribute.split(TIMES))
    return {
        cell if len(cell) == width else (TIMES.join(cell),) * width: n for cell, n in cells.items()
    }


def _pruned(value: Any, hidden: _Hidden, attribute: str = "") -> Any:
    """The value without anything that is about a hidden group; ``_DROP`` if all of it is."""
    if isinstance(value, tuple):
        kept = [_pruned(v, hidden, attribute) for v in value]
        return tuple(v for v in kept if v is not _DROP)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    if isinstance(value, GroupMetrics):
        return _metrics(value, hidden)
    if isinstance(value, ProfileTable):
        return _table(value, hidden)
    if isinstance(value, GapSummary):
        return _gap(value, hidden)
    if isinstance(value, Finding):
        return _finding(value, hidden)
    if hasattr(value, "notes"):
        value = _unsized(value, hidden)
    own = getattr(value, "attribute", attribute)
    attribute = own if isinstance(own, str) else attribute
    if any(hidden.has(attribute, getattr(value, name, None)) for name in _NAMES):
        return _DROP
    changes = {}
    for one in fields(value):
        old = getattr(value, one.name)
        new = _pruned(old, hidden, attribute)
        if new is _DROP:
            return _DROP
        if new is not old and new != old:
            changes[one.name] = new
    return replace(value, **changes) if changes else value


def _unsized(value: Any, hidden: _Hidden) -> Any:
    """Without the sizes of hidden groups in its notes: ``islands (region, n = 6)``."""
    names = [re.escape(g) for groups in hidden.found.values() for g in groups]
    if not names or not isinstance(value.notes, tuple):
        return value
    sized = re.compile(rf"((?:{'|'.join(names)}) \([^()]*?), n = [\d,]+\)")
    return replace(value, notes=tuple(sized.sub(r"\1, not published)", n) for n in value.notes))


def _metrics(metrics: GroupMetrics, hidden: _Hidden) -> GroupMetrics:
    counts = metrics.counts
    return replace(
        metrics,
        # The finest table there is, of all attributes crossed: nothing is printed from it.
        counts=GroupCounts(counts.attributes, (), ()) if hidden.minimum > 1 else counts,
        rates=_pruned(metrics.rates, hidden),
        against_reference=_pruned(metrics.against_reference, hidden),
    )


def _table(table: ProfileTable, hidden: _Hidden) -> ProfileTable:
    sizes = {tuple(row.group.split(TIMES)): row.n for row in table.rows}
    out = {
        TIMES.join(cell)
        for cell in hidden_cells(
            table.attribute.split(TIMES), _whole(table.attribute, sizes), hidden.minimum
        )
    } | set(hidden.found.get(table.attribute, {}))
    names = [row.group for row in table.rows if row.group in out]
    if not names:
        return table
    note = (
        "Not published, because they are too small or would give a smaller one away: "
        f"{', '.join(names)}."
    )
    return replace(
        table,
        rows=tuple(row for row in table.rows if row.group not in out),
        reference="" if table.reference in out else table.reference,
        notes=(*table.notes, note),
    )


def _gap(gap: GapSummary, hidden: _Hidden) -> GapSummary:
    if gap.attribute not in hidden.found:
        return gap
    # The largest gap is that of some group, and may be that of a hidden one.
    return replace(gap, value=None, low=None, high=None, bias_corrected=None)


def _finding(finding: Finding, hidden: _Hidden) -> Finding:
    verdicts = _pruned(finding.verdicts, hidden)
    lost = [v for v in finding.verdicts if v not in verdicts]
    told = finding.words in {v.words for v in lost}
    words = (
        f"{', '.join(v.comparison.group for v in lost)}: {finding.status}; the group is not "
        "published."
        if told
        else finding.words
    )
    return replace(finding, verdicts=verdicts, words=words)


def publish(evidence: Evidence, terms: Publication = Publication()) -> Evidence:
    """The evidence as it may leave the house.

    Args:
        evidence: of a run; what was published before on the same or stricter terms
            stays as it is.
        terms: what the plan allows.

    Returns:
        Evidence without the groups that are too small, with ``publication`` saying what
        was allowed and what is left out. Nothing in it is about fewer people of a known
        group than ``terms.minimum_group``, as a row or by subtraction.
    """
    minimum = max(1, terms.minimum_group)
    before = evidence.publication
    if before is not None and before.minimum_group >= minimum:
        return evidence
    hidden = _Hidden.of(evidence.fairness, minimum)
    published = evidence
    if minimum > 1:
        parts = ("performance", "fairness", "gaps", "findings")
        quality = ("explanation_quality_by_group", "explanation_quality_gaps")
        changes = {name: _pruned(getattr(evidence, name), hidden) for name in (*parts, *quality)}
        people = {
            name: _pruned(getattr(evidence, name), hidden) for name in ("oversight", "review")
        }
        changes |= {name: part for name, part in people.items() if part is not _DROP}
        changes["review"] = _disclosed(changes.get("review", evidence.review), hidden)
        changes["analyses"] = _analyses(evidence, hidden)
        if evidence.history is not None:
            past = _Hidden.of(evidence.history.decisions, minimum)
            decisions = _metrics(evidence.history.decisions, past)
            changes["history"] = replace(evidence.history, decisions=decisions)
        published = replace(evidence, **changes)
    return replace(
        published,
        publication=PublicationRecord(
            minimum_group=minimum,
            rows=terms.rows,
            free_text=terms.free_text,
            reviewer_names=terms.reviewer_names,
            left_out=tuple(
                (attribute, group, why)
                for attribute, groups in hidden.found.items()
                for group, why in sorted(groups.items())
            ),
        ),
    )


def _disclosed(review: ReviewRecord, hidden: _Hidden) -> ReviewRecord:
    """Single cases do not tell of which hidden group they are, neither of a crossed one."""
    said = review.disclosed
    places = {name: i for i, name in enumerate(said.attributes)}
    rows = []
    for case in said.cases:
        groups = list(case.groups)
        for attribute, names in hidden.found.items():
            parts = [places[a] for a in attribute.split(TIMES) if a in places]
            if TIMES.join(case.groups[i] for i in parts) in names:
                for i in parts:
                    groups[i] = ""
        rows.append(replace(case, groups=tuple(groups)))
    return replace(review, disclosed=replace(said, cases=tuple(rows)))


def _analyses(evidence: Evidence, hidden: _Hidden) -> Any:
    made = _pruned(evidence.analyses, hidden)
    by = TIMES.join(_compared_by(evidence))
    if made.error_slices is not None:
        made = replace(made, error_slices=_slices(made.error_slices, hidden.minimum))
    made = replace(made, profiles=tuple(_bands(one, hidden.minimum) for one in made.profiles))
    for name in ("mitigation", "alternatives"):
        part = getattr(made, name)
        if part is not None and any(hidden.has(by, group) for group in part.groups):
            # What was measured between groups is of all of them, the hidden ones too.
            made = replace(made, **{name: None})
    return made


def _slices(found: ErrorSlices, minimum: int) -> ErrorSlices:
    """Slices of enough people; their bounds are some person's values, so they are rounded."""
    return replace(
        found,
        slices=tuple(
            replace(
                one,
                conditions=tuple(
                    replace(c, above=_rounded(c.above), up_to=_rounded(c.up_to))
                    for c in one.conditions
                ),
            )
            for one in found.slices
            if one.n >= minimum
        ),
        tree=found.tree if all(node.n >= minimum for node in found.tree) else (),
    )


def _bands(record: ProfileRecord, minimum: int) -> ProfileRecord:
    """Score bands of enough people; their edges are some person's score, so they are rounded."""
    bands = tuple(
        replace(b, above=_rounded(b.above), up_to=_rounded(b.up_to))
        for b in record.bands
        if b.n >= minimum
    )
    moved = record.stability
    if moved is not None:
        shares = tuple((_rounded(a), _rounded(b), p, q) for a, b, p, q in moved.shares)
        moved = replace(moved, shares=shares)
    return replace(record, bands=bands, stability=moved)


def _rounded(bound: Any) -> Any:
    return None if bound is None else float(f"{bound:.3g}")


def _compared_by(evidence: Evidence) -> tuple[str, ...]:
    for entry in evidence.provenance:
        if entry.part == "analyses.alternatives":
            by = entry.parameters.get("by") or ()
            return tuple(by) or tuple(column for column, _ in evidence.data.sensitive[:1])
    return ()
