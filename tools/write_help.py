"""Renew the help blocks of README.md: python tools/write_help.py."""

import re
from pathlib import Path

from click.testing import CliRunner

from hitl_audit.cli import main

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCK = re.compile(r"(<!-- help: ?([a-z ]*)-->\n```text\n)(.*?)(```)", re.DOTALL)


def help_of(command: str) -> str:
    words = [*command.split(), "--help"]
    return CliRunner().invoke(main, words, prog_name="hitl-audit").output


def renewed(text: str) -> str:
    return BLOCK.sub(lambda m: f"{m[1]}{help_of(m[2])}{m[4]}", text)


if __name__ == "__main__":
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")
