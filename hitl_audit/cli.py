"""The command line. Each command's body calls one function and prints what it answered."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import click

from hitl_audit.errors import AuditError, InputError, MissingDependencyError

__all__ = ["main"]

PASSPHRASE_VARIABLE = "HITL_AUDIT_PASSPHRASE"  # noqa: S105
MEMORY = 2 << 30  # bytes of address space that `verify` may take on top
STATUS_EXIT = {"met": 0, "not met": 1, "insufficient data": 3, "not assessed": 3}
NEEDS_AUDIT = (
    "this command needs the parts of hitl-audit that run audits, and {} is not installed; install "
    'them with: pip install "hitl-audit[audit]"'
)


def _now() -> datetime:
    return datetime.now(UTC)


def _say(text: str = "") -> None:
    click.echo(text)


def _json(value: Any) -> None:
    from hitl_audit.canonical import plain

    click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))


def _command(body: Callable[..., int | None]) -> Callable[..., NoReturn]:
    """Turn a user's mistake into one clear message and exit code 2, never a traceback."""

    @wraps(body)
    def run(*args: Any, **kwargs: Any) -> NoReturn:
        def refuse(message: str) -> NoReturn:
            click.echo(f"hitl-audit: {message}", err=True)
            if kwargs.get("as_json"):
                _json({"error": message})
            sys.exit(2)

        try:
            code = body(*args, **kwargs)
        except AuditError as error:
            refuse(str(error))
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] == "hitl_audit":
                raise
            refuse(str(MissingDependencyError(NEEDS_AUDIT.format(error.name))))
        except OSError as error:
            refuse(f"{error.filename or 'file'}: {error.strerror or error}")
        except KeyboardInterrupt:
            click.echo("\nhitl-audit: stopped; what was there before is unchanged", err=True)
            sys.exit(130)
        sys.exit(code or 0)

    return run


as_json = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")


