"""Notebook widgets; they show, and hold no arithmetic."""
