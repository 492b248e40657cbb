"""Profiles as dated data: what ships is sound, and what is wrong is named with its place."""

import re
from datetime import date
from pathlib import Path

import pytest

from hitl_audit.canonical import digest_bytes
from hitl_audit.errors import PlanError
from hitl_audit.profiles.loader import list_profiles, load_profile

MINIMAL = """
format = "hitl-audit/profile/v1"
id = "ours"
title = "Our own rule"
jurisdiction = "House"
as_of = 2026-01-31
status = "in force"
summary = "Rates by group."
[[sources]]
citation = "Handbook, page 3"
[computation]
tables = "us-disparate-impact"
attributes = ["sex"]
[[rules]]
id = "rate"
text = "Selected divided by all."
"""


def test_the_shipped_profiles_are_listed_and_load() -> None:
    assert list_profiles() == (
        "eu-ai-act",
        "nyc-ll144",
        "us-credit-reg-b",
        "us-disparate-impact",
        "us-mrm",
    )
    for name in list_profiles():
        profile = load_profile(name)
        assert profile.id == name == profile.computation.tables
        assert date(2026, 1, 1) < profile.as_of < date(2027, 1, 1)
        assert profile.digest.startswith("sha256:")
        assert str(profile.computation.four_fifths) == "0.8"
        assert profile.requirements
        # Every statement can be made: what is no fact stays visible as a blank.
        facts = {"audited": "a", "expires": "b", "unknown": "c", "rows": "d"}
        for statement in profile.statements:
            assert "{" not in profile.statement(statement.id, facts)
        # No profile decides whether a law is met.
        source = Path(__file__).parents[2] / "hitl_audit" / "profiles" / f"{name}.toml"
        assert not re.search("complian", source.read_text(), re.IGNORECASE)
        assert profile.digest == digest_bytes(source.read_bytes())


def test_the_numbers_of_local_law_144() -> None:
    rules = load_profile("nyc-ll144").computation
    assert str(rules.exclude_below) == "0.02"
    assert rules.valid_years == 1
    assert load_profile("nyc-ll144").warning == ""


def test_an_audit_expires_a_year_later_to_the_day() -> None:
    profile = load_profile("nyc-ll144")
    assert profile.expiry(date(2026, 11, 23)) == date(2027, 11, 23)
    assert profile.expiry(date(2028, 2, 29)) == date(2029, 2, 28)
    assert load_profile("us-disparate-impact").expiry(date(2026, 11, 23)) is None


def test_blanks_are_for_people_and_stay_visible() -> None:
    profile = load_profile("nyc-ll144")
    empty = profile.statement("independence")
    assert "[to be filled in by the independent auditor: name and firm" in empty
    filled = profile.statement("independence", {"auditor": "Ann Lee", "auditor_signature": ""})
    assert "made by Ann Lee, who" in filled
    assert "[to be filled in by the independent auditor: signature" in filled
    with pytest.raises(PlanError, match=r'statement "expiry": no value for \{audited\}'):
        profile.statement("expiry")
    with pytest.raises(PlanError, match=r'no statement "indepence".*did you mean "independence"'):
        profile.statement("indepence")


def test_a_status_that_needs_words_has_them() -> None:
    credit = load_profile("us-credit-reg-b")
    assert credit.status == "amended"
    assert "no effects test" in credit.warning
    assert credit.as_of.isoformat() in credit.warning
    assert "rescind" in load_profile("us-disparate-impact").warning


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(MINIMAL)
    profile = load_profile(path)
    assert (profile.id, profile.warning, profile.blanks) == ("ours", "", ())
    assert load_profile(str(path)) == profile
    # A superseded one still loads, and says what replaced it.
    path.write_text(
        MINIMAL.replace(
            'status = "in force"',
            'status = "superseded"\nstatus_note = "Withdrawn in May."\nsuperseded_by = "Rule 9"',
        )
    )
    warning = load_profile(path).warning
    assert warning == ("Our own rule: superseded by Rule 9 (as of 2026-01-31). Withdrawn in May.")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "', 'titel = "', r"titel is not a key of a profile; accepted: as_of.*title"),
        ('title = "', 'titel = "', "title is missing"),
        (
            'status = "in force"',
            'status = "valid"',
            "status is 'valid'; accepted: in force, amended",
        ),
        ('status = "in force"', 'status = "amended"', "status_note is empty; expected why"),
        (
            'status = "in force"',
            'status = "superseded"\nstatus_note = "x"',
            'expected superseded_by exactly when status is "superseded"',
        ),
        ("as_of = 2026-01-31", 'as_of = "soon"', "as_of is 'soon'; expected"),
        ("profile/v1", "profile/v2", "format is 'hitl-audit/profile/v2'; accepted: hitl-audit"),
        (
            'tables = "us-disparate-impact"',
            'tables = "us-disparate-impcat"',
            'computation.tables is .*did you mean "us-disparate-impact"',
        ),
        (
            'attributes = ["sex"]',
            'attributes = ["sex"]\nfour_fiths = 0.8',
            'computation.four_fiths is not a key.*did you mean "four_fifths"',
        ),
        ('attributes = ["sex"]', "attributes = []", r"computation.attributes is \[\]; expected"),
        (
            'attributes = ["sex"]',
            'attributes = ["sex"]\nexclude_below = 2',
            "computation.exclude_below is 2; expected",
        ),
        (
            'text = "Sel',
            'words = "Sel',
            r"rules\[0\].words is not a key.*accepted: id, source, text",
        ),
        ('id = "rate"', 'id = "Rate!"', r"rules\[0\].id is 'Rate!'; expected"),
        ("[[rules]]", '[[rules]]\nid = "rate"\ntext = "b"\n[[rules]]', "same id twice: rate"),
        ("[computation]", "[computation", "is not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in MINIMAL
    path = tmp_path / "ours.toml"
    path.write_text(MINIMAL.replace(old, new))
    with pytest.raises(PlanError, match=message) as caught:
        load_profile(path)
    assert "profile ours.toml" in str(caught.value)


def test_profiles_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r'profile is "nyc-ll114"; accepted: eu-ai-act, .*did you'):
        load_profile("nyc-ll114")
    with pytest.raises(PlanError, match=r"none\.toml cannot be read: No such file"):
        load_profile(tmp_path / "none.toml")
    path = tmp_path / "latin.toml"
    path.write_bytes(b"title = '\xe9'")
    with pytest.raises(PlanError, match="not UTF-8 text"):
        load_profile(path)
