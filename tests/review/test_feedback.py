"""Changes that judgments suggest, tried on real scikit-learn models."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hitl_audit.errors import InputError, LedgerError
from hitl_audit.review.change_approval import approve_change, change_status
from hitl_audit.review.event import Event, read_event
from hitl_audit.review.feedback import Proposal, propose_change
from hitl_audit.review.feedback_labels import JudgedLabels, judged_labels
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.records import Approval
from hitl_audit.review.sampling import sample_cases
from tests.review.review_events import adjudication, verdict

NOW = datetime(2026, 3, 1, tzinfo=UTC)
COMMON: dict[str, Any] = {
    "proposer": "Dana",
    "description": "labels that two reviewers overruled",
    "expires": NOW + timedelta(days=90),
    "now": NOW,
    "plan_digest": "p",
    "n_boot": 200,
}


class World:
    """Loans in which half of the good borrowers of group b were recorded as bad."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        n = 1200
        x = rng.normal(size=(n, 2))
        group = rng.random(n) < 0.4
        right = (x[:, 0] + 0.5 * x[:, 1] + 0.3 * rng.normal(size=n) > 0).astype(int)
        recorded = np.where(group & (right == 1) & (rng.random(n) < 0.5), 0, right)
        ids = [f"case-{i}" for i in range(n)]
        table = pd.DataFrame(
            {"income": x[:, 0], "age": x[:, 1], "area": group.astype(float)}, index=ids
        )
        self.train, self.holdout = table.iloc[:600], table.iloc[600:1000]
        self.sample = sample_cases(ids[1000:], 100)
        self.recorded = recorded[:600]
        self.right_train, self.right_holdout = right[:600], right[600:1000]
        self.race = pd.DataFrame({"race": np.where(group, "b", "a")[600:1000]})
        self.model = LogisticRegression().fit(self.train, self.recorded)
        # Two reviewers judge every training row of group b, from what they know to be right.
        shown = self.model.predict(self.train)
        self.events: list[Event] = []
        for case, yes, decided, in_b in zip(
            self.train.index, self.right_train, shown, group[:600], strict=True
        ):
            if in_b:
                answer = "agree" if yes == decided else "disagree"
                model = "favorable" if decided else "unfavorable"
                self.events += [
                    verdict(case, answer, r, model_decision=model) for r in ("r1", "r2")
                ]

    def propose(self, **changes: Any) -> Proposal:
        given: dict[str, Any] = {
            "model": self.model,
            "X_train": self.train,
            "y_train": self.recorded,
            "X_holdout": self.holdout,
            "y_holdout": self.right_holdout,
            "action": "relabel",
            "sensitive_features": self.race,
            "events": self.events,
            "estimation": self.sample,
        }
        given |= COMMON | changes
        rows = [
            given.pop(name) for name in ("model", "X_train", "y_train", "X_holdout", "y_holdout")
        ]
        return propose_change(*rows, **given)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def test_relabelling_what_people_overruled_repairs_the_model(world: World) -> None:
    proposal = world.propose()
    changed = proposal.judged.changed
    assert {row.case_id for row in changed} == set(
        world.train.index[world.recorded != world.right_train]
    )
    assert all(row.old == 0 and row.new == 1 for row in changed)
    assert all(row.reviewers == ("r1", "r2") for row in changed)
    # The same as fitting on the right labels by hand.
    by_hand = LogisticRegression().fit(world.train, world.right_train)
    assert np.array_equal(by_hand.predict(world.holdout), proposal.model.predict(world.holdout))
    b = (world.race["race"] == "b").to_numpy()
    positive = world.right_holdout == 1
    gap = proposal.measure("true_positive_rate_gap", "race")
    own = proposal.measure("true_positive_rate", "race: b")
    every = proposal.measure("accuracy")
    for model, side in ((world.model, "before"), (by_hand, "after")):
        decided = model.predict(world.holdout)
        rates = [decided[positive & inside].mean() for inside in (~b, b)]
        assert getattr(own, side) == pytest.approx(rates[1])
        assert getattr(gap, side) == pytest.approx(abs(rates[0] - rates[1]))
        assert getattr(every, side) == pytest.approx((decided == world.right_holdout).mean())
    assert gap.high is not None and gap.high < 0  # the repair is beyond chance  # noqa: PT018
    assert own.low is not None and own.low > 0  # noqa: PT018
    frame = proposal.frame()
    assert (frame["low"] <= frame["high"]).all()
    assert frame["difference"].to_numpy() == pytest.approx(frame["after"] - frame["before"])


