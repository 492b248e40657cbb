"""A new audit folder: a commented plan and a notebook to go on from."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from hitl_audit.demo import start_example
from hitl_audit.dossier import Dossier
from hitl_audit.errors import InputError
from hitl_audit.files import write_atomically

__all__ = ["start_audit"]

CELLS = (
    "# An audit\n\nThe plan is in `audit.toml` beside this notebook. It is registered by the first "
    "run; change it before, not after.",
    'import hitl_audit as ha\n\naudit = ha.Audit.open(".")\nresults = audit.run()\nresults',
    "results.frame()  # every promise, group by group",
    'results.fairness.plot("selection_rate", results.fairness.attributes[0])',
    "results.explanation.plot()",
    'audit.review(reviewer="your name")  # judge cases; every answer is kept in judgments.db',
    'report = audit.report()\nreport.save(".")',
)


def start_audit(folder: str | Path, *, example: str | None = None) -> tuple[Path, ...]:
    """Write a plan and a notebook into a folder that holds no audit yet.

    Args:
        folder: made if it does not exist.
        example: start from a built-in audit, with its model.

    Returns:
        The files written.

    Raises:
        InputError: there is an audit already, or no such example.
    """
    dossier = Dossier(folder)
    notebook = dossier.folder / "audit.ipynb"
    for path in (dossier.plan_path, notebook):
        if path.exists():
            raise InputError(f"{path} exists already; choose another folder, nothing was written")
    if example is not None:
        start_example(dossier.folder, example)
    else:
        dossier.folder.mkdir(parents=True, exist_ok=True)
        template = (files("hitl_audit.examples") / "template.toml").read_bytes()
        write_atomically(dossier.plan_path, template)
    write_atomically(notebook, _notebook())
    return dossier.plan_path, notebook


def _notebook() -> bytes:
    cells = [
        {"cell_type": "markdown", "id": "title", "metadata": {}, "source": CELLS[0]},
        *(
            {
                "cell_type": "code",
                "id": f"step-{i}",
                "metadata": {},
                "execution_count": None,
                "outputs": [],
                "source": source,
            }
            for i, source in enumerate(CELLS[1:], 1)
        ),
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {
        "cells": cells,
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode()
