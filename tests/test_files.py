import os
from pathlib import Path

import pytest

from hitl_audit.files import write_atomically


def test_writes_a_new_file_and_replaces_an_old_one(tmp_path: Path) -> None:
    target = tmp_path / "report.pdf"
    assert write_atomically(target, b"first") == target
    write_atomically(target, b"second")
    assert target.read_bytes() == b"second"
    assert [file.name for file in tmp_path.iterdir()] == ["report.pdf"]


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path: Path) -> None:
    target = tmp_path / "report.pdf"
    write_atomically(target, b"first")
    with pytest.raises(TypeError):
        write_atomically(target, "text, not bytes")  # type: ignore[arg-type]
    assert target.read_bytes() == b"first"
    assert [file.name for file in tmp_path.iterdir()] == ["report.pdf"]


def test_a_name_taken_by_a_folder_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "report.pdf"
    (folder / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        write_atomically(folder, b"data")
    assert [file.name for file in tmp_path.iterdir()] == ["report.pdf"]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        written = write_atomically(tmp_path / "report.pdf", b"data")
    finally:
        os.umask(old)
    assert written.stat().st_mode & 0o777 == 0o640
