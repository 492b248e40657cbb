"""The command line as its users type it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import skops.io
from click.testing import CliRunner, Result

from hitl_audit.cli import main

PASSPHRASE = "correct horse battery"


def call(
    *words: str | Path,
    code: int = 0,
    stdin: str | None = None,
    env: dict[str, str] | None = None,
) -> Result:
    result = CliRunner().invoke(main, [str(w) for w in words], input=stdin, env=env)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def folder(mortgage_folder: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "mortgage"
    shutil.copytree(mortgage_folder, copy)
    return copy


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small audit of one's own, as its folder looks before the first run."""
    from sklearn.linear_model import LogisticRegression

    home: Path = tmp_path_factory.mktemp("own") / "audit"
    home.mkdir()
    frame = pd.DataFrame(
        {
            "income": [float(i % 17) for i in range(160)],
            "sex": ["female" if i % 2 else "male" for i in range(160)],
            "paid": [int(i % 17 > 5 or i % 7 == 0) for i in range(160)],
        }
    )
    frame.to_csv(home / "test.csv", index=False)
    skops.io.dump(LogisticRegression().fit(frame[["income"]], frame["paid"]), home / "model.skops")
    (home / "audit.toml").write_text(
        '[audit]\ntitle = "Small"\n[model]\npath = "model.skops"\n'
        '[data]\npath = "test.csv"\ntarget = "paid"\nsensitive = ["sex"]\n'
        '[[criteria]]\nmetric = "selection_rate"\nby = "sex"\nat_least = 0.5\n'
        '[explain]\nmethods = ["shap"]\n[review]\ncases = 5\n'
    )
    return home


def test_an_own_audit_from_run_to_signed_and_verified(small: Path, tmp_path: Path) -> None:
    home = tmp_path / "audit"
    shutil.copytree(small, home)
    found = call("run", home).output
    assert "F1  ✓ met" in found
    assert f"Next: hitl-audit report {home}" in found
    assert "sign" in call("report", home).output
    key = tmp_path / "keys" / "me.p12"
    env = {"HITL_AUDIT_PASSPHRASE": PASSPHRASE}
    made = json.loads(
        call("keys", "new", "--name", "Dora Data", "--out", key, "--json", env=env).output
    )
    assert key.stat().st_mode & 0o777 == 0o600
    assert "DRAFT: its parts agree" in call("verify", home, code=3).output
    sign = ("sign", home, "--role", "data scientist", "--key", key)
    before = (home / "report.pdf").read_bytes()
    declined = call(*sign, env=env, stdin="n\n", code=3).output
    assert "You state:     “I ran this audit as described" in declined
    assert "Changed since: nothing, since the document was made" in declined
    assert (home / "report.pdf").read_bytes() == before
    signed = call(*sign, env=env, stdin="y\n").output
    assert "Still open: Domain expert, Compliance officer" in signed
    words = call("verify", home, code=3).output
    assert "VALID, but a signer is unknown to you" in words
    trusted = call("verify", home, "--trust", made["fingerprint"], "--json", code=3).output
    assert json.loads(trusted)["signatures"][0]["name"] == "Dora Data"
    again = call("report", home, code=2).output
    assert "a new report would lose these signatures" in again
    call("report", home, "--replace")
    # What the signature before left in the folder is gone with it.
    assert not list(home.glob("manifest.*.*")) + list(home.glob("*.dsse.json"))
    call("verify", home, code=3)


@pytest.mark.parametrize(
    ("threshold", "code", "word"), [("0.5", 0, "met"), ("0.99", 3, "insufficient data")]
)
def test_exit_codes_follow_the_findings(
    small: Path, tmp_path: Path, threshold: str, code: int, word: str
) -> None:
    home = tmp_path / "audit"
    shutil.copytree(small, home)
    plan = (home / "audit.toml").read_text().replace("at_least = 0.5", f"at_least = {threshold}")
    (home / "audit.toml").write_text(plan)
    answer = json.loads(call("run", home, "--json", code=code).output)
    assert answer["status"] == word


def test_a_promise_that_is_broken_exits_with_1(small: Path, tmp_path: Path) -> None:
    home = tmp_path / "audit"
    shutil.copytree(small, home)
    plan = (home / "audit.toml").read_text()
    plan = plan.replace('by = "sex"\nat_least = 0.5', 'compare = "value"\nat_most = 0.2')
    (home / "audit.toml").write_text(plan)
    assert "✕ not met" in call("run", home, code=1).output
    (home / "audit.toml").write_text(plan.replace("0.2", "1.0"))
    refused = call("run", home, code=2).output
    assert "the plan changed after results exist" in refused
    call("run", home, "--reregister", "the limit was a typing error")
    lock = json.loads((home / "plan.lock.json").read_text())
    assert lock["registrations"][-1]["after_results"] is True


def test_init_writes_a_plan_that_is_read_and_overwrites_nothing(tmp_path: Path) -> None:
    from hitl_audit.plan import AuditPlan

    made = call("init", tmp_path / "new").output
    assert "audit.toml, audit.ipynb" in made
    AuditPlan.from_toml((tmp_path / "new" / "audit.toml").read_bytes())
    before = (tmp_path / "new" / "audit.toml").read_bytes()
    assert "exists already" in call("init", tmp_path / "new", code=2).output
    assert (tmp_path / "new" / "audit.toml").read_bytes() == before
    said = call("run", tmp_path / "new", code=2).output
    assert 'data.path is "test.parquet": there is no such file' in said
    assert "accepted: mortgage" in call("init", tmp_path / "x", "--example", "m", code=2).output
    call("init", tmp_path / "example", "--example", "mortgage")
    assert (tmp_path / "example" / "model.skops").exists()


