"""Placeholder door; see the real one below."""
