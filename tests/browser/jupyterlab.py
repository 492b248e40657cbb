"""A real JupyterLab with one notebook of one code cell, and a browser that drives it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest
from playwright.sync_api import Page, expect

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-for-one-test"


@dataclass(frozen=True)
class Lab:
    url: str
    folder: Path
    cells: int

    @property
    def notebook(self) -> Path:
        """Where the notebook is saved."""
        return self.folder / "judge.ipynb"

    def kill_kernels(self, page: Page) -> None:
        headers = {"Authorization": f"token {TOKEN}"}
        for kernel in page.request.get(f"{self.url}/api/kernels", headers=headers).json():
            page.request.delete(f"{self.url}/api/kernels/{kernel['id']}", headers=headers)


@contextmanager
def jupyterlab(tmp_path: Path, *sources: str) -> Iterator[Lab]:
    """JupyterLab on a free port, with a notebook of these cells."""
    folder = tmp_path / "work"
    folder.mkdir()
    cell: dict[str, Any] = {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
    }
    notebook = {
        "cells": [
            cell | {"id": f"cell-{place}", "source": source.strip()}
            for place, source in enumerate(sources)
        ],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (folder / "judge.ipynb").write_text(json.dumps(notebook))
    settings = tmp_path / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    quiet = '{"fetchNews": "false", "checkForUpdates": false, "doNotDisturbMode": true}'
    (settings / "notification.jupyterlab-settings").write_text(quiet)
    theme = os.environ.get("HITL_SHOTS_THEME", "JupyterLab Light")
    (settings / "themes.jupyterlab-settings").write_text(f'{{"theme": "{theme}"}}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JUPYTER_NO_CONFIG": "1",
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"]
    command += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}"]
    server = subprocess.Popen(
        [*command, f"--ServerApp.root_dir={folder}"],
        env=env,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert server.stdout is not None
    try:
        _wait_until_running(server.stdout)
        reader = threading.Thread(target=server.stdout.read)  # a full pipe would block it
        reader.start()
        yield Lab(f"http://127.0.0.1:{port}", folder, len(sources))
    finally:
        server.terminate()
        server.wait(20)
    reader.join(20)
    server.stdout.close()


def _wait_until_running(output: IO[str]) -> None:
    lines = []
    for line in output:
        lines.append(line)
        if "is running at" in line:
            return
    pytest.fail("JupyterLab did not start:\n" + "".join(lines))


def open_and_run(page: Page, lab: Lab, region: str = "Case review") -> None:
    """Open the notebook and run its cells until the widget of the last one is there."""
    page.goto(f"{lab.url}/doc/tree/judge.ipynb?token={TOKEN}", wait_until="commit")
    cell = page.locator(".jp-CodeCell .cm-content").first
    expect(cell).to_be_visible(timeout=90_000)
    idle = page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']")
    expect(idle).to_be_visible(timeout=60_000)
    for place in range(lab.cells):
        run_cell(page, place)
    expect(page.get_by_role("region", name=region)).to_be_visible(timeout=60_000)


def run_cell(page: Page, place: int, seconds: float = 48) -> None:
    """Run one cell, and wait until it has run."""
    cell = page.locator(".jp-CodeCell .cm-content").nth(place)
    prompt = page.locator(".jp-CodeCell .jp-InputPrompt").nth(place)
    for _ in range(int(seconds / 4)):  # a Run before the kernel is connected is lost
        cell.click(position={"x": 5, "y": 5})
        page.keyboard.press("Control+Enter")
        try:
            expect(prompt).to_have_text(re.compile(r"\[(\d+|\*)\]:"), timeout=4_000)
            break
        except AssertionError:
            continue
    expect(prompt).to_have_text(re.compile(r"\[\d+\]:"), timeout=1000 * seconds)
