"""Renew hitl_audit/schemas/ from the types: python tools/write_schema.py."""

import json
from pathlib import Path

from hitl_audit.results import evidence_schema

TARGET = Path(__file__).resolve().parents[1] / "hitl_audit" / "schemas" / "evidence.v1.json"

if __name__ == "__main__":
    TARGET.write_text(json.dumps(evidence_schema(), indent=1, ensure_ascii=False) + "\n")