@contextmanager
def _steps() -> Iterator[Callable[[str, float], None]]:
    """Progress on standard error: a bar in a terminal, nothing in a pipe."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    with Progress(
        BarColumn(30),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda step, share: bar.update(task, description=step, completed=share)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "terminal_width": 88})
@click.version_option(package_name="hitl-audit", prog_name="hitl-audit")
def main() -> None:
    """Audit a model that decides about people, and sign what was found."""


@main.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("reports/mortgage"),
    show_default=True,
    help="Folder for the audit; made if needed.",
)
@click.option(
    "--simulate-reviewers",
    is_flag=True,
    help="Let a program judge the cases; every page then says SIMULATED JUDGMENTS.",
)
@as_json
@_command
def demo(out: Path, simulate_reviewers: bool, as_json: bool) -> int:
    """Run the built-in mortgage audit, from real data to a signed, verified PDF."""
    from hitl_audit.demo import demonstrate
    from hitl_audit.words import demonstration_words

    with _steps() as progress:
        made = demonstrate(out, now=_now, progress=progress, simulate_reviewers=simulate_reviewers)
    if as_json:
        _json(
            {
                "folder": str(made.folder),
                "report": str(made.folder / "report.pdf"),
                "findings": made.results.findings,
                "verification": made.verification.to_dict(),
            }
        )
    else:
        _say(demonstration_words(made))
    return 0


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--example", metavar="NAME", help="Start from a built-in audit: mortgage.")
@as_json
@_command
def init(folder: Path, example: str | None, as_json: bool) -> int:
    """Write a commented plan, and a notebook, into a new audit folder."""
    from hitl_audit.start import start_audit

    written = start_audit(folder, example=example)
    if as_json:
        _json({"folder": str(folder), "written": [str(p) for p in written]})
    else:
        _say(f"Written to {folder}: {', '.join(p.name for p in written)}")
        _say(f"Next: edit {folder / 'audit.toml'}, then run: hitl-audit run {folder}")
    return 0


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--reregister",
    metavar="REASON",
    default="",
    help="Register a plan that was changed after results were known; the document says so.",
)
@click.option(
    "--engine",
    metavar="WHERE",
    default="local",
    show_default=True,
    help="Where more rows than memory holds are counted: local, or a Spark master "
    "(spark://…, local[2]) or a Spark Connect server (sc://…).",
)
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Processes of the local engine.",
)
@click.option("--resume", is_flag=True, help="Go on where an interrupted run stopped.")
@as_json
@_command
def run(
    folder: Path, reregister: str, engine: str, workers: int, resume: bool, as_json: bool
) -> int:
    """Register the plan, compute the results and print what was found.

    Exit code: 0 all criteria met, 1 some not met, 3 some undecided and none not met.
    """
    from hitl_audit.audit import Audit
    from hitl_audit.engine import open_engine
    from hitl_audit.words import findings_words

    with _steps() as progress, open_engine(engine, workers=workers) as where:
        audit = Audit.open(folder, engine=where, resume=resume, now=_now)
        results = audit.run(progress=progress, reregister=reregister)
    status = str(results.evidence.status)
    if as_json:
        _json(
            {
                "status": status,
                "findings": results.findings,
                "evidence": str(folder / "results" / "evidence.json"),
            }
        )
    else:
        _say(findings_words(results.evidence))
        _say(f"\nNext: hitl-audit report {folder}")
    return STATUS_EXIT[status] if results.findings else 0


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--reviewer", metavar="NAME", default="", help="Who judges; else the page asks.")
@click.option("--role", default="", help="As what; default: domain expert, or adjudicator.")
@click.option("--adjudicate", is_flag=True, help="Only cases on which reviewers differ.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Default: a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--user-header",
    metavar="HEADER",
    default="",
    help="A proxy says in this header who signed in; it must strip the browsers' own.",
)
@click.option("--base-url", default="/", show_default=True, help="Path under which a proxy has it.")
@click.option("--no-browser", is_flag=True, help="Do not open the page on this machine.")
@click.option("--no-preheat", is_flag=True, help="Save memory: start kernels only when asked.")
@as_json
@_command
def review(
    folder: Path,
    reviewer: str,
    role: str,
    adjudicate: bool,
    port: int,
    host: str,
    user_header: str,
    base_url: str,
    no_browser: bool,
    no_preheat: bool,
    as_json: bool,
) -> int:
    """Serve the page on which people judge cases, until Ctrl-C."""
    from hitl_audit.review_app.server import ReviewServer, serve_review

    def say(server: ReviewServer) -> None:
        if as_json:
            _json({"address": server.address, "folder": str(server.folder)})
        else:
            _say(f"The review page of {folder} is at\n\n  {server.address}\n")
            _say("Whoever has this address can judge. Every answer is saved at once; stop: Ctrl-C.")

    serve_review(
        folder,
        reviewer=reviewer,
        role=role or ("adjudicator" if adjudicate else "domain expert"),
        adjudicate=adjudicate,
        host=host,
        port=port,
        user_header=user_header,
        base_url=base_url,
        preheat=not no_preheat,
        open_browser=not (no_browser or as_json),
        say=say,
    )
    return 0


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--export", "out", metavar="FILE", help="Write all events: .csv, .parquet or .json.")
@click.option("--tasks", metavar="FILE", help="Write the drawn cases as Label Studio tasks, .json.")
@click.option("--import", "given", metavar="FILE", help="Answers: Label Studio .json, or .csv.")
@click.option("--source", metavar="NAME", default="", help="Name of where they were given.")
@click.option("--role", default="domain expert", show_default=True, help="As what people judged.")
@click.option("--with-model", is_flag=True, help="The model's answer is (was) on screen.")
@click.option("--leave-out-bad", is_flag=True, help="Record the good rows although some are bad.")
@as_json
@_command
def judgments(
    folder: Path,
    out: str | None,
    tasks: str | None,
    given: str | None,
    source: str,
    role: str,
    with_model: bool,
    leave_out_bad: bool,
    as_json: bool,
) -> int:
    """Take judgments out to a file, cases to Label Studio, or answers in."""
    from hitl_audit import judgment_files

    if sum(map(bool, (out, tasks, given))) != 1:
        raise InputError("expected one of --export FILE, --tasks FILE and --import FILE")
    if out:
        number = judgment_files.export_judgments(folder, out)
        told: dict[str, Any] = {"file": out, "events": number}
        words = f"{number} events written to {out}"
    elif tasks:
        made = judgment_files.write_tasks(folder, tasks, with_model=with_model)
        told = {"tasks": str(made.tasks), "config": str(made.config), "cases": made.cases}
        words = f"{made.cases} cases written to {made.tasks}; labeling configuration: {made.config}"
    else:
        report = judgment_files.import_judgments(
            folder,
            str(given),
            source=source or Path(str(given)).stem,
            role=role,
            with_model=with_model,
            now=_now,
            leave_out_bad=leave_out_bad,
        )
        told = {
            "recorded": report.recorded,
            "known": report.known,
            "bad": [row._asdict() for row in report.bad],
            "skipped": [row._asdict() for row in report.skipped],
        }
        words = "\n".join(
            [
                f"{report.recorded} answers recorded, {report.known} were there already",
                *(f"  bad, left out: {row.where}: {row.words}" for row in report.bad),
                *(f"  passed over: {row.where}: {row.words}" for row in report.skipped),
            ]
        )
    if as_json:
        _json(told)
    else:
        _say(words)
    return 0


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--resolve", metavar="ID", default="", help="Settle this one (its first characters).")
@click.option("--outcome", metavar="TEXT", default="", help="What was decided.")
@click.option("--rationale", metavar="TEXT", default="", help="Why.")
@click.option("--by", metavar="NAME", default="", help="Who settles it.")
@click.option("--role", default="", help="As what: the role that it went to.")
@as_json
@_command
def escalations(
    folder: Path, resolve: str, outcome: str, rationale: str, by: str, role: str, as_json: bool
) -> int:
    """List what was escalated, or settle one.

    Exit code: 0 none is open, 3 some are.
    """
    from hitl_audit.audit import Audit

    audit = Audit.open(folder, now=_now)
    if not audit.has_results:
        raise InputError(f'{folder} has no results; run "hitl-audit run {folder}" first')
    found = audit.escalations()
    if resolve:
        matching = [i.event_id for i in found.items if i.event_id.startswith(resolve)]
        if len(matching) != 1:
            raise InputError(
                f'"{resolve}" fits {len(matching)} escalations; accepted: '
                + (", ".join(i.event_id[:8] for i in found.items) or "none, nothing was escalated")
            )
        audit.resolve(matching[0], outcome=outcome, rationale=rationale, reviewer=by, role=role)
        found = audit.escalations()
    if as_json:
        _json({"escalations": found.items, "blocks_clean_opinion": found.blocks_clean_opinion})
    else:
        _say(found.words)
        for item in found.items:
            until = f", until {item.deadline[:10]}" if item.deadline else ""
            _say(
                f"  {item.event_id[:8]}  {item.status}: {item.condition}, {item.subject}; "
                f"for the {item.role}{until}"
            )
    return 3 if found.blocks_clean_opinion else 0


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Replace a report that is already signed.")
@click.option(
    "--since",
    metavar="AUDIT",
    type=click.Path(path_type=Path),
    help="An earlier audit (folder, PDF or evidence.json): the document says what moved.",
)
@click.option(
    "--view",
    default="full",
    show_default=True,
    help="full, summary (two pages), public (Local Law 144 posting), model-card, or reasons "
    "(of every unfavorable decision; for letters, not for publication).",
)
@as_json
@_command
def report(folder: Path, replace: bool, since: Path | None, view: str, as_json: bool) -> int:
    """Make the document: report.pdf, report.html and evidence.json; or a view of it."""
    from hitl_audit.documents import report_of, view_of
    from hitl_audit.files import write_atomically

    if view != "full":
        with _steps() as progress:
            progress(f"writing the {view}", 0.2)
            files = view_of(folder, view, now=_now())
            for name, data in files.items():
                write_atomically(folder / name, data)
        written = [str(folder / name) for name in files]
        if as_json:
            _json({"written": written})
        else:
            _say(f"Written: {', '.join(written)}")
        return 0
    with _steps() as progress:
        progress("writing the document", 0.2)
        made = report_of(folder, now=_now(), since=since)
        path = made.save(folder, replace=replace)
    if as_json:
        _json(
            {
                "report": str(path),
                "document_id": made.document.document_id,
                "roles": [f.role for f in made.signatures],
            }
        )
    else:
        _say(f"Written: {path}, {folder / 'report.html'}, {folder / 'evidence.json'}")
        first = made.plan_roles[0].role
        _say(f'Next: hitl-audit sign {folder} --role "{first}" --key KEY.p12')
    return 0


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("id", metavar="ID")
@click.option("--by", required=True, metavar="NAME", help="Who chooses.")
@click.option("--why", required=True, metavar="TEXT", help="Why this one, in plain words.")
@as_json
@_command
def choose(folder: Path, id: str, by: str, why: str, as_json: bool) -> int:
    """Record which of the searched alternatives a person chose; the document shows it.

    ID is the alternative's, as in the document or in results/evidence.json: A7.
    """
    from hitl_audit.choice import choose_in_folder

    chosen = choose_in_folder(folder, id, rationale=why, chosen_by=by, now=_now)
    if as_json:
        _json(chosen)
    else:
        _say(f"Recorded: {chosen.point.words} ({chosen.point.id}), chosen by {chosen.chosen_by}")
        _say(f"Next: hitl-audit report {folder}")
    return 0


def key_options(body: Callable[..., Any]) -> Callable[..., Any]:
    """Where the key is: a file, or a token."""
    for option in reversed(
        (
            click.option(
                "--key",
                "key_file",
                metavar="FILE",
                type=click.Path(path_type=Path),
                help="Your key (PKCS#12). Default: the one that 'keys new' makes.",
            ),
            click.option(
                "--passphrase-file",
                metavar="FILE",
                type=click.Path(path_type=Path),
                help="Read the passphrase (or PIN) from a file, "
                f"or set {PASSPHRASE_VARIABLE}; else you are asked.",
            ),
            click.option(
                "--token",
                "module",
                metavar="LIBRARY",
                type=click.Path(path_type=Path),
                help="Sign with a token: its PKCS#11 library.",
            ),
            click.option(
                "--token-label", default="", metavar="NAME", help="Which token, of several."
            ),
            click.option(
                "--key-label",
                default="",
                metavar="NAME",
                help="Which key of the token, of several.",
            ),
        )
    ):
        body = option(body)
    return body


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--role", required=True, metavar="ROLE", help="Who you sign as, as in the plan.")
@key_options
@click.option(
    "--level",
    type=click.Choice(["B-B", "B-T", "B-LT"]),
    help="PAdES level. Default: B-T with --timestamp-url, else B-B (needs no network).",
)
@click.option(
    "--timestamp-url", default="", metavar="URL", help="A timestamp authority (RFC 3161)."
)
@click.option(
    "--authority",
    "authorities",
    multiple=True,
    metavar="CERT",
    help="Certificate of an authority above you or the timestamp. Repeatable.",
)
@click.option("--yes", is_flag=True, help="Do not ask whether to sign what is shown.")
@as_json
@_command
def sign(
    folder: Path,
    role: str,
    key_file: Path | None,
    passphrase_file: Path | None,
    module: Path | None,
    token_label: str,
    key_label: str,
    level: str | None,
    timestamp_url: str,
    authorities: tuple[str, ...],
    yes: bool,
    as_json: bool,
) -> int:
    """Add this role's signature to report.pdf in DIR.

    What you state by signing, and what changed since the signature before, is
    shown first, and you are asked.
    """
    from hitl_audit.sign_off import preview_signature, sign_folder
    from hitl_audit.signing.assurance import assurance_for

    assurance = assurance_for(level, timestamp_url, authorities)
    with _signing_key(key_file, passphrase_file, module, token_label, key_label) as key:
        preview = preview_signature(folder, key, role=role, now=_now())
        if not as_json:
            _say(preview.words())
        if not (yes or as_json) and not click.confirm("\nSign this?", default=False):
            _say("Nothing was signed.")
            return 3
        with _steps() as progress:
            progress("signing", 0.1)
            signed = sign_folder(folder, key, role=role, now=_now(), assurance=assurance)
    if as_json:
        _json(
            {
                "report": str(folder / "report.pdf"),
                "role": role,
                "fingerprint": key.fingerprint,
                "level": assurance.level,
                "signed": preview,
            }
        )
        return 0
    _say(f"\nSigned as {role} ({assurance.level}): {folder / 'report.pdf'}")
    still = [f.role for f in signed if not f.signed]
    _say(f"Still open: {', '.join(still)}" if still else "Every role has signed.")
    return 0


@contextmanager
def _signing_key(
    key_file: Path | None,
    passphrase_file: Path | None,
    module: Path | None,
    token_label: str,
    key_label: str,
) -> Iterator[Any]:
    """The signer's key, from a file or for as long as a token is open."""
    from hitl_audit.signing.keys import default_key_path, load_key

    if module is not None:
        from hitl_audit.signing.token import open_token

        pin = _passphrase(passphrase_file, f"PIN of the token {token_label}".rstrip()).decode()
        with open_token(module, pin, token=token_label, label=key_label, now=_now) as key:
            yield key
        return
    path = key_file or default_key_path()
    if not path.exists():  # said before the passphrase is asked for
        load_key(path, b"")
    yield load_key(path, _passphrase(passphrase_file, f"Passphrase of {path}"), now=_now)


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, metavar="FILE", type=click.Path(path_type=Path), help="The copy."
)
@click.option("--timestamp-url", required=True, metavar="URL", help="A timestamp authority.")
@click.option(
    "--authority",
    "authorities",
    multiple=True,
    required=True,
    metavar="CERT",
    help="Certificate of an authority above signers or the timestamp. Repeatable.",
)
@as_json
@_command
def archive(
    folder: Path, out: Path, timestamp_url: str, authorities: tuple[str, ...], as_json: bool
) -> int:
    """Make a copy of the signed report for the archive (PAdES B-LTA).

    The copy carries a timestamp over everything, and what proves that nobody
    was revoked. Make another from it before its timestamp's authority expires.
    """
    from hitl_audit.files import write_atomically
    from hitl_audit.signing.assurance import archive_copy
    from hitl_audit.signing.trust import read_trust

    source = folder / "report.pdf" if folder.is_dir() else folder
    with _steps() as progress:
        progress("asking the authorities", 0.1)
        made = archive_copy(
            source.read_bytes(),
            timestamp_url=timestamp_url,
            authorities=read_trust(authorities).authorities,
            now=_now,
        )
        write_atomically(out, made)
    if as_json:
        _json({"archive": str(out)})
    else:
        _say(f"Written: {out}")
    return 0


