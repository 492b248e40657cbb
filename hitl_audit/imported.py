"""Objects that a plan names by import path: ``package.module:name``."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hitl_audit.errors import InputError, did_you_mean

__all__ = ["import_object", "importable", "is_import"]


@contextlib.contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Make modules beside the plan importable while they are looked up."""
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()  # the folder may be newer than what was looked up
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))


def import_object(path: str, field: str, folder: Path) -> Any:
    """The object that an import path names.

    Args:
        path: ``package.module:name``.
        field: the plan's key, for error messages.
        folder: the plan's folder; modules in it can be imported.

    Raises:
        InputError: no such module, or nothing of that name in it.
    """
    module_name, _, attribute = path.partition(":")
    with importable(folder):
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            raise InputError(
                f'{field} is "{path}": {error.msg}; expected package.module:name that can be '
                "imported here or from the plan's folder"
            ) from None
    if not hasattr(module, attribute):
        public = [name for name in dir(module) if not name.startswith("_")]
        raise InputError(
            f'{field} is "{path}": {module_name} has no "{attribute}"'
            + did_you_mean(attribute, public)
        )
    return getattr(module, attribute)


def is_import(path: str) -> bool:
    """Whether this is written as ``package.module:name``."""
    head, sep, tail = path.partition(":")
    return bool(sep) and tail.isidentifier() and all(p.isidentifier() for p in head.split("."))
