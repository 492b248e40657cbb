"""Renew hitl_audit/schemas/ from the types: python tools/write_schema.py."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from hitl_audit.choice import AlternativeFile
from hitl_audit.evidence import Evidence
from hitl_audit.plan import PlanLock
from hitl_audit.review.judgment import FORMAT, Judgment
from hitl_audit.review.sampling import CaseSample

FOLDER = Path(__file__).resolve().parents[1] / "hitl_audit" / "schemas"
TYPES = {
    "alternative.v1": AlternativeFile,
    "evidence.v1": Evidence,
    "judgment.v1": Judgment,
    "plan-lock.v1": PlanLock,
    "sample.v1": CaseSample,
}


def schema(name: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of one persisted format, from the type that writes it."""
    made = TypeAdapter(TYPES[name]).json_schema(mode="serialization")
    if name == "judgment.v1":  # its format is added when it is written
        made["properties"] = {"format": {"const": FORMAT}, **made["properties"]}
    made["required"] = sorted(made["properties"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"hitl-audit/{name.replace('.', '/')}",
        **made,
    }


def text(name: str) -> str:
    return json.dumps(schema(name), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name in TYPES:
        (FOLDER / f"{name}.json").write_text(text(name), encoding="utf-8")
