"""A ledger in PostgreSQL, for teams: one schema of a database holds one ledger."""

from __future__ import annotations

import re
import ssl
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from hitl_audit.errors import LedgerError, MissingDependencyError
from hitl_audit.review.integrity import Row
from hitl_audit.review.store import VERSION, Store

__all__ = ["PostgresqlStore"]

_SCHEMA = "hitl_audit"
_OPTIONS = ("schema", "sslmode", "sslrootcert")
_SSL_MODES = ("disable", "prefer", "require", "verify-full")

_TABLES = """
CREATE TABLE {s}.ledger (version integer NOT NULL);
INSERT INTO {s}.ledger VALUES ({version});
CREATE TABLE {s}.event (
    seq bigint PRIMARY KEY,
    event_id text NOT NULL UNIQUE,
    body bytea NOT NULL,
    link bytea NOT NULL
);
CREATE TABLE {s}.opening (
    seq bigint NOT NULL,
    field text NOT NULL,
    salt text NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (seq, field)
);
"""

# Name -> (table, when it fires, body of its function).
_GUARDS: dict[str, tuple[str, str, str]] = {
    "no_update": (
        "event",
        "BEFORE UPDATE ON {s}.event FOR EACH ROW",
        "BEGIN RAISE EXCEPTION 'the ledger is append-only: no event is ever edited'; END",
    ),
    "no_delete": (
        "event",
        "BEFORE DELETE ON {s}.event FOR EACH ROW",
        "BEGIN RAISE EXCEPTION 'the ledger is append-only: no event is ever deleted'; END",
    ),
    "no_truncate": (
        "event",
        "BEFORE TRUNCATE ON {s}.event FOR EACH STATEMENT",
        "BEGIN RAISE EXCEPTION 'the ledger is append-only: no event is ever deleted'; END",
    ),
    "no_gap": (
        "event",
        "BEFORE INSERT ON {s}.event FOR EACH ROW",
        """BEGIN
            IF NEW.seq IS DISTINCT FROM (SELECT coalesce(max(seq), 0) + 1 FROM {s}.event) THEN
                RAISE EXCEPTION 'the ledger has no gaps: events are numbered one by one';
            END IF;
            RETURN NEW;
        END""",
    ),
    "words_no_update": (
        "opening",
        "BEFORE UPDATE ON {s}.opening FOR EACH ROW",
        "BEGIN RAISE EXCEPTION 'the words of an event are never edited'; END",
    ),
    "words_no_delete": (
        "opening",
        "BEFORE DELETE ON {s}.opening FOR EACH ROW",
        # The type json, not jsonb: jsonb refuses texts that hold a zero character.
        """DECLARE last json;
        BEGIN
            SELECT convert_from(body, 'UTF8')::json INTO last
                FROM {s}.event ORDER BY seq DESC LIMIT 1;
            IF last ->> 'kind' = 'redaction'
                AND last ->> 'redacts' = (SELECT event_id FROM {s}.event WHERE seq = OLD.seq)
                AND OLD.field IN (SELECT json_array_elements_text(last -> 'fields'))
            THEN
                RETURN OLD;
            END IF;
            RAISE EXCEPTION 'words are deleted only with a redaction';
        END""",
    ),
    "words_no_truncate": (
        "opening",
        "BEFORE TRUNCATE ON {s}.opening FOR EACH STATEMENT",
        "BEGIN RAISE EXCEPTION 'words are deleted only with a redaction'; END",
    ),
    "words_no_late": (
        "opening",
        "BEFORE INSERT ON {s}.opening FOR EACH ROW",
        """BEGIN
            IF NEW.seq IS DISTINCT FROM (SELECT max(seq) FROM {s}.event) THEN
                RAISE EXCEPTION 'words are recorded with their event, never later';
            END IF;
            RETURN NEW;
        END""",
    ),
}