def test_the_demonstration_is_signed_verified_and_explained(folder: Path) -> None:
    result = json.loads(call("verify", folder, "--json", code=3).output)
    assert result["document"].startswith("Mortgage approvals, Boston · HA-")
    assert (
        "  What?           Mortgage approvals, Boston · HA-"
        in call("verify", folder, code=3).output
    )
    outcomes = {c["id"]: c["outcome"] for c in result["checks"]}
    # No judgments were made, and two roles have not signed: both are said.
    assert outcomes.pop("ledger") == outcomes.pop("lock") == "not done"
    assert outcomes.pop("roles") == "warn"
    assert outcomes.pop("signers") == "warn"
    assert set(outcomes.values()) == {"pass"}
    assert result["open_roles"] == ["Domain expert", "Compliance officer"]
    pdf = (folder / "report.pdf").read_bytes()
    (folder / "report.pdf").write_bytes(pdf[:2000] + bytes([pdf[2000] ^ 1]) + pdf[2001:])
    assert "INVALID" in call("verify", folder, code=1).output


def test_the_demonstration_says_what_was_found(tmp_path: Path, mortgage_folder: Path) -> None:
    out = tmp_path / "again"
    shutil.copytree(mortgage_folder, out)
    said = call("demo", "--out", out).output
    assert "they approved" in said
    assert "74.3% of" in said
    assert "? insufficient data" in said
    assert "Human oversight: not assessed: no judgments recorded." in said
    assert str(out / "report.pdf") in said
    (out / "audit.toml").write_text('[audit]\ntitle = "mine"\n')
    refused = call("demo", "--out", out, code=2).output
    assert "is another plan than the example's" in refused
    assert (out / "audit.toml").read_text() == '[audit]\ntitle = "mine"\n'


BAD = {
    "no folder": (["run", "nowhere"], "nowhere is not a folder"),
    "no results": (["report", "{small}"], "has no results yet"),
    "no report": (
        ["sign", "{small}", "--role", "data scientist", "--key", "{key}"],
        "has no report.pdf yet",
    ),
    "no file to verify": (["verify", "nowhere.pdf"], "nowhere.pdf"),
    "no key": (["sign", "{small}", "--role", "x", "--key", "no.p12"], "no such key"),
    "no passphrase file": (
        ["keys", "new", "--name", "A", "--out", "{key}2", "--passphrase-file", "no.txt"],
        "no.txt: No such file",
    ),
    "bad trust": (["verify", "{small}/test.csv", "--trust", "zz"], "zz"),
}


@pytest.mark.parametrize("name", BAD)
def test_mistakes_exit_with_2_and_one_message(name: str, small: Path, tmp_path: Path) -> None:
    key = tmp_path / "k.p12"
    env = {"HITL_AUDIT_PASSPHRASE": PASSPHRASE}
    call("keys", "new", "--name", "A", "--out", key, env=env)
    words, message = BAD[name]
    filled = [w.format(small=small, key=key) for w in words]
    result = call(*filled, code=2, env=env)
    assert message in result.output
    assert result.output.startswith("hitl-audit: ")


def test_mistakes_are_json_too() -> None:
    result = call("run", "nowhere", "--json", code=2)
    assert "nowhere is not a folder" in json.loads(result.stdout)["error"]


def test_a_passphrase_is_asked_twice_and_never_shown(tmp_path: Path) -> None:
    key = tmp_path / "k.p12"
    answer = call(
        "keys",
        "new",
        "--name",
        "A",
        "--out",
        key,
        stdin=f"{PASSPHRASE}\nother\n{PASSPHRASE}\n{PASSPHRASE}\n",
    ).output
    assert PASSPHRASE not in answer
    assert "do not match" in answer
    assert (
        "is never overwritten"
        in call(
            "keys",
            "new",
            "--name",
            "A",
            "--out",
            key,
            code=2,
            env={"HITL_AUDIT_PASSPHRASE": PASSPHRASE},
        ).output
    )


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ
    )
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


HEAVY = {"numpy", "pandas", "scipy", "sklearn", "shap", "lime", "fairlearn", "matplotlib", "plotly"}


@pytest.mark.parametrize("code", ["import hitl_audit", "import hitl_audit.cli"])
def test_importing_loads_nothing_heavy(code: str) -> None:
    assert not loaded_by(code) & {*HEAVY, "pyhanko", "pydantic", "rich"}


def test_verify_needs_no_data_science(folder: Path) -> None:
    code = (
        "from hitl_audit.cli import main\n"
        f"try: main(['verify', {str(folder)!r}])\n"
        "except SystemExit as e: assert e.code == 3, e.code"
    )
    assert not loaded_by(code) & {*HEAVY, "pydantic", "typst"}


def test_help_of_every_command_is_plain() -> None:
    for name in main.commands:
        words = call(name, "--help").output
        assert "Usage:" in words
        assert "--json" in words or name == "keys"
