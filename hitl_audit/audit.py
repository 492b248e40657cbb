"""The facade that a notebook and the command line use: one object for one audit."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hitl_audit.alternatives import Alternative
from hitl_audit.analyses import check_analyses
from hitl_audit.canonical import canonical_bytes, digest, utc_text
from hitl_audit.choice import choose
from hitl_audit.collected_checks import NOTHING_COLLECTED, ProposedChecks, collect_checks
from hitl_audit.dossier import Dossier
from hitl_audit.engine import Engine, LocalEngine, PartStore
from hitl_audit.errors import InputError, PlanError, did_you_mean
from hitl_audit.evidence import read_evidence, with_follow_ups
from hitl_audit.files import write_atomically
from hitl_audit.inputs import AuditInputs, build_inputs, environment_versions
from hitl_audit.loading import LoadedModel, model_in_memory, read_data, read_planned_model
from hitl_audit.manifest import ManifestFile
from hitl_audit.people import evidence_with_people, kept_follow_ups, kept_ledger, team_ledger
from hitl_audit.plan import AuditPlan, PlanLock, register
from hitl_audit.profiles.loader import Profile, load_profile
from hitl_audit.report.rendered import AuditReport, companions, render
from hitl_audit.results import AuditResults, Progress, read_results, read_sample, run_audit
from hitl_audit.review.adjudication import AdjudicationSession
from hitl_audit.review.assignment import draw_planted
from hitl_audit.review.beginning import Person, begin_review
from hitl_audit.review.escalation import EscalationRegister
from hitl_audit.review.escalation import register as register_of
from hitl_audit.review.event import Event
from hitl_audit.review.judgment import DECISIONS
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.oversight import Oversight
from hitl_audit.review.records import Resolution
from hitl_audit.review.reviewers import join, record_once
from hitl_audit.review.session import Revealed, ReviewSession
from hitl_audit.review.simulate import simulate_adjudicator, simulate_reviewers
from hitl_audit.review.words import value_words
from hitl_audit.reviewing import (
    ReviewFacts,
    escalations_due,
    gold_answers,
    oversight_of,
    review_facts,
    rules_of,
)
from hitl_audit.rows import RowSource, collect, has_more_than, open_rows
from hitl_audit.streaming import (
    HistoryRows,
    Rows,
    Streamed,
    StreamedRows,
    explain_all,
    stream,
    streamed_again,
)
from hitl_audit.training import TrainingRows, training_rows
from hitl_audit.what_if_setup import check_what_if, fact_groups, prepare_what_if

if TYPE_CHECKING:
    from hitl_audit.widgets.adjudicate import AdjudicateWidget
    from hitl_audit.widgets.cohort import Cohort
    from hitl_audit.widgets.explanation_explorer import ExplanationExplorer
    from hitl_audit.widgets.fairness_panel import FairnessPanel
    from hitl_audit.widgets.judge import JudgeWidget
    from hitl_audit.widgets.oversight_panel import OversightPanel
    from hitl_audit.widgets.slices_panel import SlicesPanel
    from hitl_audit.widgets.trials import Trials
    from hitl_audit.widgets.what_if_panel import WhatIfPanel

__all__ = ["Audit"]

SIMULATED_REVIEWERS = 2
# How a remark begins that says what the folder held before; a run alone cannot derive it.
LAST_RUN = "The last run in this folder"


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
        X: rows to audit; may hold more columns than the model reads. With ``y`` as the name
            of a column, also rows that are not in memory: a path, a glob, a DuckDB relation,
            a polars LazyFrame, a Spark DataFrame, whatever
            :func:`hitl_audit.rows.open_rows` takes.
        y: recorded outcome per row, or the name of the column of ``X`` with it. A Series is
            matched to ``X`` by index where both name the same rows, else by position.
        sensitive: names of columns of ``X``, or a DataFrame or Series beside it.
        plan: path of an ``audit.toml``, an :class:`~hitl_audit.plan.AuditPlan`,
            or ``None`` for defaults without criteria: numbers, but no promise.
        ids: one per row, unique; they are checked and not published.
        folder: audit folder for the plan's registration, results, judgments.
            Without it, only judgments are written, to ``judgments.db``.
        train: ``(X_train, y_train)`` the model was fitted on, or with the
            sensitive attributes as a third table; default: ``data.train`` of
            the plan. Only the search for alternatives fits on them.
        engine: where more rows than ``scale.in_memory_rows`` are counted; by default in
            this process.
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
        engine: Engine | None = None,
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
        source = _source(X, y)
        if np.ndim(y) != 1 and not isinstance(y, str):
            raise InputError(f"y has shape {np.shape(y)}; expected one value per row of X")
        if ids is not None and not hasattr(ids, "__len__"):
            raise InputError(f"ids is a {type(ids).__name__}; expected one value per row of X")
        names = None if beside is None else [str(c) for c in beside]
        self.plan = _plan_for(plan, names, y)
        if source is not None and (isinstance(beside, pd.DataFrame) or ids is not None):
            raise InputError(
                "y is the name of a column, so X holds all there is; expected sensitive as names "
                "of columns of X too, and the plan's data.id instead of ids"
            )
        if names is not None and set(names) != set(self.plan.data.sensitive):
            raise PlanError(
                f"sensitive is {', '.join(names)} and the plan's data.sensitive is "
                f"{', '.join(self.plan.data.sensitive) or 'empty'}; expected the same attributes"
            )
        self._start(Dossier(folder) if folder is not None else None, now, train)
        if source is not None and (_is_distributed(engine) or self._too_many(source)):
            self._wait(model_in_memory(model), source, engine)
            return
        if source is not None:
            X = collect(source)
            ids = None if self.plan.data.id is None else list(X[self.plan.data.id])
        self._take(
            build_inputs(
                model,
                X,
                X[y] if isinstance(y, str) else y,
                plan=self.plan,
                sensitive=beside if isinstance(beside, pd.DataFrame) else None,
                ids=ids,
            ),
            ids,
        )

    def _start(
        self,
        dossier: Dossier | None,
        now: Callable[[], datetime],
        train: tuple[Any, ...] | None = None,
    ) -> None:
        self._profiles = _profiles(self.plan, dossier)
        self._dossier = dossier
        self._now = now
        self._train = train
        self._history: pd.DataFrame | HistoryRows | None = None
        self._inputs: AuditInputs | None = None
        self._rows: Rows | None = None
        self._streamed: Streamed | None = None
        self._lock: PlanLock | None = None
        self._results: AuditResults | None = None
        self._trials: Trials | None = None

    def _too_many(self, source: RowSource) -> bool:
        return has_more_than(source, self.plan.scale.in_memory_rows)

    def _wait(
        self, loaded: LoadedModel, source: RowSource, engine: Engine | None, *, resume: bool = False
    ) -> None:
        """Rows that are too many to hold are read when they are first asked for."""
        self._rows = Rows(loaded, source, engine or LocalEngine(), resume)

    def _take(self, inputs: AuditInputs, ids: Sequence[Any] | None) -> None:
        """Check what the plan asks for against the rows, before any work starts."""
        folder = self._dossier.folder if self._dossier is not None else Path()
        self._training: TrainingRows | None = (
            _training_file(folder, inputs, self.plan)
            if self._train is None
            else _training(self._train, inputs, self.plan)
        )
        check_analyses(inputs, self.plan, self._profiles, self._training)
        check_what_if(inputs, self.plan)
        self._gold = _gold(self._dossier, inputs, self.plan, ids)
        self._inputs = inputs

    @property
    def inputs(self) -> AuditInputs:
        """The validated rows; a random sample of them, where they are too many to hold.

        Of too many rows a sample is kept with the results; without it, this reads them all.
        """
        if self._inputs is None:
            kept = self._kept_rows()
            if kept is None:
                return self._read_rows(lambda step, share: None)
            self._hold(kept)
        assert self._inputs is not None  # noqa: S101
        return self._inputs

    def _count_rows(self, progress: Progress, kept: PartStore | None = None) -> None:
        """A run is about all rows, even where their sample is kept."""
        if self._rows is not None and (self._streamed is None or not self._streamed.population):
            self._read_rows(progress, kept)

    def _read_rows(self, progress: Progress, kept: PartStore | None = None) -> AuditInputs:
        """Take all rows through the model."""
        rows = self._rows
        assert rows is not None  # noqa: S101
        self._hold(stream(rows, self.plan, kept=kept, progress=progress))
        return self.inputs

    def _kept_parts(self) -> PartStore | None:
        """Where a run keeps finished parts until it is done; empty unless it goes on."""
        if self._dossier is None:
            return None
        if self._rows is None or not self._rows.resume:
            self._dossier.forget_parts()
        # Another version, here or of a library, may count otherwise: its parts are not ours.
        made_by = digest(environment_versions()).removeprefix("sha256:")[:16]
        return PartStore(self._dossier.parts_path / made_by)

    def _hold(self, streamed: Streamed) -> None:
        self._streamed = streamed
        id = self.plan.data.id
        self._take(streamed.inputs, None if id is None else list(streamed.table[id]))

    def _kept_rows(self) -> Streamed | None:
        """The sample in the folder, if it is of these rows, this model and this plan."""
        rows, dossier = self._rows, self._dossier
        if rows is None or dossier is None or not dossier.rows_path.is_file():
            return None
        record = StreamedRows.read(dossier.rows_path.read_bytes())
        made_with = (self.plan.digest, rows.loaded.digest)
        if (record.plan, record.model) != made_with or record.source != rows.key(self.plan):
            return None
        table = pd.read_parquet(dossier.rows_table_path)
        return streamed_again(rows.loaded, table, record, self.plan)

    @property
    def is_sample(self) -> bool:
        """Whether :attr:`inputs` are a random sample of more rows than are held at once."""
        return self._rows is not None

    @property
    def data_digest(self) -> str:
        """The digest of all rows."""
        inputs = self.inputs
        return inputs.data_digest if self._streamed is None else self._streamed.record.data

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        engine: Engine | None = None,
        resume: bool = False,
        now: Callable[[], datetime] = utc_now,
    ) -> Audit:
        """Open an audit folder: read the plan, the model and the data it names.

        Args:
            folder: the audit folder.
            engine: where more rows than ``scale.in_memory_rows`` are counted; by default
                in this process.
            resume: go on where an interrupted run of these rows stopped.
            now: the clock.

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
        source = open_rows(plan.data.path, folder=dossier.folder, query=plan.data.query)
        for field, column in (("data.target", plan.data.target), ("data.id", plan.data.id)):
            if column is not None and column not in source.columns:
                raise InputError(
                    f'{field} is "{column}", which the data do not have; they have: '
                    + ", ".join(map(str, source.columns))
                )
        loaded = read_planned_model(plan.model, folder=dossier.folder)
        audit = cls.__new__(cls)
        audit.plan = plan
        audit._start(dossier, now)
        if plan.data.history:
            recorded = open_rows(plan.data.history, folder=dossier.folder, field="data.history")
            audit._history = (
                HistoryRows(recorded, engine or LocalEngine())
                if audit._too_many(recorded)
                else read_data(plan.data.history, folder=dossier.folder, field="data.history")
            )
        if _is_distributed(engine) or audit._too_many(source):
            audit._wait(loaded, source, engine, resume=resume)
            return audit
        frame = read_data(plan.data.path, folder=dossier.folder, query=plan.data.query)
        ids = None if plan.data.id is None else list(frame[plan.data.id])
        inputs = build_inputs(
            loaded.model, frame, frame[plan.data.target], plan=plan, ids=ids, loaded=loaded
        )
        audit._take(inputs, ids)
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
            kept = self._kept_parts()
            self._count_rows(step, kept)
            results = self.computed(
                lock,
                remarks=self._changes_since(),
                proposed=self.proposed_checks(),
                progress=step,
                kept=kept,
            )
            self.inputs.model.check_unchanged()
            if dossier is not None:
                dossier.replace_results(_result_files(results, self._gold, self._streamed))
                dossier.forget_parts()
        self._results = results
        return results

    def computed(
        self,
        lock: PlanLock,
        *,
        remarks: tuple[str, ...] = (),
        proposed: ProposedChecks = NOTHING_COLLECTED,
        progress: Progress = lambda step, share: None,
        kept: PartStore | None = None,
    ) -> AuditResults:
        """Everything that the plan asks for, under its registration.

        Nothing is written, but finished parts of many rows where ``kept`` says so.

        Raises:
            PlanError: the registration is of another plan, or not earlier than now.
            ExplanationError: no explanation agrees with the model.
        """
        self._count_rows(progress, kept)
        rows, streamed, attributions = self._rows, self._streamed, None
        wanted = self.plan.scale.explain_all_rows and "shap" in self.plan.explain.methods
        if rows is not None and streamed is not None and wanted:
            attributions = explain_all(rows, self.plan, streamed, kept=kept, progress=progress)
        history = self._history
        return run_audit(
            self.inputs,
            self.plan,
            lock,
            now=self._now,
            history=history.counted(self.plan, kept=kept, progress=progress)
            if isinstance(history, HistoryRows)
            else history,
            profiles=self._profiles,
            training=self._training,
            population=None if streamed is None else streamed.population,
            attributions=attributions,
            remarks=remarks,
            proposed=proposed,
            progress=progress,
        )

    def _changes_since(self) -> tuple[str, ...]:
        """What the last run in this folder was made on, if it was something else."""
        dossier, inputs = self._dossier, self.inputs
        if dossier is None or not dossier.results_exist:
            return ()
        before = read_evidence(dossier.evidence())
        rows = len(inputs) if self._streamed is None else self._streamed.record.rows
        remarks = []
        if before.data.digest != self.data_digest:
            remarks.append(
                f"{LAST_RUN}, of {before.created[:19]} UTC, was on other data "
                f"({before.data.rows:,} rows; these are {rows:,})."
            )
        if before.model.digest != inputs.model.digest:
            remarks.append(f"{LAST_RUN}, of {before.created[:19]} UTC, was on another model.")
        return tuple(remarks)

    @property
    def results(self) -> AuditResults:
        """The results of the last run; runs the audit if there was none.

        Those of an audit folder are read again, as long as plan, model and data
        are the ones they were made with; what only a run keeps (LIME's values)
        is then ``None``.
        """
        if self.has_results and self._results is not None:
            return self._results
        return self.run()

    @property
    def has_results(self) -> bool:
        """Are there results of this plan, model and data, without running anything?"""
        if self._results is None and self._dossier is not None:
            self._results = _kept_results(self, self._dossier)
            self._lock = self._dossier.lock() if self._results else None
        return self._results is not None

    # --- people ---

    @property
    def ledger_path(self) -> Path:
        """Where judgments are recorded."""
        return self._dossier.ledger_path if self._dossier else Path("judgments.db")

    def ledger(self) -> Ledger:
        """The ledger to write to: the one of a team, if there is one, or the folder's file."""
        if address := team_ledger():
            return Ledger(address)
        self.ledger_path.parent.mkdir(parents=True, exist_ok=True)
        return Ledger(self.ledger_path)

    def session(
        self,
        *,
        reviewer: str,
        role: str = "domain expert",
        identified_by: str = "",
        simulated: bool = False,
    ) -> ReviewSession:
        """One reviewer's way through the cases; what the judging page shows.

        The reviewer joins the review: role, competence and authority go on record.

        Raises:
            InputError: nobody is named, or somebody whom the plan does not list.
        """
        review = self.plan.review
        ledger = self.ledger()
        planned = bool(review.reviewers) and not simulated
        if planned:
            who = self._assigned(ledger)
            key = " ".join(reviewer.split()).casefold()
            if key not in who:
                names = ", ".join(r.name for r in review.reviewers)
                raise InputError(f'reviewer is "{reviewer}"; accepted, as the plan lists: {names}')
            reviewer, role = who[key]
        else:
            reviewer = self._join(
                ledger, reviewer, role, simulated=simulated, identified_by=identified_by
            )
        common = self._common(ledger, reviewer, role, simulated=simulated)
        return ReviewSession(
            self.results.sample,
            **common,
            protocol=review.protocol,
            reviewers_per_case=None if simulated else review.reviewers_per_case,
            planned=planned,
            controls=None if planned else dict.fromkeys(self._planted(), "planted"),
            rules=rules_of(self.plan),
        )

    def adjudication(
        self, *, reviewer: str, role: str = "adjudicator", simulated: bool = False
    ) -> AdjudicationSession:
        """A third person's way through the cases on which reviewers differ, or that were escalated.

        Raises:
            InputError: nobody is named.
        """
        ledger = self.ledger()
        reviewer = self._join(ledger, reviewer, role, simulated=simulated)
        review = self.plan.review
        return AdjudicationSession(
            self.results.sample,
            **self._common(ledger, reviewer, role, simulated=simulated),
            reviewers_per_case=None if simulated else review.reviewers_per_case,
            planned=bool(review.reviewers) and not simulated,
            escalated=True,
        )

    def _common(
        self, ledger: Ledger, reviewer: str, role: str, *, simulated: bool
    ) -> dict[str, Any]:
        plan = self.plan
        known = [*self.results.sample.case_ids, *self._gold]
        return {
            "cases": self.inputs.X.loc[list(dict.fromkeys(known))].rename(columns=plan.label),
            "reveal": partial(_reveal, self),
            "ledger": ledger,
            "reviewer": reviewer,
            "role": role,
            "model_digest": self.inputs.model.digest,
            "plan_digest": plan.digest,
            "reasons": plan.review.reasons,
            "labels": (plan.audit.favorable_label, plan.audit.unfavorable_label),
            "simulated": simulated,
            "now": self._now,
        }

    def _join(self, ledger: Ledger, name: str, role: str, *, simulated: bool, **said: str) -> str:
        return join(
            ledger,
            name,
            role,
            **said,
            plan_digest=self.plan.digest,
            model_digest=self.inputs.model.digest,
            # A program has no privacy, and its name says what it is.
            pseudonym=self.plan.review.pseudonyms and not simulated,
            simulated=simulated,
            now=self._now,
        )

    def _planted(self) -> tuple[str, ...]:
        review, sample = self.plan.review, self.results.sample
        return draw_planted(sample, review.planted, gold=self._gold, random_state=self.plan.seed)

    def _assigned(self, ledger: Ledger) -> dict[str, tuple[str, str]]:
        """Id and role of everybody whom the plan lists; their cases are given out once."""
        review = self.plan.review
        given = begin_review(
            ledger,
            self.results.sample,
            [Person(p.name, p.role, p.competence, p.authority) for p in review.reviewers],
            plan_digest=self.plan.digest,
            model_digest=self.inputs.model.digest,
            pseudonyms=review.pseudonyms,
            reviewers_per_case=review.reviewers_per_case,
            overlap=review.overlap,
            gold=self._gold,
            planted=review.planted,
            repeats=review.repeats,
            due_days=review.due_days,
            random_state=self.plan.seed,
            now=self._now,
        )
        return {
            " ".join(person.name.split()).casefold(): (who, person.role)
            for person, who in zip(review.reviewers, given.reviewers, strict=True)
        }

    def review(
        self, *, reviewer: str, role: str = "domain expert", identified_by: str = ""
    ) -> JudgeWidget:
        """The page on which a person judges cases; every answer goes to the ledger.

        Args:
            reviewer: who judges; they join the review under a pseudonym, unless the
                plan says otherwise.
            role: as what.
            identified_by: how it is known who they are; on record with them.

        Raises:
            InputError: nobody is named.
        """
        from hitl_audit.widgets.judge import JudgeWidget

        return JudgeWidget(
            self.session(reviewer=reviewer, role=role, identified_by=identified_by),
            trials=self.trials() if self.plan.what_if.in_review else None,
            groups=[
                (title, [self.plan.label(name) for name in names])
                for title, names in fact_groups(self.plan, list(map(str, self.inputs.X.columns)))
            ],
        )

    def adjudicate(self, *, reviewer: str, role: str = "adjudicator") -> AdjudicateWidget:
        """The page on which a third person decides where reviewers differ, without their names.

        Args:
            reviewer: who decides; none of those who differ.
            role: as what.

        Raises:
            InputError: nobody is named.
        """
        from hitl_audit.widgets.adjudicate import AdjudicateWidget

        return AdjudicateWidget(self.adjudication(reviewer=reviewer, role=role))

    def trials(self) -> Trials:
        """What can be tried on a case; the engine is prepared beside what goes on."""
        from hitl_audit.widgets.trials import Trials, ahead

        if self._trials is None:
            plan, people = self.plan, self.inputs.sensitive
            groups = fact_groups(plan, list(map(str, self.inputs.X.columns)))
            self._trials = Trials(
                engine=ahead(partial(prepare_what_if, self.inputs, plan)),
                groups=groups,
                protected={str(name): list(people[name]) for name in people.columns},
                attribute_labels={str(name): plan.label(str(name)) for name in people.columns},
                expectation_first=plan.what_if.expectation_first,
                seconds=plan.what_if.seconds,
            )
        return self._trials

    def what_if(self, row: str | int) -> WhatIfPanel:
        """The panel on which a case is changed, and the model answers at once.

        Args:
            row: a case id (``"C0017"``), or a position in the data, from 0.

        Raises:
            InputError: no such case, or the plan's ``[what_if]`` does not fit the data.
        """
        from hitl_audit.widgets.what_if_panel import WhatIfPanel

        if isinstance(row, int) and not isinstance(row, bool):
            if not 0 <= row < len(self.inputs):
                raise InputError(f"row is {row}; expected 0 to {len(self.inputs) - 1}")
            row = self.inputs.case_ids[row]
        if row not in self.inputs.case_ids:
            raise InputError(f'row is "{row}"; accepted: case ids, like {self.inputs.case_ids[0]}')
        plan = self.plan.audit
        return WhatIfPanel(
            self.trials(), row, labels=(plan.favorable_label, plan.unfavorable_label)
        )

    @cached_property
    def cohort(self) -> Cohort:
        """The cases that the panels of this audit look at together; ``.frame()`` has them."""
        from hitl_audit.widgets.cohort import Cohort

        return Cohort.of(self.inputs, min_group=self.plan.fairness.min_group)

    def fairness_panel(self) -> FairnessPanel:
        """The panel on which thresholds are moved; runs the audit first if it was not run."""
        from hitl_audit.widgets.fairness_panel import FairnessPanel, FairnessSetting

        results = self.results  # the plan is registered before anybody looks
        return FairnessPanel(FairnessSetting.of(results.inputs, self.plan), cohort=self.cohort)

    def slices_panel(self) -> SlicesPanel:
        """The panel of where the model errs; what is clicked becomes :attr:`cohort`.

        Raises:
            InputError: the plan asks for no search, or the rows are too few.
        """
        from hitl_audit.widgets.slices_panel import SlicesPanel, SlicesSetting

        found = self.results.analyses.error_slices
        return SlicesPanel(SlicesSetting.of(self.inputs, self.plan, found), self.cohort)

    def explorer(self) -> ExplanationExplorer:
        """The explanations, from what moves the model most to single cases, and the
        :attr:`cohort` beside everybody.

        Raises:
            InputError: the plan asked for no explanation.
        """
        from hitl_audit.widgets.explanation_explorer import ExplanationExplorer, explored

        about, title = explored(self.results, self.plan), self.plan.audit.title
        return ExplanationExplorer(about, title=title, trials=self.trials(), cohort=self.cohort)

    def proposed_checks(self) -> ProposedChecks:
        """What people expected of this model on the what-if panel, and it violated.

        The next run looks for each of these properties in every row, as exploratory evidence.
        """
        return collect_checks(
            self._events(), self.inputs.X, self.plan, model_digest=self.inputs.model.digest
        )

    def simulate_reviewers(self, *, n_reviewers: int = SIMULATED_REVIEWERS) -> int:
        """Fill the ledger with judgments made by a program, for demonstrations only.

        Programs judge every case, err now and then, and lean towards the model; one
        more decides where they differ. Every such record, and every page of a
        document made with them, says so.

        Returns:
            The number of answers added.
        """
        seed, facts = self.plan.seed, self.review_facts()
        truth = {case: DECISIONS[1 - right] for case, right in facts.truth.items()}
        answers = simulate_reviewers(
            lambda name: self.session(reviewer=name, role="simulation", simulated=True),
            n_reviewers=n_reviewers,
            random_state=seed,
            truth=truth,
        )
        third = self.adjudication(
            reviewer="Simulated adjudicator", role="simulation", simulated=True
        )
        return answers + simulate_adjudicator(third, random_state=seed, truth=truth)

    def oversight(self) -> Oversight:
        """What people judged until now, with every number about their oversight."""
        return oversight_of(
            self._events(),
            self.results.sample,
            self.review_facts(),
            self.plan,
            model_digest=self.inputs.model.digest,
        )

    def escalations(self) -> EscalationRegister:
        """What was escalated, and what became of it; what the plan raises now is recorded.

        Raises:
            LedgerError: the ledger cannot be written.
        """
        events, digests = self._events(), (self.plan.digest, self.inputs.model.digest)
        due = escalations_due(
            events, self.oversight(), self.plan, model_digest=digests[1], now=self._now()
        )
        if due:
            record_once(self.ledger(), due)
            events = self._events()
        return register_of(events, self._now(), plan_digest=digests[0], model_digest=digests[1])

    def oversight_panel(self) -> OversightPanel:
        """:meth:`oversight` and the escalations as a panel that follows the ledger, live."""
        from hitl_audit.widgets.oversight_panel import OversightPanel, OversightWatch

        kept, model = partial(kept_ledger, self.ledger_path), self.inputs.model.digest
        about = (kept, self.results.sample, self.review_facts(), self.plan)
        return OversightPanel(OversightWatch(*about, model_digest=model, now=self._now))

    def resolve(
        self, escalation_id: str, *, outcome: str, rationale: str, reviewer: str, role: str
    ) -> None:
        """Record how an escalation was settled.

        Args:
            escalation_id: as in ``audit.escalations().frame()``.
            outcome: what was decided, in a few words.
            rationale: why.
            reviewer, role: who settles it, and as what: the role that it went to.

        Raises:
            InputError: no such escalation, settled already, or another role.
        """
        found = {item.event_id: item for item in self.escalations().items}
        item = found.get(escalation_id)
        if item is None:
            raise InputError(
                f'escalation "{escalation_id}" is not registered; accepted: '
                + (", ".join(found) or "none, nothing was escalated")
            )
        if item.status not in ("open", "overdue"):
            raise InputError(f'escalation "{escalation_id}" is {item.status}; expected an open one')
        if role.strip().casefold() != item.role.casefold():
            raise InputError(
                f'role is "{role}"; expected "{item.role}", to whom this escalation went'
            )
        ledger = self.ledger()
        ledger.append(
            Resolution(
                event_id=str(uuid.uuid4()),
                at=utc_text(self._now()),
                plan_digest=self.plan.digest,
                model_digest=self.inputs.model.digest,
                resolves=escalation_id,
                reviewer=self._join(ledger, reviewer, role, simulated=False),
                role=role.strip(),
                outcome=outcome.strip(),
                rationale=rationale.strip(),
            )
        )

    def _events(self) -> tuple[Event, ...]:
        kept = kept_ledger(self.ledger_path)
        return () if kept is None else kept.events()

    def review_facts(self) -> ReviewFacts:
        """What the judgments are held against, by case; it stays in the audit folder."""
        results = self.results
        known = [*results.sample.case_ids, *self._gold]
        return review_facts(results.tables()["scores"], self.plan, known).with_gold(self._gold)

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
        now = self._now()
        evidence = evidence_with_people(
            results.evidence,
            self.ledger_path,
            self.choice_path,
            results.sample,
            self.review_facts(),
            self.plan,
            now=now,
        )
        beside: tuple[ManifestFile, ...] = ()
        if self._dossier is not None:
            evidence = with_follow_ups(evidence, kept_follow_ups(self._dossier))
            beside = companions(self._dossier, self.plan)
        return render(evidence, plan=self.plan, lock=lock, now=now, beside=beside)


