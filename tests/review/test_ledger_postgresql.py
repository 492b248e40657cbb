"""What holds of a ledger in PostgreSQL only."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from hitl_audit.errors import LedgerError, MissingDependencyError
from hitl_audit.review.ledger import Judgment, Ledger

ROOT = Path(__file__).parents[2]


def judgment(**changes: Any) -> Judgment:
    fields: dict[str, Any] = {
        "event_id": str(uuid.uuid4()),
        "at": "2026-01-31T12:00:00.000000Z",
        "plan_digest": "sha256:p",
        "model_digest": "sha256:m",
        "case_id": "17",
        "design": "random",
        "inclusion_probability": 0.25,
        "reviewer": "Dana",
        "role": "domain expert",
        "phase": "final",
        "answer": "disagree",
        "reasons": ("x",),
        "rationale": "<1> Mrs. Doe is a friend",
    }
    return Judgment(**(fields | changes))


def shell(server: str) -> sa.Connection:
    engine = sa.create_engine(
        sa.make_url(server).set(drivername="postgresql+pg8000"),
        poolclass=sa.NullPool,
        isolation_level="AUTOCOMMIT",
    )
    return engine.connect()


def test_a_schema_is_a_ledger_and_the_default_is_hitl_audit(postgresql_server: str) -> None:
    one, other = Ledger(f"{postgresql_server}?schema=one"), Ledger(postgresql_server)
    one.append(judgment())
    assert (len(one.events()), len(other.events())) == (1, 0)
    assert other.url.endswith("/postgres?schema=hitl_audit")
    with pytest.raises(LedgerError, match="is in PostgreSQL, it has no file"):
        _ = other.path


def test_the_password_is_in_no_message(postgresql_server: str) -> None:
    password = sa.make_url(postgresql_server).password
    assert password
    ledger = Ledger(f"{postgresql_server}?schema=secret")
    assert password not in ledger.url
    assert "***" in ledger.url
    wrong = postgresql_server.replace(password, "letmein123")
    elsewhere = postgresql_server.replace("127.0.0.1", "127.0.0.1:1/x?")
    for url in (
        wrong,
        f"{postgresql_server}?schema=A%20B",
        f"{postgresql_server}?sslmode=maybe",
        f"{postgresql_server}?password={password}",
        f"{postgresql_server}?sslmode=require",  # this server has no certificate
        f"{postgresql_server}?sslmode=verify-full",
        postgresql_server.replace("/postgres", "/absent"),
        f"mysql://u:{password}@localhost/db",
        f"postgresql://u:{password}@127.0.0.1:port/db",
        f"://{password}",
        elsewhere,
    ):
        with pytest.raises(LedgerError) as refusal:
            Ledger(url)
        assert password not in str(refusal.value)
        assert "letmein123" not in str(refusal.value)
        assert str(refusal.value).startswith("ledger")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("schema=A", "schema is 'A'; expected lower-case letters, digits and _"),
        ("sslmode=maybe", "sslmode is 'maybe'; accepted: disable, prefer, require, verify-full"),
        ("user=x", "the URL has the option 'user'; accepted: schema, sslmode, sslrootcert"),
        ("sslrootcert=x", "sslrootcert goes with sslmode=verify-full"),
        ("sslmode=verify-full&sslrootcert=absent.pem", "sslrootcert absent.pem"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(query: str, words: str) -> None:
    with pytest.raises(LedgerError) as refusal:
        Ledger(f"postgresql://u:p@localhost/db?{query}")
    assert words in str(refusal.value)


def test_a_missing_driver_is_named() -> None:
    code = """
import sys
sys.modules["pg8000"] = None
from hitl_audit.review.ledger import Ledger
try:
    Ledger("postgresql://u:p@localhost/db")
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith(
        f"{MissingDependencyError.__name__} ledger: a ledger in PostgreSQL"
    )
    assert 'pip install "hitl-audit[postgres]"' in done.stdout


