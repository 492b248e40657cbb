import os
import subprocess
import sys

import pytest

import hitl_audit


def test_the_door_is_sorted_and_complete() -> None:
    assert hitl_audit.__all__ == sorted(hitl_audit.__all__)
    assert set(hitl_audit.__all__) == set(hitl_audit._HOMES)
    assert dir(hitl_audit) == hitl_audit.__all__


@pytest.mark.parametrize("name", hitl_audit.__all__)
def test_every_public_name_is_there_and_explained(name: str) -> None:
    value = getattr(hitl_audit, name)
    assert value.__name__ == name
    assert value.__doc__
    assert value.__module__.startswith("hitl_audit.")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'explian'"):
        hitl_audit.explian  # noqa: B018


def test_a_part_that_is_not_installed_is_named() -> None:
    """Where only the core is installed, asking for an audit says what to install."""
    script = (
        "import sys\n"
        "sys.modules['pandas'] = None\n"
        "import hitl_audit\n"
        "try: hitl_audit.Audit\n"
        "except hitl_audit.AuditError as e: print(type(e).__name__, e)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.startswith("MissingDependencyError hitl_audit.Audit needs pandas")
    assert 'pip install "hitl-audit[audit]"' in done.stdout
