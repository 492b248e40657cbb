"""The browser's side of the widgets, put together from its files.

A widget is one module: what several widgets share is written once, in files
without imports and exports, and set before the file that renders.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["css_of", "esm_of"]

_HERE = Path(__file__).parent


def esm_of(*names: str) -> str:
    """One module from several files, the last of which exports."""
    return "\n".join((_HERE / f"{name}.js").read_text("utf-8") for name in names)


def css_of(*names: str) -> str:
    """One style sheet from several files."""
    return "\n".join((_HERE / f"{name}.css").read_text("utf-8") for name in names)
