import json
from collections.abc import Callable
from datetime import datetime
from fractions import Fraction
from importlib.resources import files

import pytest

from hitl_audit.canonical import digest_bytes
from hitl_audit.errors import PlanError
from hitl_audit.plan import AuditPlan, parse_lock, register

Clock = Callable[[], datetime]

HEAD = '[audit]\ntitle = "T"\n[data]\nsensitive = ["race", "sex"]\n'
CRITERION = '[[criteria]]\nmetric = "selection_rate"\nby = "race"\nat_least = 0.8\n'

BAD: dict[str, tuple[str | bytes, str]] = {
    "not toml": ("a =", "audit.toml is not valid TOML"),
    "not text": (b"\xff\xfe", "audit.toml is not UTF-8 text"),
    "no title": ("[audit]\n", "audit.title is missing"),
    "unknown section": (
        HEAD + "[modl]\n",
        'modl is not a key of the plan; accepted: .*; did you mean "model"',
    ),
    "unknown key": (
        HEAD + '[model]\npth = "x"\n',
        'model.pth is not a key of the plan; accepted: .*; did you mean "path"',
    ),
    "wrong type": ("[audit]\ntitle = 3\n", "audit.title is 3; expected a text"),
    "text for a list": (
        '[audit]\ntitle = "T"\n[data]\nsensitive = "race"\n',
        "data.sensitive is 'race'; expected a list",
    ),
    "unknown metric": (
        HEAD + CRITERION.replace("selection_rate", "selction_rate"),
        r"criteria\[0\].metric is 'selction_rate'; accepted: selection_rate, .*; did you mean \"selection_rate\"",
    ),
    "unknown attribute": (
        HEAD + CRITERION.replace('"race"', '"rce"'),
        r'criteria\[0\].by names "rce"; accepted: race, sex; did you mean "race"',
    ),
    "unmeasured intersection": (
        HEAD
        + "[fairness]\nintersections = false\n"
        + CRITERION.replace('"race"', '["race", "sex"]'),
        r"criteria\[0\].by is the intersection race × sex, which fairness.intersections does not cover; it covers: none",
    ),
    "bad intersection": (
        HEAD + '[fairness]\nintersections = [["race", "age"]]\n',
        r"fairness.intersections names \['race', 'age'\]; accepted: two or more of race, sex",
    ),
    "no threshold": (
        HEAD + CRITERION.replace("at_least = 0.8", ""),
        r"criteria\[0\] has no threshold; expected at_least, at_most or both",
    ),
    "impossible ratio": (
        HEAD + CRITERION.replace("0.8", "1.8"),
        r"criteria\[0\].at_least = 1.8 is impossible",
    ),
    "impossible rate": (
        HEAD + '[[criteria]]\nmetric = "accuracy"\ncompare = "value"\nat_least = 85\n',
        "at_least = 85 is impossible for a rate; expected 0 to 1",
    ),
    "contradiction": (
        HEAD + CRITERION.replace("0.8", "0.9\nat_most = 0.5"),
        "above at_most = 0.5, so nothing can meet it",
    ),
    "signed difference": (
        HEAD + CRITERION + 'compare = "difference"\n',
        "at_least has no meaning for a difference",
    ),
    "no groups to compare": (
        HEAD + '[[criteria]]\nmetric = "accuracy"\nat_least = 0.8\n',
        'compares groups .* but "by" is empty',
    ),
    "threshold of one": (
        HEAD + "[model]\nthreshold = 1\n",
        "model.threshold is 1; expected less than 1",
    ),
    "reference of a stranger": (
        '[audit]\ntitle = "T"\n[data]\nsensitive = ["race"]\nreference = { sex = "male" }\n',
        'data.reference names "sex"; accepted: race',
    ),
    "target as group": (
        '[audit]\ntitle = "T"\n[data]\ntarget = "race"\nsensitive = ["race"]\n',
        'data.sensitive contains the target "race"',
    ),
    "strata without design": (
        HEAD + '[review]\nstratify_by = "race"\n',
        "expected stratify_by only with design",
    ),
    "design without strata": (
        HEAD + '[review]\ndesign = "stratified"\n',
        'design = "stratified" without stratify_by',
    ),
    "floor without groups": (
        HEAD + '[review]\ndesign = "mixture"\nfloor_per_group = 5\n',
        "floor_per_group = 5 needs stratify_by",
    ),
    "no priority": (
        HEAD + '[review]\ndesign = "mixture"\npriority = []\n',
        "priority is empty",
    ),
    "unknown priority": (
        HEAD + '[review]\ndesign = "mixture"\npriority = "treshold"\n',
        'accepted: threshold, .*did you mean "threshold"',
    ),
    "reviewer twice": (
        HEAD + '[[review.reviewers]]\nname = "Ada"\n' + '[[review.reviewers]]\nname = "ada "\n',
        "reviewers names somebody twice",
    ),
    "too few reviewers": (
        HEAD + '[review]\nreviewers_per_case = 2\n[[review.reviewers]]\nname = "Ada"\n',
        "reviewers_per_case = 2, but reviewers names 1",
    ),
    "unknown condition": (
        HEAD + '[[review.escalations]]\ncondition = "conflict"\nrole = "officer"\n',
        "condition is 'conflict'; accepted: low confidence",
    ),
    "unknown design": (
        HEAD + '[review]\ndesign = "handpicked"\n',
        "review.design is 'handpicked'; accepted: random, stratified",
    ),
    "role twice": (
        HEAD + '[[roles]]\nrole = "Officer"\nsigns = "approved"\n' * 2,
        "roles names the same role twice",
    ),
    "no roles": ("roles = []\n" + HEAD, "roles is .*; expected at least 1"),
    "favorable list": (
        HEAD.replace("[data]", "[data]\nfavorable = [1]"),
        r"data.favorable is \[1\]; expected a text, a whole number or true/false",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_plans_are_named_with_place_and_accepted(name: str) -> None:
    source, message = BAD[name]
    with pytest.raises(PlanError, match=message):
        AuditPlan.from_toml(source)


def test_every_problem_is_listed_at_once() -> None:
    with pytest.raises(PlanError) as caught:
        AuditPlan.from_toml('[audit]\ntitle = 3\n[model]\nthreshold = 2\noutput = "x"\n')
    assert str(caught.value).startswith("audit.toml has 3 problems:")
    assert str(caught.value).count("•") == 3


def test_the_example_plan_is_a_plan() -> None:
    source = (files("hitl_audit.examples") / "mortgage.toml").read_bytes()
    plan = AuditPlan.from_toml(source)
    assert plan.source == source
    assert plan.digest == digest_bytes(source)
    assert plan.intersections == (("race", "sex"),)
    assert [role.field for role in plan.roles] == [
        "data-scientist",
        "domain-expert",
        "compliance-officer",
    ]


def test_thresholds_are_exact() -> None:
    plan = AuditPlan.from_toml(HEAD + CRITERION)
    assert plan.criteria[0].criterion.at_least == Fraction(4, 5)
    same = AuditPlan.from_dict(
        {
            "audit": {"title": "T"},
            "data": {"sensitive": ["race"]},
            "criteria": [{"metric": "selection_rate", "by": "race", "at_least": 0.8}],
        }
    )
    assert same.criteria[0].criterion.at_least == Fraction(4, 5)


def test_intersections_default_to_all_attributes_crossed() -> None:
    assert AuditPlan.from_toml(HEAD).intersections == (("race", "sex"),)
    one = AuditPlan.from_toml('[audit]\ntitle = "T"\n[data]\nsensitive = ["race"]\n')
    assert one.intersections == ()


def test_a_plan_is_registered_once_and_history_is_kept(clock: Clock) -> None:
    plan = AuditPlan.from_toml(HEAD)
    lock = register(plan, None, now=clock(), results_exist=False)
    assert register(plan, lock, now=clock(), results_exist=True) is lock
    changed = AuditPlan.from_toml(HEAD + CRITERION)
    early = register(changed, lock, now=clock(), results_exist=False)
    assert [r.digest for r in early.registrations] == [plan.digest, changed.digest]
    assert not early.changed_after_results


def test_a_plan_changed_after_results_is_refused_unless_registered_again(clock: Clock) -> None:
    lock = register(AuditPlan.from_toml(HEAD), None, now=clock(), results_exist=False)
    changed = AuditPlan.from_toml(HEAD + CRITERION)
    with pytest.raises(PlanError, match="the plan changed after results exist"):
        register(changed, lock, now=clock(), results_exist=True)
    again = register(changed, lock, now=clock(), results_exist=True, reregister="wrong group")
    assert again.changed_after_results
    assert again.current.reason == "wrong group"
    assert parse_lock(again.model_dump_json().encode()) == again


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b'{"format": "hitl-audit/plan-lock/v2", "registrations": []}',
        json.dumps({"registrations": []}).encode(),
    ],
)
def test_locks_of_unknown_form_are_refused(data: bytes) -> None:
    with pytest.raises(PlanError, match=r"plan\.lock\.json cannot be used"):
        parse_lock(data)


def test_metrics_of_the_plan_are_those_that_are_measured() -> None:
    from hitl_audit.fairness.rates import RATES
    from hitl_audit.fairness.reference import LOWER_IS_BETTER
    from hitl_audit.plan_sections import HIGHER_IS_BETTER, METRICS

    assert set(METRICS) <= set(RATES)
    assert set(METRICS) & LOWER_IS_BETTER == set(METRICS) - HIGHER_IS_BETTER