class PostgresqlStore(Store):
    """A ledger in a schema of a PostgreSQL database.

    Args:
        url: ``postgresql://user:password@host:port/database``; after ``?``,
            ``schema`` (default ``hitl_audit``), ``sslmode`` (``disable``,
            ``prefer``, ``require`` or ``verify-full``) and ``sslrootcert``.
        read_only: never write, and refuse a schema without a ledger.

    Raises:
        LedgerError: a URL that cannot be used, no connection, or no ledger.
        MissingDependencyError: the driver is not installed.
    """

    def __init__(self, url: str, *, read_only: bool) -> None:
        self.read_only = read_only
        parsed = _parsed(url)
        self._schema = _option(parsed, "schema") or _SCHEMA
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", self._schema):
            raise LedgerError(
                f"ledger: schema is {self._schema!r}; expected lower-case letters, digits and _"
            )
        bare = parsed.set(query={})
        shown = bare.set(password=None).update_query_dict({"schema": self._schema})
        self.url = shown.render_as_string()
        try:
            self._engine = sa.create_engine(
                bare,
                connect_args=_tls(parsed),
                pool_size=2,
                isolation_level="READ COMMITTED",
                hide_parameters=True,
                execution_options={"schema_translate_map": {None: self._schema}},
            )
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                f"ledger: a ledger in PostgreSQL needs {error.name}, which is not installed; "
                'run: pip install "hitl-audit[postgres]"'
            ) from None
        weakref.finalize(self, self._engine.dispose)
        self.closed_before_fork()
        if read_only:
            self._check()
        else:
            with self.writing() as db:
                if not _exists(db, self._schema):
                    _create(db, self._schema)
            self._check()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One snapshot of the database."""
        with self._transaction(
            sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        ) as db:
            yield db

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that holds the lock of this ledger, durable when it is left."""
        if self.read_only:
            raise LedgerError(f"ledger {self.url} was opened for reading only")
        # A server may be set to lose the last transactions in a crash.
        start = sa.text(
            "SELECT pg_advisory_xact_lock(hashtextextended(:name, 0)), "
            "CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') "
            "THEN set_config('synchronous_commit', 'on', true) END"
        )
        name = f"hitl_audit ledger {self._schema}"
        with self._transaction(start.bindparams(name=name)) as db:
            yield db

    def removed_guards(self, db: sa.Connection) -> list[str]:
        """Names of triggers that are gone, disabled or of another function."""
        query = sa.text(
            "SELECT c.relname, t.tgname, p.prosrc, pg_get_triggerdef(t.oid) "
            "FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
            "JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_proc p ON p.oid = t.tgfoid "
            "WHERE n.nspname = :schema AND NOT t.tgisinternal AND t.tgenabled = 'A'"
        )
        there = {
            (table, name): (source, definition)
            for table, name, source, definition in db.execute(query, {"schema": self._schema})
        }
        removed = []
        for name, (table, when, source) in _GUARDS.items():
            found, definition = there.get((table, name), ("", ""))
            whole = (found, f" {when.format(s=self._schema)} EXECUTE " in definition)
            if whole != (source.format(s=self._schema), True):
                removed.append(name)
        return removed

    def mentions(self, db: sa.Connection, text: str) -> list[Row]:
        """Events whose body holds an ASCII text."""
        query = sa.text(
            f"SELECT seq, event_id, body, link FROM {self._schema}.event "  # noqa: S608
            "WHERE position(convert_to(:text, 'UTF8') IN body) > 0 ORDER BY seq"
        )
        return [Row(*row) for row in db.execute(query, {"text": text})]

    def forget(self) -> None:
        """Rewrite the table of words without what was deleted.

        Raises:
            LedgerError: this user may not; the server only passes it over.
        """
        file = sa.text(f"SELECT pg_relation_filenode('{self._schema}.opening')")
        with self._errors(), self._engine.connect() as db:
            alone = db.execution_options(isolation_level="AUTOCOMMIT")
            before = alone.execute(file).scalar_one()
            alone.execute(sa.text(f"VACUUM FULL {self._schema}.opening"))
            if alone.execute(file).scalar_one() == before:
                raise LedgerError(
                    f"ledger {self.url}: the redaction is recorded, but this user may not clear "
                    "the words from the table's file; its owner must call forget()"
                )

    def close(self) -> None:
        """Close the idle connections."""
        self._engine.dispose()

    def _check(self) -> None:
        with self.reading() as db:
            if not _exists(db, self._schema):
                raise LedgerError(f"ledger: there is no ledger in {self.url}")
            query = sa.text(f"SELECT version FROM {self._schema}.ledger")  # noqa: S608
            version = db.execute(query).scalar_one()
        if version != VERSION:
            raise LedgerError(f"ledger: {self.url} has version {version}; accepted: {VERSION}")

    @contextmanager
    def _transaction(self, first: sa.Executable) -> Iterator[sa.Connection]:
        with self._errors(), self._begun(first) as db:
            yield db
            db.commit()

    def _begun(self, first: sa.Executable) -> sa.Connection:
        """A connection on which the first statement ran; a new one if the old one was cut off."""
        db = self._engine.connect()
        try:
            db.execute(first)
        except sa.exc.DBAPIError as error:
            db.close()
            if not error.connection_invalidated:
                raise
            db = self._engine.connect()
            db.execute(first)
        return db

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise LedgerError(f"ledger {self.url}: {_words(error.orig)}") from None
        except (OSError, sa.exc.SQLAlchemyError) as error:
            raise LedgerError(f"ledger {self.url}: {error}") from None


