"""The facade that a notebook and the command line use: one object for one audit."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hitl_audit.alternatives import Alternative
from hitl_audit.analyses import check_analyses
from hitl_audit.canonical import canonical_bytes
from hitl_audit.choice import choose, read_choice
from hitl_audit.dossier import Dossier
from hitl_audit.errors import InputError, PlanError
from hitl_audit.evidence import Evidence, read_evidence, with_people
from hitl_audit.files import write_atomically
from hitl_audit.inputs import AuditInputs, build_inputs
from hitl_audit.loading import read_data, read_model
from hitl_audit.plan import AuditPlan, PlanLock, register
from hitl_audit.profiles.loader import Profile, load_profile
from hitl_audit.report.rendered import AuditReport, companions, render
from hitl_audit.results import AuditResults, Progress, read_results, read_sample, run_audit
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.oversight import summarise
from hitl_audit.review.sampling import CaseSample
from hitl_audit.review.session import Revealed, ReviewSession
from hitl_audit.review.simulate import simulate_reviewers
from hitl_audit.review.words import value_words
from hitl_audit.training import TrainingRows, training_rows

if TYPE_CHECKING:
    from hitl_audit.widgets.judge import JudgeWidget

__all__ = ["Audit", "report_from"]

SIMULATED_REVIEWERS = 2


def utc_now() -> datetime:
    """The clock of this machine, with its zone."""
    return datetime.now(UTC)


class Audit:
    """One audit: a model, data about people, and a plan.

    ::

        audit = ha.Audit(model, X_test, y_test, sensitive=["race", "sex"], plan="audit.toml")
        results = audit.run()
        audit.review(reviewer="Ada Expert")
        audit.report().save("reports/mortgage")

    Args:
        model: a fitted binary classifier (with ``predict_proba``, or ``predict``
            and ``model.output = "label"`` in the plan), or a callable from a
            DataFrame to probabilities of the favorable outcome.
        X: rows to audit; may hold more columns than the model reads.
        y: recorded outcome per row. A Series is matched to ``X`` by index where both
            name the same rows, else by position.
        sensitive: names of columns of ``X``, or a DataFrame or Series beside it.
        plan: path of an ``audit.toml``, an :class:`~hitl_audit.plan.AuditPlan`,
            or ``None`` for defaults without criteria: numbers, but no promise.
        ids: one per row, unique; they are checked and not published.
        folder: audit folder for the plan's registration, results, judgments.
            Without it, only judgments are written, to ``judgments.db``.
        train: ``(X_train, y_train)`` the model was fitted on, or with the
            sensitive attributes as a third table; default: ``data.train`` of
            the plan. Only the search for alternatives fits on them.
        now: the clock.

    Raises:
        PlanError: the plan cannot be used.
        InputError: the model or the data cannot be used.
    """

    def __init__(
        self,
        model: Any,
        X: Any,
        y: Any,
        *,
        sensitive: str | Sequence[str] | pd.DataFrame | pd.Series | None = None,
        plan: AuditPlan | str | Path | None = None,
        ids: Sequence[Any] | None = None,
        folder: str | Path | None = None,
        train: tuple[Any, ...] | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        beside = sensitive.to_frame() if isinstance(sensitive, pd.Series) else sensitive
        if isinstance(beside, str):
            beside = [beside]
        if beside is not None and not isinstance(beside, Iterable):
            raise InputError(
                f"sensitive is a {type(beside).__name__}; expected names of columns of X, a "
                "DataFrame or a Series"
            )
        if np.ndim(y) != 1:
            raise InputError(f"y has shape {np.shape(y)}; expected one value per row of X")
        if ids is not None and not hasattr(ids, "__len__"):
            raise InputError(f"ids is a {type(ids).__name__}; expected one value per row of X")
        names = None if beside is None else [str(c) for c in beside]
        self.plan = _plan_for(plan, names, y)
        if names is not None and set(names) != set(self.plan.data.sensitive):
            raise PlanError(
                f"sensitive is {', '.join(names)} and the plan's data.sensitive is "
                f"{', '.join(self.plan.data.sensitive) or 'empty'}; expected the same attributes"
            )
        self.inputs: AuditInputs = build_inputs(
            model,
            X,
            y,
            plan=self.plan,
            sensitive=beside if isinstance(beside, pd.DataFrame) else None,
            ids=ids,
        )
        self._history: pd.DataFrame | None = None
        if train is not None:
            self._training: TrainingRows | None = _training(train, self.inputs, self.plan)
        else:
            self._training = _training_file(Path(folder or ""), self.inputs, self.plan)
        self._start(Dossier(folder) if folder is not None else None, now)

    def _start(self, dossier: Dossier | None, now: Callable[[], datetime]) -> None:
        self._profiles = _profiles(self.plan, dossier)
        check_analyses(self.inputs, self.plan, self._profiles, self._training)
        self._dossier = dossier
        self._now = now
        self._lock: PlanLock | None = None
        self._results: AuditResults | None = None

    @classmethod
    def open(cls, folder: str | Path, *, now: Callable[[], datetime] = utc_now) -> Audit:
        """Open an audit folder: read the plan, the model and the data it names.

        Raises:
            PlanError: the plan cannot be used, or names no model, data or target.
            InputError: the folder, the model or the data cannot be used.
        """
        dossier = Dossier(folder)
        plan = dossier.plan()
        absent = [
            field
            for field, value in (
                ("model.path", plan.model.path),
                ("data.path", plan.data.path),
                ("data.target", plan.data.target),
            )
            if not value
        ]
        if absent:
            raise PlanError(f"{dossier.plan_path}: {', '.join(absent)} is missing")
        frame = read_data(plan.data.path, folder=dossier.folder)
        for field, column in (("data.target", plan.data.target), ("data.id", plan.data.id)):
            if column is not None and column not in frame.columns:
                raise InputError(
                    f'{field} is "{column}", which the data do not have; they have: '
                    + ", ".join(map(str, frame.columns))
                )
        loaded = read_model(
            plan.model.path,
            folder=dossier.folder,
            trust=plan.model.trust,
            trusted_types=plan.model.trusted_types,
        )
        audit = cls.__new__(cls)
        audit.plan = plan
        audit.inputs = build_inputs(
            loaded.model,
            frame,
            frame[plan.data.target],
            plan=plan,
            ids=None if plan.data.id is None else list(frame[plan.data.id]),
            loaded=loaded,
        )
        audit._history = (
            read_data(plan.data.history, folder=dossier.folder, field="data.history")
            if plan.data.history
            else None
        )
        audit._training = _training_file(dossier.folder, audit.inputs, plan)
        audit._start(dossier, now)
        return audit

    # --- running ---

    def run(self, *, progress: bool | Progress = True, reregister: str = "") -> AuditResults:
        """Register the plan, compute everything it asks for, and keep the results.

        Args:
            progress: show a progress bar, or call this with step and share.
            reregister: the reason to register a plan that was changed after
                results were known; the document will say so.

        Raises:
            PlanError: the plan was changed after results exist.
            ExplanationError: no explanation agrees with the model.
        """
        dossier = self._dossier
        existing = dossier.lock() if dossier else self._lock
        known = dossier.results_exist if dossier else self._results is not None
        lock = register(
            self.plan, existing, now=self._now(), results_exist=known, reregister=reregister
        )
        if dossier is not None:
            dossier.folder.mkdir(parents=True, exist_ok=True)
            if not dossier.plan_path.exists():
                # A plan made in memory is written down before its results exist.
                write_atomically(dossier.plan_path, self.plan.source)
            elif dossier.plan_path.read_bytes() != self.plan.source:
                raise PlanError(
                    f"{dossier.plan_path} differs from the plan of this audit; write the new plan "
                    "there, or choose another folder"
                )
            dossier.write_lock(lock)
        self._lock = lock
        with _progress_bar(progress) as step:
            results = run_audit(
                self.inputs,
                self.plan,
                lock,
                now=self._now,
                history=self._history,
                profiles=self._profiles,
                training=self._training,
                remarks=_changes_since(self.inputs, dossier),
                progress=step,
            )
            if dossier is not None:
                dossier.replace_results(_result_files(results))
        self._results = results
        return results

    @property
    def results(self) -> AuditResults:
        """The results of the last run; runs the audit if there was none.

        Those of an audit folder are read again, as long as plan, model and data
        are the ones they were made with; what only a run keeps (LIME's values)
        is then ``None``.
        """
        if self._results is None and self._dossier is not None:
            self._results = _kept_results(self, self._dossier)
            self._lock = self._dossier.lock() if self._results else None
        return self._results or self.run()

    # --- people ---

    @property
    def ledger_path(self) -> Path:
        """Where judgments are recorded."""
        return self._dossier.ledger_path if self._dossier else Path("judgments.db")

    def session(
        self, *, reviewer: str, role: str = "domain expert", simulated: bool = False
    ) -> ReviewSession:
        """One reviewer's way through the cases; what the judging page shows.

        Raises:
            InputError: nobody is named.
        """
        results, plan = self.results, self.plan
        cases = list(results.sample.case_ids)
        shown = self.inputs.X.loc[cases].rename(columns=plan.label)
        return ReviewSession(
            results.sample,
            shown,
            partial(_reveal, self),
            Ledger(self.ledger_path),
            reviewer=reviewer,
            role=role,
            model_digest=self.inputs.model.digest,
            plan_digest=plan.digest,
            reasons=plan.review.reasons,
            labels=(plan.audit.favorable_label, plan.audit.unfavorable_label),
            protocol=plan.review.protocol,
            simulated=simulated,
            now=self._now,
        )

    def review(self, *, reviewer: str, role: str = "domain expert") -> JudgeWidget:
        """The page on which a person judges cases; every answer goes to the ledger.

        Args:
            reviewer: who judges; their name is recorded with every answer.
            role: as what.

        Raises:
            InputError: nobody is named.
        """
        from hitl_audit.widgets.judge import JudgeWidget

        return JudgeWidget(self.session(reviewer=reviewer, role=role))

    def simulate_reviewers(self, *, n_reviewers: int = SIMULATED_REVIEWERS) -> int:
        """Fill the ledger with judgments made by a program, for demonstrations only.

        Every such record, and every page of a document made with them, says so.

        Returns:
            The number of records added.
        """
        return simulate_reviewers(
            lambda name: self.session(reviewer=name, role="simulation", simulated=True),
            n_reviewers=n_reviewers,
            random_state=self.plan.seed,
        )

    @property
    def choice_path(self) -> Path:
        """Where the choice of an alternative is recorded."""
        return self._dossier.choice_path if self._dossier else Path("alternative.json")

    def choose_alternative(self, id: str, *, rationale: str, chosen_by: str) -> Alternative:
        """Record which of the alternatives a person chose, and why; the document shows it.

        Args:
            id: of the alternative, as in ``results.analyses.alternatives.frame()``: ``"A7"``.
            rationale: why this one.
            chosen_by: who chose.

        Raises:
            InputError: no such alternative, or nothing said about why or by whom.
        """
        return choose(
            self.results.evidence,
            id,
            path=self.choice_path,
            rationale=rationale,
            chosen_by=chosen_by,
            now=self._now,
        )

    # --- the document ---

    def report(self) -> AuditReport:
        """The document, with what people judged until now."""
        results = self.results
        lock = self._lock
        if lock is None:
            raise PlanError("the plan is not registered; run the audit first")
        evidence = evidence_with_people(
            results.evidence, self.ledger_path, self.choice_path, results.sample, self.plan
        )
        beside = companions(self._dossier, self.plan) if self._dossier else ()
        return render(evidence, plan=self.plan, lock=lock, now=self._now(), beside=beside)


def report_from(folder: str | Path, *, now: datetime) -> AuditReport:
    """The document of an audit folder, from its results and judgments; nothing is recomputed.

    Raises:
        InputError: there are no results yet.
        PlanError: the plan is not the one the results were made under.
    """
    dossier = Dossier(folder)
    dossier.require()
    evidence = read_evidence(dossier.evidence())
    plan, lock = dossier.registered_plan()
    sample = read_sample(dossier.sample())
    current = evidence_with_people(evidence, dossier.ledger_path, dossier.choice_path, sample, plan)
    return render(current, plan=plan, lock=lock, now=now, beside=companions(dossier, plan))


def evidence_with_people(
    evidence: Evidence,
    ledger_path: Path,
    choice_path: Path,
    sample: CaseSample,
    plan: AuditPlan,
) -> Evidence:
    """The evidence with what people judged and chose until now.

    Raises:
        InputError: the chosen alternative is not one of this evidence.
    """
    chosen = read_choice(choice_path, evidence)
    if not ledger_path.exists():
        return with_people(evidence, evidence.oversight, evidence.ledger, chosen)
    ledger = Ledger(ledger_path, read_only=True)
    oversight = summarise(
        ledger.judgments(),
        sample,
        model_digest=evidence.model.digest,
        plan_digest=evidence.plan.digest,
        confidence=plan.fairness.confidence,
    )
    return with_people(evidence, oversight, ledger.checkpoint(), chosen)


def _profiles(plan: AuditPlan, dossier: Dossier | None) -> tuple[Profile, ...]:
    """The plan's regulation profiles; paths are relative to the audit folder."""
    folder = dossier.folder if dossier is not None else Path()
    return tuple(
        load_profile(folder / p.id if p.id.endswith(".toml") else p.id) for p in plan.profiles
    )


def _training(train: tuple[Any, ...], inputs: AuditInputs, plan: AuditPlan) -> TrainingRows:
    if not isinstance(train, tuple) or len(train) not in (2, 3):
        raise InputError(
            f"train is a {type(train).__name__} of {len(train)} things; expected (X_train, "
            "y_train) or (X_train, y_train, sensitive_train)"
        )
    tables = [t.to_pandas() if hasattr(t, "to_pandas") else t for t in train]
    return training_rows(
        pd.DataFrame(tables[0]),
        tables[1],
        sensitive=pd.DataFrame(tables[2]) if len(tables) == 3 else None,
        inputs=inputs,
        plan=plan,
    )


def _training_file(folder: Path, inputs: AuditInputs, plan: AuditPlan) -> TrainingRows | None:
    """The training rows that the plan names."""
    if not plan.data.train:
        return None
    frame = read_data(plan.data.train, folder=folder, field="data.train")
    if plan.data.target not in frame.columns:
        raise InputError(
            f'data.train lacks the target "{plan.data.target}"; it has: '
            + ", ".join(map(str, frame.columns))
        )
    return training_rows(frame, frame[plan.data.target], sensitive=None, inputs=inputs, plan=plan)


def _plan_for(
    plan: AuditPlan | str | Path | None, sensitive: list[str] | None, y: Any
) -> AuditPlan:
    if isinstance(plan, AuditPlan):
        return plan
    if plan is not None:
        if not isinstance(plan, str | Path):
            raise PlanError(
                f"plan is a {type(plan).__name__}; expected an AuditPlan (AuditPlan.from_dict "
                "makes one) or the path of an audit.toml"
            )
        path = Path(plan)
        if not path.is_file():
            raise PlanError(f'plan is "{path}"; expected the path of an audit.toml')
        return AuditPlan.from_toml(path.read_bytes(), name=str(path))
    if sensitive is None:
        raise PlanError("neither plan nor sensitive is given; expected at least one of them")
    values = pd.Series(y).dropna().unique().tolist()
    if not {0, 1} >= set(values):
        raise PlanError(
            f"without a plan the outcome must be 0 or 1 (1 = favorable); it is {values[:5]}. Say "
            "which value is favorable in a plan: data.favorable"
        )
    return AuditPlan.from_dict(
        {"audit": {"title": "Model audit"}, "data": {"sensitive": sensitive, "favorable": 1}}
    )


def _changes_since(inputs: AuditInputs, dossier: Dossier | None) -> tuple[str, ...]:
    """What the last run in this folder was made on, if it was something else."""
    if dossier is None or not dossier.results_exist:
        return ()
    before = read_evidence(dossier.evidence())
    remarks = []
    if before.data.digest != inputs.data_digest:
        remarks.append(
            f"The last run in this folder, of {before.created[:19]} UTC, was on other data "
            f"({before.data.rows:,} rows; these are {len(inputs):,})."
        )
    if before.model.digest != inputs.model.digest:
        remarks.append(
            f"The last run in this folder, of {before.created[:19]} UTC, was on another model."
        )
    return tuple(remarks)


def _kept_results(audit: Audit, dossier: Dossier) -> AuditResults | None:
    """The results in the folder, if they are of this plan, this model and these data."""
    if not dossier.results_exist:
        return None
    evidence = read_evidence(dossier.evidence())
    inputs = audit.inputs
    made_with = (evidence.plan.digest, evidence.model.digest, evidence.data.digest)
    if made_with != (audit.plan.digest, inputs.model.digest, inputs.data_digest):
        return None
    folder = dossier.results_path
    return read_results(
        evidence,
        inputs,
        read_sample(dossier.sample()),
        {file.stem: pd.read_parquet(file) for file in folder.glob("*.parquet")},
        audit.plan,
    )


def _reveal(audit: Audit, case_id: str) -> Revealed:
    """What the model says about one case, with its explanation."""
    inputs, results, plan = audit.inputs, audit.results, audit.plan
    place = inputs.case_ids.index(case_id)
    score = float(inputs.y_score[place])
    explanation = results.case_explanation
    contributions: tuple[tuple[str, str, float], ...] = ()
    base = None
    if explanation is not None:
        row = explanation.position(case_id)
        base = float(explanation.base_values[row])
        contributions = tuple(
            (plan.label(name), value_words(inputs.X.at[case_id, name]), float(value))
            for name, value in zip(explanation.feature_names, explanation.values[row], strict=True)
        )
    reliable, reason = True, ""
    if results.quality is not None and case_id in results.quality.rows.index:
        found = results.quality.rows.loc[case_id]
        reliable, reason = bool(found["reliable"]), str(found["reason"])
    return Revealed(
        decision="favorable" if inputs.y_pred[place] else "unfavorable",
        probability=score,
        threshold=plan.model.threshold,
        contributions=contributions,
        reliable=reliable,
        reason=reason,
        base=base,
    )


def _result_files(results: AuditResults) -> dict[str, bytes]:
    files = {
        "evidence.json": results.evidence.to_bytes(),
        "sample.json": canonical_bytes(results.sample),
    }
    for name, table in results.tables().items():
        buffer = BytesIO()
        table.to_parquet(buffer, index=False)
        files[f"{name}.parquet"] = buffer.getvalue()
    return files


@contextmanager
def _progress_bar(progress: bool | Progress) -> Iterator[Progress]:
    """A progress bar in a terminal or notebook, a caller's function, or nothing."""
    if callable(progress):
        yield progress
        return
    if not progress:
        yield lambda step, share: None
        return
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    with warnings.catch_warnings():
        # Without ipywidgets rich falls back to text, which is as good here.
        warnings.filterwarnings("ignore", message='install "ipywidgets"')
        bar = Bar(
            TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), transient=True
        )
        with bar:
            task = bar.add_task("starting", total=1.0)
            yield lambda step, share: bar.update(task, description=step, completed=share)
