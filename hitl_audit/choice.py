"""The alternative that a person chose, and why: kept in the audit folder, shown in the document."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from hitl_audit.alternatives import Alternative
from hitl_audit.canonical import canonical_bytes
from hitl_audit.dossier import Dossier
from hitl_audit.errors import InputError
from hitl_audit.evidence import Evidence, read_evidence
from hitl_audit.files import write_atomically

__all__ = ["AlternativeFile", "choose", "choose_in_folder", "read_choice"]


@dataclass(frozen=True)
class AlternativeFile:
    """``alternative.json``."""

    chosen: Alternative
    format: Literal["hitl-audit/alternative/v1"] = "hitl-audit/alternative/v1"


def choose(
    evidence: Evidence,
    id: str,
    *,
    path: Path,
    rationale: str,
    chosen_by: str,
    now: Callable[[], datetime],
) -> Alternative:
    """Record a person's choice; an earlier one is replaced.

    Raises:
        InputError: no alternatives were searched, there is no such one, or
            nothing is said about why or by whom.
    """
    found = evidence.analyses.alternatives
    if found is None:
        raise InputError(
            "no alternatives were searched; ask for them in the plan (alternatives.search = true) "
            "and run the audit again"
        )
    chosen = found.choose(id, rationale=rationale, chosen_by=chosen_by, now=now)
    write_atomically(path, canonical_bytes(AlternativeFile(chosen)))
    return chosen


def choose_in_folder(
    folder: str | Path, id: str, *, rationale: str, chosen_by: str, now: Callable[[], datetime]
) -> Alternative:
    """:func:`choose` for an audit folder.

    Raises:
        InputError: there are no results, or as :func:`choose`.
    """
    dossier = Dossier(folder)
    dossier.require()
    return choose(
        read_evidence(dossier.evidence()),
        id,
        path=dossier.choice_path,
        rationale=rationale,
        chosen_by=chosen_by,
        now=now,
    )


def read_choice(path: Path, evidence: Evidence) -> Alternative | None:
    """The chosen alternative; ``None`` if nobody chose.

    Raises:
        InputError: it is none of this evidence's, or the file cannot be used.
    """
    if not path.exists():
        return None
    try:
        chosen = TypeAdapter(AlternativeFile).validate_json(path.read_bytes()).chosen
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"]) or "the file"
        raise InputError(
            f'{path} cannot be used: {place}: {first["msg"]}; expected "hitl-audit/alternative/v1"'
        ) from None
    found = evidence.analyses.alternatives
    same = [] if found is None else [p for p in found.points if asdict(p) == asdict(chosen.point)]
    if not same:
        raise InputError(
            f"{path} records the choice of {chosen.point.id} ({chosen.point.words}) among other "
            "alternatives than these results have; choose again, or remove the file"
        )
    return chosen
