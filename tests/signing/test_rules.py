"""Who may sign what: a table of people and roles."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hitl_audit.plan_sections import role_field as field_of_the_plan
from hitl_audit.signing.keys import generate_key
from hitl_audit.signing.people import person_of
from hitl_audit.signing.rules import Person, RoleRule, SigningRules, read_rules, role_field

ROLES = (
    RoleRule("data scientist", "prepared"),
    RoleRule("domain expert", "attested", "Bob Expert"),
    RoleRule("compliance officer", "approved"),
)
RULES = SigningRules(ROLES, ("Mona  Model", "MAX@example.org"))


def person(name: str, email: str = "", key: str = "") -> Person:
    return Person(name, email, f"certificate of {key or name}", f"key of {key or name}")


DORA, BOB, OLGA = person("Dora Data", "dora@example.org"), person("Bob Expert"), person("Olga")
ONE = (("data-scientist", DORA),)
TWO = (*ONE, ("domain-expert", BOB))


@pytest.mark.parametrize(
    ("field", "who", "earlier"),
    [
        ("data-scientist", DORA, ()),
        ("data-scientist", person("Mona Model"), ()),  # builders may prepare
        ("domain-expert", BOB, ONE),
        ("domain-expert", person("B.", "bob expert"), ONE),
        ("compliance-officer", OLGA, TWO),
        ("compliance-officer", person("Dora Data", "another@example.org", "another"), TWO),
        ("compliance-officer", person("Bob Expert"), TWO),  # attesting is no preparing
    ],
)
def test_who_may(field: str, who: Person, earlier: tuple[tuple[str, Person], ...]) -> None:
    assert RULES.refusal(field, who, earlier) == ""


@pytest.mark.parametrize(
    ("field", "who", "earlier", "words"),
    [
        ("auditor", DORA, (), "the plan has no role 'auditor'; it has: data-scientist, domain-exp"),
        ("data-scientist", DORA, ONE, "the data scientist has signed already"),
        ("domain-expert", BOB, (), "must wait: not yet signed by data scientist"),
        ("compliance-officer", OLGA, ONE, "must wait: not yet signed by domain expert"),
        ("domain-expert", OLGA, ONE, "the plan names Bob Expert as domain expert, and this"),
        ("compliance-officer", person("mona model"), TWO, "built the model and cannot approve it"),
        ("compliance-officer", person("M", "max@EXAMPLE.org"), TWO, "built the model"),
        ("compliance-officer", DORA, TWO, "prepared this document as data scientist and cannot"),
        # Another certificate, but the same address, the same key, or a name alone.
        ("compliance-officer", person("D.", "DORA@example.org"), TWO, "prepared this document"),
        ("compliance-officer", person("X", key="Dora Data"), TWO, "prepared this document"),
        ("compliance-officer", person("dora  data"), TWO, "prepared this document"),
    ],
)
def test_who_may_not(
    field: str, who: Person, earlier: tuple[tuple[str, Person], ...], words: str
) -> None:
    assert words in RULES.refusal(field, who, earlier)


def test_rules_are_read_from_the_plan_as_written() -> None:
    plan = b"""
[model]
built_by = ["Mona Model"]
[[roles]]
role = "Data Scientist"
signs = "prepared"
[[roles]]
role = "officer"
signs = "approved"
name = " Olga "
"""
    rules = read_rules(plan)
    assert rules.built_by == ("Mona Model",)
    assert [(r.field, r.signs, r.name) for r in rules.roles] == [
        ("data-scientist", "prepared", ""),
        ("officer", "approved", "Olga"),
    ]
    assert read_rules(b'[model]\nbuilt_by = "Mona"').built_by == ("Mona",)


def test_default_roles_come_from_the_evidence() -> None:
    evidence = b'{"plan": {"roles": [["auditor", "prepared", ""]]}}'
    assert [r.role for r in read_rules(b"[audit]", evidence).roles] == ["auditor"]
    assert read_rules(b"[audit]").roles == ()


@pytest.mark.parametrize(
    "plan",
    [
        b"\xff",
        b"[[roles]]\nsigns = 1",
        b"roles = 3",
        b"[model]\nbuilt_by = [1]",
        b"model = 1",
        b"[" * 5000,
    ],
)
def test_a_plan_whose_roles_cannot_be_read_is_refused(plan: bytes) -> None:
    with pytest.raises(ValueError, match="the plan's roles cannot be read"):
        read_rules(plan, b"[]")


@pytest.mark.parametrize("role", ["data scientist", "Chief Risk & Compliance Officer", "Ärztin"])
def test_fields_are_named_as_the_plan_names_them(role: str) -> None:
    assert role_field(role) == field_of_the_plan(role)


def test_a_certificate_names_a_person() -> None:
    key = generate_key("Ada", email="ada@example.org", now=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    found = person_of(key.certificate)
    assert (found.name, found.email, found.fingerprint) == (
        "Ada",
        "ada@example.org",
        key.fingerprint,
    )
    assert found.is_same_as(found)