def test_the_model_that_is_deployed_is_not_touched(world: World) -> None:
    before = world.model.coef_.copy()
    world.propose()
    assert np.array_equal(world.model.coef_, before)


def test_the_record_says_what_led_to_it_and_can_be_read_back(world: World) -> None:
    change = world.propose().change
    wrong = set(world.train.index[world.recorded != world.right_train])
    assert set(change.triggers) == {e.event_id for e in world.events if e.case_id in wrong}  # type: ignore[attr-defined]
    assert change.proposer == "Dana"
    assert change.before_digest != change.after_digest
    assert not change.problems()
    sealed = change.seal(lambda: b"0" * 16)
    assert read_event(sealed.body) == change
    again = world.propose(event_id=change.event_id).change
    assert again == change  # the same data and seed give the same record


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(n_estimators=20, random_state=0),
        make_pipeline(StandardScaler(), LogisticRegression()),
    ],
    ids=["forest", "pipeline"],
)
@pytest.mark.parametrize("action", ["relabel", "reweight", "retrain"])
def test_every_refit_works_on_real_models(world: World, model: Any, action: str) -> None:
    model.fit(world.train, world.recorded)
    own = world.propose(model=model, action=action).measure("true_positive_rate", "race: b")
    assert own.after is not None
    assert own.before is not None
    assert own.after > own.before


def test_reweighting_is_a_fit_with_the_documented_weights(world: World) -> None:
    proposal = world.propose(action="reweight", reviewed_weight=3.0)
    judged = {row.case_id for row in proposal.judged.rows}
    wrong = set(world.train.index[world.recorded != world.right_train])
    weights = np.array(
        [0.0 if c in wrong else 3.0 if c in judged else 1.0 for c in world.train.index]
    )
    weights *= len(weights) / weights.sum()
    by_hand = LogisticRegression().fit(world.train, world.recorded, sample_weight=weights)
    assert proposal.model.coef_ == pytest.approx(by_hand.coef_)


def test_a_threshold_changes_nobody_but_those_between(world: World) -> None:
    proposal = world.propose(action="threshold", new_threshold=0.3, triggers=["x"])
    scores = world.model.predict_proba(world.holdout)[:, 1]
    row = proposal.measure("selection_rate")
    assert row.before == pytest.approx((scores >= 0.5).mean())
    assert row.after == pytest.approx((scores >= 0.3).mean())
    assert proposal.model is world.model
    assert proposal.threshold == 0.3
    assert proposal.change.triggers == ("x",)
    assert proposal.change.before_digest != proposal.change.after_digest


def test_a_feature_can_be_left_out(world: World) -> None:
    proposal = world.propose(action="features", drop=["area"])
    assert proposal.features == ("income", "age")
    assert list(proposal.model.feature_names_in_) == ["income", "age"]
    by_hand = LogisticRegression().fit(world.train[["income", "age"]], world.recorded)
    assert proposal.model.coef_ == pytest.approx(by_hand.coef_)