def _parsed(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # its message repeats the URL with the password
        raise LedgerError(
            "ledger: the URL cannot be read; expected postgresql://user:password@host/database"
        ) from None
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+pg8000")
    if not parsed.drivername.startswith("postgresql+"):
        raise LedgerError(
            f"ledger: a URL of {parsed.drivername!r} is not accepted; expected postgresql://… "
            "or the path of a SQLite file"
        )
    odd = [name for name in parsed.query if name not in _OPTIONS]
    if odd:
        raise LedgerError(
            f"ledger: the URL has the option {odd[0]!r}; accepted: {', '.join(_OPTIONS)}"
        )
    return parsed


def _option(url: sa.URL, name: str) -> str | None:
    value = url.query.get(name)
    return value if isinstance(value, str) or value is None else value[-1]


def _tls(url: sa.URL) -> dict[str, Any]:
    """How the connection is encrypted, in the words of the driver."""
    mode, root = _option(url, "sslmode"), _option(url, "sslrootcert")
    if mode is not None and mode not in _SSL_MODES:
        raise LedgerError(f"ledger: sslmode is {mode!r}; accepted: {', '.join(_SSL_MODES)}")
    if url.drivername != "postgresql+pg8000":
        given = {"sslmode": mode, "sslrootcert": root}
        return {name: value for name, value in given.items() if value}
    if mode == "verify-full":
        try:
            return {"ssl_context": ssl.create_default_context(cafile=root)}
        except OSError as error:
            raise LedgerError(f"ledger: sslrootcert {root}: {error}") from None
    if root is not None:
        raise LedgerError("ledger: sslrootcert goes with sslmode=verify-full")
    return {} if mode in (None, "prefer") else {"ssl_context": mode == "require"}


def _exists(db: sa.Connection, schema: str) -> bool:
    query = sa.text("SELECT to_regclass(:name) IS NOT NULL")
    return bool(db.execute(query, {"name": f"{schema}.ledger"}).scalar_one())


def _create(db: sa.Connection, schema: str) -> None:
    script = [f"CREATE SCHEMA IF NOT EXISTS {schema};", _TABLES.format(s=schema, version=VERSION)]
    for name, (table, when, source) in _GUARDS.items():
        script += [
            f"CREATE FUNCTION {schema}.{name}() RETURNS trigger LANGUAGE plpgsql "
            f"AS $${source.format(s=schema)}$$;",
            f"CREATE TRIGGER {name} {when.format(s=schema)} EXECUTE FUNCTION {schema}.{name}();",
            # Also when a session says that it is a replica.
            f"ALTER TABLE {schema}.{table} ENABLE ALWAYS TRIGGER {name};",
        ]
    db.exec_driver_sql("\n".join(script))


def _words(error: BaseException | None) -> str:
    """What the server said, or the driver."""
    first = error.args[0] if error is not None and error.args else error
    return str(first["M"]) if isinstance(first, dict) and "M" in first else str(first)