def test_a_connection_that_was_cut_off_is_made_anew(postgresql_server: str) -> None:
    ledger = Ledger(f"{postgresql_server}?schema=cut_off")
    ledger.append(judgment())
    with shell(postgresql_server) as db:
        mine = "pid <> pg_backend_pid() AND backend_type = 'client backend'"
        cut = f"SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE {mine}"
        assert db.exec_driver_sql(cut).scalar_one() >= 1
    assert ledger.append(judgment()).seq == 2
    with shell(postgresql_server) as db:
        db.exec_driver_sql(cut)
    assert len(ledger.events()) == 2


def test_a_server_set_to_lose_transactions_does_not_lose_these(postgresql_server: str) -> None:
    with shell(postgresql_server) as db:
        db.exec_driver_sql("CREATE DATABASE careless")
        db.exec_driver_sql("ALTER DATABASE careless SET synchronous_commit = off")
        db.exec_driver_sql(
            "ALTER DATABASE careless SET default_transaction_isolation = serializable"
        )
    careless = postgresql_server.replace("/postgres", "/careless")
    ledger = Ledger(careless)
    with ledger._store.writing() as db:
        assert db.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"
        assert db.exec_driver_sql("SHOW transaction_isolation").scalar_one() == "read committed"
    with ledger._store.reading() as db:
        assert db.exec_driver_sql("SHOW transaction_read_only").scalar_one() == "on"
    ledger.close()


def test_an_auditor_may_be_given_reading_rights_only(postgresql_server: str) -> None:
    ledger = Ledger(f"{postgresql_server}?schema=shared")
    ledger.append(judgment())
    checkpoint = ledger.checkpoint()
    with shell(postgresql_server) as db:
        db.exec_driver_sql("CREATE ROLE guest LOGIN PASSWORD 'guest-word'")
        db.exec_driver_sql("GRANT USAGE ON SCHEMA shared TO guest")
        db.exec_driver_sql("GRANT SELECT ON ALL TABLES IN SCHEMA shared TO guest")
    url = sa.make_url(postgresql_server).set(username="guest", password="guest-word")
    place = f"{url.render_as_string(hide_password=False)}?schema=shared"
    assert Ledger(place, read_only=True).verify_against(checkpoint) == ()
    with pytest.raises(LedgerError, match="permission denied"):
        Ledger(place).append(judgment())


def test_a_user_who_may_not_clear_the_file_is_told_so(postgresql_server: str) -> None:
    owner = Ledger(f"{postgresql_server}?schema=owned")
    with shell(postgresql_server) as db:
        db.exec_driver_sql("CREATE ROLE clerk LOGIN PASSWORD 'clerk-word'")
        db.exec_driver_sql("GRANT USAGE ON SCHEMA owned TO clerk")
        db.exec_driver_sql("GRANT SELECT, INSERT, DELETE ON ALL TABLES IN SCHEMA owned TO clerk")
    url = sa.make_url(postgresql_server).set(username="clerk", password="clerk-word")
    clerk = Ledger(f"{url.render_as_string(hide_password=False)}?schema=owned")
    event = judgment()
    clerk.append(event)
    with pytest.raises(LedgerError, match="the redaction is recorded, but this user may not"):
        clerk.redact(event.event_id, ["rationale"], by="DPO", reason="request")
    assert [e.redacted for e in owner.events()] == [("rationale",), ()]
    owner.forget()
    assert owner.verify() == ()


def test_redacted_words_are_in_none_of_the_tables_files(postgresql_server: str) -> None:
    ledger = Ledger(f"{postgresql_server}?schema=redacted")
    event = judgment(rationale="<7> Mr. Roe")
    ledger.append_all([event, judgment(rationale="<2> stays")])
    with shell(postgresql_server) as db:
        folder = Path(str(db.exec_driver_sql("SHOW data_directory").scalar_one())) / "base"

        def written() -> bytes:
            db.exec_driver_sql("CHECKPOINT")
            return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())

        assert b"<7> Mr. Roe" in written()
        ledger.redact(event.event_id, ["rationale"], by="DPO", reason="request")
        left = written()
    assert b"<7> Mr. Roe" not in left
    assert b"<2> stays" in left
    assert ledger.verify() == ()
