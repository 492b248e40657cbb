"""Imports run downward only: this reads them from the source and says so."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "hitl_audit"

# Longest prefix wins. A module may import from lower floors and from its own
# part (the same name here); neighbours on one floor do not know each other,
# but for the pairs in NEIGHBOURS.
FLOORS = {
    "errors": 0,
    "canonical": 0,
    "findings": 0,
    "charts": 0,
    "multiset_hash": 0,
    "multiset_kernel": 0,
    "point_clouds": 0,
    "intervals": 0,
    "files": 1,
    "engine": 1,
    "groups": 1,
    "score_statistics": 1,
    "slices": 1,
    "threshold_search": 1,
    "manifest": 1,
    "plan": 1,
    "review_plan": 1,
    "plan_sections": 1,
    "what_if_plan": 1,
    "loading": 1,
    "rows": 1,
    "imported": 0,
    "onnx_model": 1,
    "booster_model": 1,
    "endpoint_connection": 1,
    "endpoint_model": 1,
    "mlflow_folder": 1,
    "model_formats": 1,
    "model_structure": 1,
    "model_worker": 1,
    "model_worker_process": 1,
    "skops_file": 1,
    "inputs": 1,
    "signing": 1,
    "explanations": 2,
    "fairness": 2,
    "profiles": 1,
    "performance": 2,
    "population": 2,
    "mitigators": 2,
    "error_slices": 2,
    "thresholds": 2,
    "mitigation": 2,
    "alternatives": 2,
    "review": 2,
    "what_if": 2,
    "choice": 4,
    "dossier": 3,
    "evidence": 3,
    "analyses": 3,
    "streaming": 3,
    "training": 2,
    "explaining": 3,
    "results": 3,
    "reviewing": 3,
    "what_if_setup": 3,
    "collected_checks": 3,
    "provenance": 3,
    "recompute": 3,
    "changes": 2,
    "stability_index": 2,
    "follow_up": 2,
    "compare": 3,
    "disclosure": 3,
    "publication": 3,
    "verification": 3,
    "examples": 3,
    "report": 4,
    "widgets": 5,
    "people": 5,
    "sign_off": 5,
    "audit": 6,
    "judgment_files": 7,
    "recomputing": 7,
    "review_app": 7,
    "demo": 7,
    "documents": 7,
    "start": 8,
    "words": 8,
    "cli": 9,
    "__main__": 10,
}
NEIGHBOURS = {
    ("mitigation", "mitigators"),
    ("alternatives", "mitigators"),
    ("charts", "errors"),
    ("multiset_hash", "multiset_kernel"),
    # All rows at once are counted and measured by what measures rows in memory.
    ("population", "fairness"),
    ("population", "performance"),
    ("charts", "point_clouds"),
    ("findings", "errors"),
    ("intervals", "errors"),
    ("findings", "intervals"),
    # What a what-if shows are the audit's own explanations of an edited row.
    ("what_if", "explanations"),
    # Explained rows are sampled as scored ones are.
    ("explanations", "population"),
    ("imported", "errors"),
    ("loading", "rows"),
    ("loading", "onnx_model"),
    ("engine", "files"),
    ("loading", "booster_model"),
    ("endpoint_model", "endpoint_connection"),
    ("loading", "endpoint_model"),
    ("loading", "mlflow_folder"),
    ("loading", "model_formats"),
    ("loading", "model_structure"),
    ("loading", "model_worker"),
    ("loading", "plan_sections"),
    ("loading", "skops_file"),
    ("model_formats", "booster_model"),
    ("model_formats", "onnx_model"),
    ("model_formats", "skops_file"),
    ("model_worker_process", "model_formats"),
    ("inputs", "plan"),
    ("plan", "review_plan"),
    ("plan", "plan_sections"),
    ("plan", "what_if_plan"),
    ("what_if_plan", "plan_sections"),
    ("review_plan", "plan_sections"),
    ("inputs", "groups"),
    ("inputs", "loading"),
    ("results", "evidence"),
    ("results", "reviewing"),
    ("results", "what_if_setup"),
    ("results", "collected_checks"),
    ("what_if_setup", "evidence"),
    ("collected_checks", "evidence"),
    ("collected_checks", "what_if_setup"),
    ("reviewing", "evidence"),
    ("reviewing", "disclosure"),
    ("disclosure", "evidence"),
    ("compare", "evidence"),
    ("publication", "evidence"),
    ("analyses", "evidence"),
    ("explaining", "evidence"),
    ("results", "explaining"),
    ("results", "analyses"),
}


def modules() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def part_of(module: str) -> str:
    return module.split(".")[1]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            if node.module == "hitl_audit":
                found |= {f"hitl_audit.{alias.name}" for alias in node.names}
            else:
                found.add(node.module)
    return {name for name in found if name.startswith("hitl_audit.")}


def test_every_part_has_a_floor() -> None:
    parts = {p.relative_to(PACKAGE).parts[0].removesuffix(".py") for p in modules()}
    assert parts == set(FLOORS)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_downward(path: Path) -> None:
    here = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for name in imports(path):
        there = part_of(name)
        if there == here or (here, there) in NEIGHBOURS:
            continue
        assert FLOORS[there] < FLOORS[here], (
            f"{path.name} (floor {FLOORS[here]}, {here}) imports {name} (floor {FLOORS[there]})"
        )


FILE_TOUCHERS = {
    "profiles",
    "loading",
    "rows",
    "mlflow_folder",
    "files",
    "engine",
    "signing",
    "verification",
    "report",
    "review",
    "dossier",
    "documents",
    "demo",
    "start",
    "choice",
    "cli",
    "sign_off",
    "examples",
    "audit",
    "review_app",
    "judgment_files",
    "people",
    "recomputing",
    "widgets",
}


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_edges_touch_files(path: Path) -> None:
    here = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if here in FILE_TOUCHERS or path.name == "canonical.py":
        return
    calls = {
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    }
    touching = {"open", "write_bytes", "write_text", "read_bytes", "read_text", "unlink", "mkdir"}
    assert not calls & touching


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_canonical_hashes(path: Path) -> None:
    if path.name != "canonical.py":
        assert "import hashlib" not in path.read_text()
