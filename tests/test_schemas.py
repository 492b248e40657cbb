"""What is written to disk follows the schemas that are shipped."""

import importlib.util
import json
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest

from hitl_audit.follow_up import FollowUpFile, recorded
from hitl_audit.review.judgment import Judgment

ROOT = Path(__file__).resolve().parents[1]
SCHEMAS = ROOT / "hitl_audit" / "schemas"


def write_schema() -> ModuleType:
    path = ROOT / "tools" / "write_schema.py"
    spec = importlib.util.spec_from_file_location("write_schema", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name",
    ["evidence.v1", "event.v1", "follow-ups.v1", "numbers.v1", "plan-lock.v1", "sample.v1"],
)
def test_schemas_are_those_of_the_types(name: str) -> None:
    found = (SCHEMAS / f"{name}.json").read_text(encoding="utf-8")
    assert found == write_schema().text(name), "renew them: python tools/write_schema.py"


def judgment() -> dict[str, Any]:
    event = Judgment(
        event_id="00000000-0000-4000-8000-000000000000",
        case_id="C0001",
        design="random",
        inclusion_probability=0.5,
        reviewer="Ada",
        role="domain expert",
        phase="blind",
        answer="favorable",
        reasons=(),
        rationale="because",
        shown=("case",),
        model_digest="sha256:0",
        plan_digest="sha256:1",
        at="2026-03-02T09:00:00.000000Z",
        seconds=3.0,
    )
    found: dict[str, Any] = json.loads(event.seal(lambda: bytes(16)).body)
    return found


def follow_ups() -> Any:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    said = {"severity": "high", "owner": "Olga Owner", "due": "2026-06-01", "action": "retrain"}
    made = recorded("F1", ["F1"], **said, by="Cora Officer", now=now)
    return json.loads(FollowUpFile((made,)).to_bytes())


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("evidence.v1", "evidence.json"),
        ("evidence.v1", "results/evidence.json"),
        ("sample.v1", "results/sample.json"),
        ("plan-lock.v1", "plan.lock.json"),
        ("manifest.v1", "manifest.json"),
        ("numbers.v1", "numbers.json"),
        ("event.v1", None),
        ("follow-ups.v1", None),
    ],
)
def test_files_follow_their_schema(name: str, file: str | None, mortgage_folder: Path) -> None:
    schema = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    made = {"event.v1": judgment, "follow-ups.v1": follow_ups}
    value = json.loads((mortgage_folder / file).read_bytes()) if file else made[name]()
    check = jsonschema.Draft202012Validator(schema)
    check.validate(value)
    assert value["format"] == "hitl-audit/" + name.replace(".", "/")
    other = {**value, "format": "hitl-audit/something/v9"}
    assert not check.is_valid(other)
    assert not check.is_valid({k: v for k, v in value.items() if k != "format"})