def test_estimation_training_and_holdout_must_not_meet(world: World) -> None:
    train, holdout = str(world.train.index[3]), str(world.holdout.index[5])
    with pytest.raises(InputError, match=r"1 training rows are in the estimation sample.*case-3"):
        world.propose(estimation=[train])
    with pytest.raises(InputError, match="1 holdout rows are in the estimation sample"):
        world.propose(estimation=(holdout,))
    with pytest.raises(InputError, match="training rows are in the holdout"):
        world.propose(X_holdout=world.train, y_holdout=world.recorded)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action": "relable"}, 'action is "relable".*did you mean "relabel"'),
        ({"action": "threshold"}, "new_threshold goes with action"),
        ({"new_threshold": 0.4}, "new_threshold goes with action"),
        ({"action": "threshold", "new_threshold": 4.0}, "new_threshold is 4.0; accepted: 0 to 1"),
        ({"action": "features"}, "drop, a list of columns"),
        ({"action": "features", "drop": "area"}, "drop, a list of columns"),
        ({"action": "features", "drop": ["aera"]}, 'drop names "aera".*did you mean "area"'),
        ({"action": "features", "drop": ["area", "age", "income"]}, "leaves no column"),
        ({"proposer": " "}, "proposer is empty"),
        ({"description": ""}, "description is empty"),
        ({"expires": NOW}, "expires is .*not after"),
        ({"events": []}, "no label changes, so there is nothing to relabel"),
        ({"events": [], "action": "reweight"}, "no training row was judged"),
        ({"events": [], "action": "features", "drop": ["age"]}, "triggers is empty"),
        ({"min_reviewers": 0}, "min_reviewers is 0"),
        ({"reviewed_weight": 0.0, "action": "reweight"}, "reviewed_weight is 0.0"),
        ({"confidence": 95}, "confidence is 95"),
        ({"X_train": np.zeros((3, 2))}, "X_train is a ndarray; expected a pandas DataFrame"),
        ({"y_train": [0, 1]}, "got 2 labels in y_train, rows: 600"),
        ({"plan_digest": "another"}, "no label changes"),
    ],
)
def test_what_cannot_be_proposed(world: World, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        world.propose(**changes)


def test_a_model_without_weights_cannot_be_reweighted(world: World) -> None:
    model = KNeighborsClassifier().fit(world.train, world.recorded)
    with pytest.raises(InputError, match="KNeighborsClassifier takes no sample weights"):
        world.propose(model=model, action="reweight")


def test_repeated_ids_and_other_columns_are_refused(world: World) -> None:
    with pytest.raises(InputError, match="X_train has a case id more than once"):
        world.propose(X_train=world.train.set_axis(["same"] * 600))
    with pytest.raises(InputError, match="other columns"):
        world.propose(X_holdout=world.holdout[["age", "income", "area"]])


def test_small_groups_are_listed_without_values(world: World) -> None:
    few = world.race.copy()
    few.iloc[:5, 0] = "c"
    proposal = world.propose(sensitive_features=few)
    row = proposal.measure("selection_rate", "race: c")
    assert (row.n, row.before, row.after, row.low) == (5, None, None, None)
    with pytest.raises(InputError, match="accuracy of all"):
        proposal.measure("accuracy", "race: d")


def labels(*events: Any, recorded: dict[str, int], **options: Any) -> JudgedLabels:
    return judged_labels(events, recorded, **options)


def test_only_firm_judgments_change_a_label() -> None:
    recorded = dict.fromkeys("abcdef", 1)
    yes, no = verdict("d", "agree", "r1"), verdict("d", "disagree", "r2")
    found = labels(
        verdict("a", "disagree", "r1"),  # one reviewer only
        verdict("b", "disagree", "r1"),
        verdict("b", "disagree", "r2"),
        verdict("c", "disagree", "r1"),
        verdict("c", "agree", "r2"),
        verdict("c", "disagree", "r3"),  # a majority with dissent
        yes,
        no,
        adjudication("d", "unfavorable", yes, no),
        verdict("e", "unsure", "r1"),
        verdict("stranger", "disagree", "r1"),
        recorded=recorded,
    )
    rows = {row.case_id: row for row in found.rows}
    assert {case for case, row in rows.items() if row.changed} == {"b", "d"}
    assert rows["d"].reviewers == ("r1", "r2", "chair")
    assert rows["c"].support == pytest.approx(1 / 3)
    assert rows["e"].how == "undecided"
    assert "stranger" not in rows
    assert found.labels(recorded) == recorded | {"b": 0, "d": 0}
    assert recorded["b"] == 1  # what was recorded stays
    assert list(found.frame()["old"]) == [1] * 5
    alone = labels(verdict("a", "disagree"), recorded=recorded, min_reviewers=1)
    assert alone.rows[0].changed


def test_cases_picked_by_hand_may_teach() -> None:
    events = [
        verdict("a", "disagree", r, design="purposive", inclusion_probability=None)
        for r in ("r1", "r2")
    ]
    assert labels(*events, recorded={"a": 1}).changed[0].new == 0


def test_weights_follow_the_reviewers() -> None:
    recorded = dict.fromkeys("abcd", 1)
    found = labels(
        verdict("a", "agree", "r1"),
        verdict("b", "disagree", "r1"),
        verdict("b", "agree", "r2"),
        verdict("c", "disagree", "r1"),
        recorded=recorded,
    )
    # 2 × (1, ½, 0) for the judged rows and 1 for the other one, divided by the mean.
    assert found.weights(recorded) == {"a": 2.0, "b": 1.0, "c": 0.0, "d": 1.0}
    heavy = found.weights(recorded, reviewed_weight=4.0)
    assert sum(heavy.values()) == pytest.approx(4)
    assert heavy["a"] / heavy["d"] == pytest.approx(4)
    with pytest.raises(InputError, match="no training row weighs anything"):
        labels(verdict("a", "disagree"), recorded={"a": 1}).weights({"a": 1})
    with pytest.raises(InputError, match="the label of a is 2"):
        labels(recorded={"a": 2})


def approval(proposal: Proposal, **changes: Any) -> Approval:
    given: dict[str, Any] = {
        "approver": "Ole",
        "role": "compliance officer",
        "approved": True,
        "rationale": "the gap is smaller",
        "now": NOW + timedelta(days=1),
        "event_id": str(uuid.UUID(int=10**9, version=4)),
    }
    return approve_change(proposal.change, **(given | changes))


def test_somebody_else_approves_in_time(world: World) -> None:
    proposal = world.propose()
    change = proposal.change
    soon, late = NOW + timedelta(days=2), NOW + timedelta(days=91)
    assert change_status(change, [], now=soon) == "proposed"
    yes = approval(proposal)
    assert yes.approves == change.event_id
    assert change_status(change, [change, yes], now=soon) == "approved"
    assert change_status(change, [yes], now=late) == "expired"
    assert change_status(change, [], now=late) == "expired"
    no = approval(proposal, approved=False)
    assert change_status(change, [yes, no], now=soon) == "rejected"
    assert change_status(change, [no, yes], now=soon) == "approved"
    own = replace(yes, approver=" dana ")  # recorded by a program that did not check
    assert change_status(change, [own], now=soon) == "proposed"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"approver": "DANA "}, "who proposed the change"),
        ({"now": NOW + timedelta(days=91)}, "expired"),
        ({"rationale": ""}, "rationale is empty"),
    ],
)
def test_what_is_no_approval(world: World, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        approval(world.propose(), **changes)


def test_the_ledger_keeps_the_whole_story(world: World, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "judgments.db")
    for event in world.events[:40]:
        ledger.append(event)
    # From what the ledger holds, not from memory.
    proposal = world.propose(events=ledger.events())
    ledger.append(proposal.change)
    yes = approval(proposal)
    with pytest.raises(LedgerError, match="who proposed the change"):
        ledger.append(replace(yes, approver="dana"))
    ledger.append(yes)
    now = NOW + timedelta(days=2)
    assert change_status(proposal.change, ledger.events(), now=now) == "approved"
    assert ledger.verify() == ()
    stranger = world.propose(action="threshold", new_threshold=0.4, triggers=["nobody said so"])
    with pytest.raises(LedgerError, match="triggers names nobody said so"):
        ledger.append(stranger.change)