@main.command()
@click.argument("path", metavar="FILE-or-DIR", type=click.Path(path_type=Path))
@click.option(
    "--trust",
    multiple=True,
    metavar="CERT",
    help="Trust this certificate: a PEM or DER file, or a SHA-256 fingerprint. "
    "Also a revocation list (CRL) of an authority. Repeatable.",
)
@click.option(
    "--archive-time",
    is_flag=True,
    help="Judge an archive copy at the time of its last timestamp, not today.",
)
@click.option(
    "--recompute",
    is_flag=True,
    help="Derive every number again, from the folder's plan, model and data.",
)
@as_json
@_command
def verify(
    path: Path, trust: tuple[str, ...], archive_time: bool, recompute: bool, as_json: bool
) -> int:
    """Check a report: intact? who signed? when? changed since?

    Reads a PDF, the folder of an audit, or a zip file of one.

    Exit code: 0 valid, 1 invalid, 3 valid but a signer is unknown or has not signed yet.
    """
    from hitl_audit.verification import verify as check

    with _limited_memory(), _steps() as progress:
        progress("checking the document", 0.1)
        result = check(path, trust=trust, archive_time=archive_time, now=_now)
    if not recompute:
        if as_json:
            _json(result.to_dict())
        else:
            _say(result.words())
        return result.exit_code
    from hitl_audit.recomputing import recompute_folder

    with _steps() as progress:
        again = recompute_folder(path, now=_now, progress=progress)
    if as_json:
        _json(result.to_dict() | {"recomputed": again, "same": again.same})
    else:
        _say(result.words())
        _say("\n" + again.words())
    return result.exit_code if again.same else 1


