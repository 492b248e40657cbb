"""Every notebook runs from top to bottom and is saved without output."""

import json
import warnings
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


# What each notebook has to say in its end.
EXPECTED = {
    "01_audit": ["INCOMPLETE: valid, but not signed yet by Domain expert, Compliance officer"],
    "03_explanations": ["base + attributions differ from the model's own probability by at most"],
    "04_review": [
        "SIMULATED: ",
        "problems found: ()",
        "planted errors were caught (simulated)",
        "Refused: propose: 120 training rows are in the estimation sample",
        "True",
    ],
    "05_report": [
        "numbers with an id",
        "hitl_audit.findings.evaluate",
        "race × sex: Black × unknown (fewer than 10 people)",
        "the summary has 2 pages",
        "No promise is worse off.",
        "are equal to the last bit, and the others agree within rounding.",
    ],
    "06_what_if": [
        "opened without an edit: True - undone is as it was: True",
        "2 properties of the model were expected on the what-if panel and violated",
        "PLAN        violated - The score should not rise as “All obligations",
        "EXPLORATORY violated - The score should not fall as “All obligations",
        "EXPLORATORY violated - “All obligations",
        "Panels: ExplanationExplorer, FairnessPanel, SlicesPanel, OversightPanel",
    ],
    "02_fairness": ["The score gap between Black and white is", "it does not prove a cause"],
}


def test_every_notebook_is_expected() -> None:
    assert [path.stem for path in NOTEBOOKS] == sorted(EXPECTED)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_saved_without_output(path: Path) -> None:
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    here = tmp_path / "notebooks"
    here.mkdir()
    notebook = nbformat.reads(path.read_text(), as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(here)}})
    with warnings.catch_warnings():
        # The kernel's transport is Jupyter's business, on loopback, for one test.
        warnings.simplefilter("ignore")
        client.execute()
    said = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])
    )
    for words in EXPECTED[path.stem]:
        assert words in said
