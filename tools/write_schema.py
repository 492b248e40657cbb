"""Renew hitl_audit/schemas/ from the types: python tools/write_schema.py."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from hitl_audit.choice import AlternativeFile
from hitl_audit.evidence import Evidence
from hitl_audit.follow_up import FollowUpFile
from hitl_audit.plan import PlanLock
from hitl_audit.report.numbering import NumberList
from hitl_audit.review.event import FORMAT, Event, event_kinds
from hitl_audit.review.sampling import CaseSample

FOLDER = Path(__file__).resolve().parents[1] / "hitl_audit" / "schemas"
TYPES = {
    "alternative.v1": AlternativeFile,
    "event.v1": Event,
    "evidence.v1": Evidence,
    "follow-ups.v1": FollowUpFile,
    "numbers.v1": NumberList,
    "plan-lock.v1": PlanLock,
    "sample.v1": CaseSample,
}


def schema(name: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of one persisted format, from the type that writes it."""
    if name == "event.v1":
        made: dict[str, Any] = {"oneOf": [_body(kind) for kind in event_kinds().values()]}
    else:
        made = TypeAdapter(TYPES[name]).json_schema(mode="serialization")
        made["required"] = sorted(made["properties"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"hitl-audit/{name.replace('.', '/')}",
        **made,
    }


def _body(kind: type[Event]) -> dict[str, Any]:
    """The body of one kind of event: words of people are in it as commitments only."""
    made = TypeAdapter(kind).json_schema(mode="serialization")
    commitment = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}
    hidden = {"redacted", *kind.PERSONAL}
    made["properties"] = {
        "format": {"const": FORMAT},
        "kind": {"const": kind.KIND},
        "personal": {
            "type": "object",
            "properties": dict.fromkeys(kind.PERSONAL, commitment),
            "additionalProperties": False,
        },
        **{name: value for name, value in made["properties"].items() if name not in hidden},
    }
    return made | {"required": sorted(made["properties"]), "additionalProperties": False}


def text(name: str) -> str:
    return json.dumps(schema(name), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name in TYPES:
        (FOLDER / f"{name}.json").write_text(text(name), encoding="utf-8")
