"""The README, the environment file and the changelog say what is true."""

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import hitl_audit

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_help_blocks_equal_the_real_help() -> None:
    write_help = tool("write_help")
    assert len(write_help.BLOCK.findall(README)) >= 3
    assert write_help.renewed(README) == README, "renew them: python tools/write_help.py"


def test_environment_equals_the_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = {
        *project["dependencies"],
        *extras["audit"],
        *(d for d in extras["notebook"] if not d.startswith("hitl-audit")),
        *extras["examples"],
    }
    lines = (ROOT / "environment.yml").read_text().splitlines()
    listed = [line.removeprefix("      - ") for line in lines if line.startswith("      - ")]
    assert listed[-1] == "--no-deps -e ."
    assert listed[:-1] == sorted(wanted)


def test_the_locks_hold_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for lock, extras in (
        ("requirements.lock", ("audit", "notebook", "examples")),
        ("requirements-dev.lock", ("audit", "notebook", "examples", "dev")),
    ):
        locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / lock).read_text(), re.MULTILINE))
        wanted = [*project["dependencies"]]
        for extra in extras:
            wanted += project["optional-dependencies"][extra]
        names = {re.split(r"[<>=\[]", d)[0].lower() for d in wanted} - {"hitl-audit"}
        assert names <= locked, f"{lock} lacks {names - locked}: make lock"


def test_links_and_pictures_of_the_readme_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", README)
    for pair in links:
        target = pair[0] or pair[1]
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_names_used_in_the_readme_are_public() -> None:
    used = set(re.findall(r"\bha\.([A-Za-z_]+)", README))
    assert used
    assert used <= set(hitl_audit.__all__)


def test_the_changelog_has_unreleased_on_top() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert text.split("\n## ")[1].startswith("Unreleased")