@contextmanager
def _limited_memory() -> Iterator[None]:
    """A hostile file must not take the machine's memory (where the system can see to it)."""
    taken = Path("/proc/self/statm")
    if not taken.exists():
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = int(taken.read_text().split()[0]) * resource.getpagesize() + MEMORY
    limits = [limit for limit in (wanted, soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@main.group()
def keys() -> None:
    """Make and look at signing keys."""


KEY_ARGUMENT = click.argument(
    "key", metavar="[KEY]", required=False, type=click.Path(path_type=Path)
)


@keys.command("new")
@click.option("--name", required=True, help="Your name, as it shall appear in documents.")
@click.option("--email", default="", help="Your email address.")
@click.option("--organization", default="", help="Your organization.")
@click.option(
    "--type",
    "kind",
    type=click.Choice(["p256", "rsa3072", "rsa4096"]),
    default="p256",
    show_default=True,
    help="Kind of key.",
)
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where to write it. Default: ~/.config/hitl-audit/key.p12",
)
@click.option(
    "--passphrase-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help=f"Read the passphrase from a file (or set {PASSPHRASE_VARIABLE}); else you are asked.",
)
@as_json
@_command
def keys_new(
    name: str,
    email: str,
    organization: str,
    kind: Any,
    out: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> int:
    """Make a self-signed signing key (PKCS#12, protected by a passphrase)."""
    from hitl_audit.signing.keys import default_key_path, new_key

    path = out or default_key_path()
    if path.exists():
        raise _key_exists(path)
    secret = _passphrase(passphrase_file, "New passphrase", confirm=True)
    key = new_key(
        path,
        name=name,
        email=email,
        organization=organization,
        passphrase=secret,
        kind=kind,
        now=_now,
    )
    if as_json:
        _json({"key": str(path), "name": key.name, "fingerprint": key.fingerprint, "type": kind})
        return 0
    _say(f"Written: {path} (keep it, and the passphrase, to yourself)")
    _say(f"Written: {path.with_suffix('.pem')} (the certificate; it is public)")
    _say(f"Fingerprint: {key.fingerprint_words}")
    _say("Give this fingerprint to those who will verify your signature, by another way than the")
    _say("report itself: in person, or on your organization's website.")
    return 0


def _key_exists(path: Path) -> AuditError:
    from hitl_audit.errors import SigningError

    return SigningError(
        f"{path}: exists already; a key is never overwritten. For a new key beside it give "
        f"another file: --out {path.with_stem(path.stem + '-2')}"
    )


@keys.command("list")
@as_json
@_command
def keys_list(as_json: bool) -> int:
    """Show your keys, and when they expire."""
    from hitl_audit.signing.keys import default_key_path
    from hitl_audit.signing.keystore import stored_keys

    found = stored_keys(_now())
    if as_json:
        _json([{**plain_key(key)} for key in found])
        return 0
    if not found:
        _say(f"No keys in {default_key_path().parent}; make one with: hitl-audit keys new")
    for key in found:
        _say(f"{key.path}: {key.name}, {key.kind}, {key.state} until {key.not_after:%Y-%m-%d}")
        for problem in key.problems:
            _say(f"  Warning: {problem}")
    return 0


@keys.command("show")
@KEY_ARGUMENT
@as_json
@_command
def keys_show(key: Path | None, as_json: bool) -> int:
    """Show one key: whose it is, its strength, its fingerprint.

    KEY is its file. Default: ~/.config/hitl-audit/key.p12
    """
    from hitl_audit.signing.keys import default_key_path
    from hitl_audit.signing.keystore import read_stored_key

    found = read_stored_key(key or default_key_path(), _now())
    if as_json:
        _json(plain_key(found))
        return 0
    _say(f"File:        {found.path}")
    _say(f"Name:        {', '.join(filter(None, (found.name, found.email)))}")
    _say(f"Type:        {found.kind}")
    _say(f"Valid:       {found.not_before:%Y-%m-%d} to {found.not_after:%Y-%m-%d} ({found.state})")
    _say(f"Fingerprint: SHA-256 {found.fingerprint}")
    for problem in found.problems:
        _say(f"Warning:     {problem}")
    return 0


@keys.command("export")
@KEY_ARGUMENT
@click.option(
    "--format",
    "form",
    type=click.Choice(["pem", "der", "ssh", "allowed-signers"]),
    default="pem",
    show_default=True,
    help="The certificate (pem, der), or the public key for ssh-keygen.",
)
@click.option(
    "--out", metavar="FILE", type=click.Path(path_type=Path), help="Default: standard output."
)
@_command
def keys_export(key: Path | None, form: Any, out: Path | None) -> int:
    """Write what of a key may be passed on: never the private key."""
    from hitl_audit.files import write_atomically
    from hitl_audit.signing.keys import default_key_path
    from hitl_audit.signing.keystore import export_key

    data = export_key(key or default_key_path(), form)
    if out is not None:
        write_atomically(out, data)
    else:
        click.echo(data, nl=False)
    return 0


def plain_key(key: Any) -> dict[str, Any]:
    """A stored key as JSON types."""
    return {
        "file": str(key.path),
        "name": key.name,
        "email": key.email,
        "type": key.kind,
        "fingerprint": key.fingerprint,
        "not_before": key.not_before,
        "not_after": key.not_after,
        "state": key.state,
        "problems": list(key.problems),
    }


def _passphrase(file: Path | None, prompt: str, *, confirm: bool = False) -> bytes:
    """From a file, the environment, or a hidden prompt; never from the command line."""
    if file is not None:
        return file.read_bytes().rstrip(b"\r\n")
    if PASSPHRASE_VARIABLE in os.environ:
        return os.environ[PASSPHRASE_VARIABLE].encode()
    secret: str = click.prompt(prompt, hide_input=True, confirmation_prompt=confirm)
    return secret.encode()


@main.command("explain-number")
@click.argument("path", metavar="REPORT", type=click.Path(path_type=Path))
@click.argument("number", metavar="ID")
@as_json
@_command
def explain_number_command(path: Path, number: str, as_json: bool) -> int:
    """Say where a number of a report comes from: function, parameters, data, seed.

    ID is T12.3.5 (table 12, row 3, column 5), F3.1.2 (figure 3, series 1, point 2), O2
    (line 2 of page one), S4.7 (section 4, text 7), or a number as it is printed: 88.8%.
    In report.html, the id of a number appears when the pointer rests on it.
    """
    from hitl_audit.provenance import explain_number
    from hitl_audit.report.opened import report_files

    files = report_files(path)
    found = explain_number(files.get("numbers.json", b""), files.get("evidence.json", b""), number)
    if as_json:
        _json(found)
    else:
        _say("\n\n".join(one.words() for one in found))
    return 0


@main.command("compare")
@click.argument("before", metavar="A", type=click.Path(path_type=Path))
@click.argument("after", metavar="B", type=click.Path(path_type=Path))
@as_json
@_command
def compare_command(before: Path, after: Path, as_json: bool) -> int:
    """Put two audits side by side: what moved from A to B, with intervals on the change.

    A and B are audit folders, reports (PDF) or evidence.json files.
    Exit code: 0 no promise is worse off, 1 at least one is.
    """
    from hitl_audit.compare import change_words, compare_audits
    from hitl_audit.evidence import read_evidence
    from hitl_audit.report.opened import opened_evidence

    found = compare_audits(*(read_evidence(opened_evidence(path)) for path in (before, after)))
    if as_json:
        _json(found)
    else:
        _say(change_words(found))
    return 1 if found.worse else 0


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("finding", metavar="FINDING")
@click.option("--severity", required=True, help="critical, high, medium or low.")
@click.option("--owner", required=True, metavar="NAME", help="Who sees to it.")
@click.option("--due", required=True, metavar="DAY", help="Until when: 2026-12-31.")
@click.option("--action", required=True, metavar="TEXT", help="What is to be done, or was.")
@click.option("--by", required=True, metavar="NAME", help="Who says so.")
@click.option("--state", default="open", show_default=True, help="open, done or accepted.")
@as_json
@_command
def act(
    folder: Path,
    finding: str,
    severity: str,
    owner: str,
    due: str,
    action: str,
    by: str,
    state: str,
    as_json: bool,
) -> int:
    """Record what is done about a finding, by whom and until when; the document shows it.

    FINDING is its id, as in the document: F3. Earlier records stay and are listed.
    """
    from hitl_audit.documents import record_follow_up

    made = record_follow_up(
        folder,
        finding,
        severity=severity,
        owner=owner,
        due=due,
        action=action,
        by=by,
        state=state,
        now=_now,
    )
    if as_json:
        _json(made)
    else:
        _say(f"Recorded: {made.finding}, {made.severity}, {made.owner} until {made.due}")
        _say(f"Next: hitl-audit report {folder}")
    return 0


@main.command("profiles")
@click.argument("profile", metavar="[ID]", required=False)
@as_json
@_command
def profiles_command(profile: str | None, as_json: bool) -> int:
    """List the regulation profiles, or explain one: rules, blanks, where it is answered.

    ID is a profile of the package, or the path of your own .toml file.
    """
    from hitl_audit.profiles.loader import list_profiles, load_profile
    from hitl_audit.profiles.words import listed_words, profile_words

    found = [load_profile(name) for name in ([profile] if profile else list_profiles())]
    if as_json:
        _json([one.model_dump(mode="json") for one in found])
    else:
        _say(profile_words(found[0]) if profile else listed_words(found))
    return 0
