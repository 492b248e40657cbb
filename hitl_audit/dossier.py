"""The audit folder: where its files are, and how they are read and replaced.

::

    mortgage/
      audit.toml        the plan, as written
      plan.lock.json    its digest and the time it was registered
      results/          evidence.json and parquet tables; replaced as a whole or not at all
      judgments.db      the ledger
      alternative.json  which alternative a person chose, and why (if one did)
      report.pdf        the document (open this one); signed in place
      report.html       the same for a browser, with interactive charts
      evidence.json     every number in the document
      manifest.json     digests of what belongs together

Rows of people are only in ``results/*.parquet`` and ``judgments.db``; they
stay in this folder and are in none of the other files.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from hitl_audit.errors import InputError, PlanError, did_you_mean
from hitl_audit.files import write_atomically
from hitl_audit.plan import AuditPlan, PlanLock, parse_lock

__all__ = ["Dossier"]


class Dossier:
    """One audit folder.

    Args:
        folder: its path; must exist for everything but writing the plan.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @property
    def plan_path(self) -> Path:
        """The plan as written."""
        return self.folder / "audit.toml"

    @property
    def lock_path(self) -> Path:
        """Which plan was registered when."""
        return self.folder / "plan.lock.json"

    @property
    def results_path(self) -> Path:
        """The folder of results."""
        return self.folder / "results"

    @property
    def parts_path(self) -> Path:
        """Finished parts of a run over many rows, until it is done."""
        return self.folder / ".parts"

    def forget_parts(self) -> None:
        """Remove what an interrupted run has finished."""
        shutil.rmtree(self.parts_path, ignore_errors=True)

    @property
    def rows_path(self) -> Path:
        """Of which rows the kept sample is, where there were too many to hold."""
        return self.results_path / "rows.json"

    @property
    def rows_table_path(self) -> Path:
        """The kept sample."""
        return self.results_path / "rows.parquet"

    @property
    def evidence_path(self) -> Path:
        """The numbers of the last run."""
        return self.results_path / "evidence.json"

    @property
    def ledger_path(self) -> Path:
        """The judgments."""
        return self.folder / "judgments.db"

    @property
    def choice_path(self) -> Path:
        """The alternative that a person chose."""
        return self.folder / "alternative.json"

    @property
    def follow_up_path(self) -> Path:
        """What is done about the findings."""
        return self.folder / "follow_ups.json"

    @property
    def report_path(self) -> Path:
        """The document."""
        return self.folder / "report.pdf"

    def require(self) -> None:
        """Check that this is an audit folder.

        Raises:
            InputError: there is no such folder, or no plan in it.
        """
        if not self.folder.is_dir():
            parent = self.folder.parent
            near = [p.name for p in parent.iterdir() if p.is_dir()] if parent.is_dir() else []
            raise InputError(
                f"{self.folder} is not a folder{did_you_mean(self.folder.name, near)}; expected an "
                'audit folder (make one with "hitl-audit init DIR")'
            )
        if not self.plan_path.is_file():
            raise InputError(
                f"{self.folder} has no audit.toml; expected an audit folder (make one with "
                '"hitl-audit init DIR")'
            )

    def plan(self) -> AuditPlan:
        """Read the plan.

        Raises:
            InputError: this is not an audit folder.
            PlanError: the plan cannot be used.
        """
        self.require()
        return AuditPlan.from_toml(self.plan_path.read_bytes(), name=str(self.plan_path))

    def registered_plan(self) -> tuple[AuditPlan, PlanLock]:
        """Read the plan and its lock, and check that they belong together.

        Raises:
            PlanError: the plan is not the registered one.
        """
        plan, lock = self.plan(), self.lock()
        if lock is None or lock.current.digest != plan.digest:
            raise PlanError(
                f"{self.plan_path} is not the plan that the results were made under; restore it, "
                'or run the audit again ("hitl-audit run")'
            )
        return plan, lock

    def lock(self) -> PlanLock | None:
        """Read the lock, or ``None`` before the first run."""
        return parse_lock(self.lock_path.read_bytes()) if self.lock_path.exists() else None

    def write_lock(self, lock: PlanLock) -> None:
        """Write the lock."""
        write_atomically(self.lock_path, (lock.model_dump_json(indent=2) + "\n").encode())

    def recover(self) -> None:
        """Finish what an interrupted replacement of the results left behind."""
        old = self.folder / ".results.old"
        if old.exists() and not self.results_path.exists():
            old.rename(self.results_path)
        for left in self.folder.glob(".results.*"):
            shutil.rmtree(left)

    @property
    def results_exist(self) -> bool:
        """Was there ever a complete run in this folder?"""
        return self.evidence_path.exists() or (self.folder / ".results.old").exists()

    def evidence(self) -> bytes:
        """Read the numbers of the last run.

        Raises:
            InputError: there was no run yet.
        """
        self.recover()
        if not self.evidence_path.is_file():
            raise InputError(
                f'{self.folder} has no results yet; make them with "hitl-audit run {self.folder}"'
            )
        return self.evidence_path.read_bytes()

    def sample(self) -> bytes:
        """Read the cases drawn in the last run.

        Raises:
            InputError: they are missing from the results.
        """
        path = self.results_path / "sample.json"
        if not path.is_file():
            raise InputError(
                f"{path} is missing, so the results are not whole; run the audit again "
                f'("hitl-audit run {self.folder}")'
            )
        return path.read_bytes()

    def replace_results(self, files: Mapping[str, bytes]) -> None:
        """Put new results in the place of the old ones, all of them or none."""
        self.recover()
        new, old = self.folder / ".results.new", self.folder / ".results.old"
        new.mkdir(parents=True)
        for name, data in files.items():
            write_atomically(new / name, data)
        if self.results_path.exists():
            self.results_path.rename(old)
        new.rename(self.results_path)
        if old.exists():
            shutil.rmtree(old)
