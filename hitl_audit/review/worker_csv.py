"""Answers from a CSV file with worker ids, as crowd platforms and survey tools write them."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from hitl_audit.errors import InputError
from hitl_audit.review.answers import Answer

__all__ = ["read_worker_csv"]

# The columns of Amazon Mechanical Turk's batch results and of Prolific's exports, and plain names.
_NAMES: dict[str, tuple[str, ...]] = {
    "case_id": ("case_id", "Input.case_id"),
    "worker_id": ("worker_id", "WorkerId", "Participant id", "participant_id", "PROLIFIC_PID"),
    "label": ("label", "answer", "Answer.label", "Answer.answer"),
    "time": ("time", "SubmitTime", "Completed at", "completed_at", "at"),
    "seconds": ("seconds", "WorkTimeInSeconds", "Time taken", "time_taken"),
    "reasons": ("reasons", "Answer.reasons"),
    "rationale": ("rationale", "Answer.rationale"),
    "record": ("AssignmentId", "assignment_id", "Submission id", "submission_id"),
    "status": ("AssignmentStatus", "Status", "status"),
}
_NEEDED = ("case_id", "worker_id", "label", "time")
_REFUSED = {"rejected", "returned", "timed-out", "timed out"}


def read_worker_csv(
    path: str | Path, *, columns: Mapping[str, str] | None = None
) -> tuple[Answer, ...]:
    """Read answers from a CSV file, one row each.

    Args:
        path: UTF-8 text with a header.
        columns: names of the columns, where they are not those of Mechanical
            Turk or Prolific: for any of ``case_id``, ``worker_id``, ``label``,
            ``time``, ``seconds``, ``reasons`` (separated by ``;``),
            ``rationale``, ``record`` (what identifies the row there; by default
            case and worker) and ``status`` (rejected rows are passed over).

    Raises:
        InputError: the file cannot be read, or a column is not there.
    """
    file = Path(path)
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            header = list(reader.fieldnames or ())
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file.name}: cannot be read ({error})") from None
    found = _columns(file.name, header, columns or {})
    answers = []
    for number, row in enumerate(rows, start=1):
        cells = {name: (row.get(column) or "").strip() for name, column in found.items()}
        record = (
            (cells["record"],) if cells.get("record") else (cells["case_id"], cells["worker_id"])
        )
        status = cells.get("status", "")
        answers.append(
            Answer(
                where=f"row {number}",
                record=record,
                case_id=cells["case_id"],
                reviewer=cells["worker_id"],
                label=cells["label"],
                at=cells["time"],
                seconds=cells.get("seconds", ""),
                reasons=tuple(
                    part.strip() for part in cells.get("reasons", "").split(";") if part.strip()
                ),
                rationale=cells.get("rationale", ""),
                skipped=f"its status is {status!r}" if status.casefold() in _REFUSED else "",
            )
        )
    return tuple(answers)


def _columns(file: str, header: list[str], given: Mapping[str, str]) -> dict[str, str]:
    if len(set(header)) < len(header):
        raise InputError(f"{file}: a column stands in it twice: {', '.join(header)}")
    odd = [name for name in given if name not in _NAMES]
    if odd:
        raise InputError(f"{file}: columns has {odd[0]!r}; accepted: {', '.join(_NAMES)}")
    found = {}
    for name, usual in _NAMES.items():
        candidates = (given[name],) if name in given else usual
        there = [column for column in candidates if column in header]
        if there:
            found[name] = there[0]
        elif name in _NEEDED or name in given:
            raise InputError(
                f"{file}: there is no column for {name}; looked for {', '.join(candidates)}; "
                f"the file has {', '.join(header) or 'none'}"
            )
    return found