def _is_distributed(engine: Engine | None) -> bool:
    """An engine that is not of this machine has its own rows: they are never collected."""
    return engine is not None and not isinstance(engine, LocalEngine)


def _source(X: Any, y: Any) -> RowSource | None:
    """The rows, where they are given with their outcome as one of the columns."""
    if not isinstance(y, str):
        held = hasattr(X, "__array__") or hasattr(X, "to_pandas") or hasattr(X, "__len__")
        if held and not isinstance(X, str):
            return None
        raise InputError(
            f"X is a {type(X).__name__}, whose rows are not in memory; expected y as the name of "
            "its column with the outcome"
        )
    source = open_rows(X, field="X")
    if y not in source.columns:
        raise InputError(
            f'y is "{y}", which X does not have{did_you_mean(y, source.columns)}; X has: '
            + ", ".join(source.columns)
        )
    return source


def _gold(
    dossier: Dossier | None, inputs: AuditInputs, plan: AuditPlan, ids: Sequence[Any] | None
) -> dict[str, int]:
    """The answers that experts know, by case id; a case that is drawn, too, stays gold."""
    if not plan.review.gold:
        return {}
    folder = dossier.folder if dossier is not None else Path()
    table = read_data(plan.review.gold, folder=folder, field="review.gold")
    known = {case_id: case_id for case_id in inputs.case_ids}
    if ids is not None:
        known |= dict(zip(map(str, ids), inputs.case_ids, strict=True))
    return gold_answers(table, known)


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
    target = y if isinstance(y, str) else ""
    values = [] if target else pd.Series(y).dropna().unique().tolist()
    if not {0, 1} >= set(values):
        raise PlanError(
            f"without a plan the outcome must be 0 or 1 (1 = favorable); it is {values[:5]}. Say "
            "which value is favorable in a plan: data.favorable"
        )
    return AuditPlan.from_dict(
        {
            "audit": {"title": "Model audit"},
            "data": {"sensitive": sensitive, "favorable": 1, "target": target},
        }
    )


def _kept_results(audit: Audit, dossier: Dossier) -> AuditResults | None:
    """The results in the folder, if they are of this plan, this model and these data."""
    if not dossier.results_exist:
        return None
    evidence = read_evidence(dossier.evidence())
    inputs = audit.inputs
    made_with = (evidence.plan.digest, evidence.model.digest, evidence.data.digest)
    if made_with != (audit.plan.digest, inputs.model.digest, audit.data_digest):
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


def _result_files(
    results: AuditResults, gold: Mapping[str, int], streamed: Streamed | None
) -> dict[str, bytes]:
    files = {
        "evidence.json": results.evidence.to_bytes(),
        "sample.json": canonical_bytes(results.sample),
    }
    tables = results.tables()
    if streamed is not None:
        files["rows.json"] = canonical_bytes(streamed.record)
        tables["rows"] = streamed.table
    if gold:
        tables["gold"] = pd.DataFrame({"case_id": list(gold), "answer": list(gold.values())})
    for name, table in tables.items():
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
