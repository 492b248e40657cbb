"""Profiles in lines for people."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from hitl_audit.profiles.loader import Profile

__all__ = ["listed_words", "profile_words"]

WIDTH = 92


def _paragraph(text: str, indent: str = "  ") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def listed_words(profiles: Sequence[Profile]) -> str:
    """One entry per profile: id, title, how old, what it asks for, and any warning."""
    entries = []
    for one in profiles:
        lines = [
            f"{one.id}  ({one.jurisdiction}; {one.status}, as of {one.as_of.isoformat()})",
            _paragraph(one.title),
            _paragraph(one.summary),
        ]
        if one.superseded_by:
            lines.append(_paragraph(f"Superseded by {one.superseded_by}."))
        entries.append("\n".join(lines))
    how = (
        "Name one in the plan under [[profiles]]; several can be combined, and the id can be the "
        "path of your own .toml file. “hitl-audit profiles ID” explains one."
    )
    return "\n\n".join([*entries, textwrap.fill(how, WIDTH)])


def profile_words(profile: Profile) -> str:
    """Everything that one profile says."""
    parts = [listed_words([profile]).rpartition("\n\n")[0]]
    if profile.warning:
        parts.append("Warning\n" + _paragraph(profile.warning))
    groups = (
        ("Rules", [f"{r.text} ({r.source})" if r.source else r.text for r in profile.rules]),
        (
            "Blanks that only people can fill",
            [f"{b.id}: {b.label} ({b.by})" for b in profile.blanks],
        ),
        ("Answered in", [f"{r.text} ({r.source}): {r.answered_in}" for r in profile.requirements]),
        ("Sources", [" ".join(filter(None, (s.citation, s.url, s.note))) for s in profile.sources]),
    )
    for title, texts in groups:
        if texts:
            parts.append("\n".join([title, *(_paragraph(f"· {text}") for text in texts)]))
    return "\n\n".join(parts)
