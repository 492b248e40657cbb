import shutil
from pathlib import Path

import pytest

from hitl_audit.dossier import Dossier
from hitl_audit.errors import InputError, PlanError

PLAN = b'[audit]\ntitle = "T"\n'


def test_a_folder_that_is_no_audit_is_named(tmp_path: Path) -> None:
    (tmp_path / "mortgage").mkdir()
    with pytest.raises(InputError, match=r'mortgag is not a folder; did you mean "mortgage"'):
        Dossier(tmp_path / "mortgag").plan()
    with pytest.raises(InputError, match=r"has no audit\.toml"):
        Dossier(tmp_path / "mortgage").plan()


def test_results_before_a_run_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "audit.toml").write_bytes(PLAN)
    with pytest.raises(InputError, match="has no results yet; make them with"):
        Dossier(tmp_path).evidence()
    with pytest.raises(PlanError, match="is not the plan that the results were made under"):
        Dossier(tmp_path).registered_plan()


def test_results_that_are_not_whole_are_said(tmp_path: Path) -> None:
    dossier = Dossier(tmp_path)
    dossier.replace_results({"evidence.json": b"1"})
    with pytest.raises(InputError, match=r"sample\.json is missing, so the results are not whole"):
        dossier.sample()


def test_results_are_replaced_as_a_whole(tmp_path: Path) -> None:
    dossier = Dossier(tmp_path)
    dossier.replace_results({"evidence.json": b"1", "old.parquet": b"x"})
    dossier.replace_results({"evidence.json": b"2"})
    assert dossier.evidence() == b"2"
    assert [p.name for p in dossier.results_path.iterdir()] == ["evidence.json"]
    assert [p.name for p in tmp_path.iterdir()] == ["results"]


def test_an_interrupted_replacement_leaves_the_last_good_results(tmp_path: Path) -> None:
    dossier = Dossier(tmp_path)
    dossier.replace_results({"evidence.json": b"1"})
    # Killed while the new ones were being written:
    (tmp_path / ".results.new").mkdir()
    assert dossier.evidence() == b"1"
    # Killed between taking the old ones away and putting the new ones there:
    (tmp_path / ".results.new").mkdir()
    dossier.results_path.rename(tmp_path / ".results.old")
    assert dossier.results_exist
    assert dossier.evidence() == b"1"
    # Killed before the old ones were removed:
    shutil.copytree(dossier.results_path, tmp_path / ".results.old")
    assert dossier.evidence() == b"1"
    assert [p.name for p in tmp_path.iterdir()] == ["results"]
