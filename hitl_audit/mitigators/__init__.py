"""Mitigation methods as functions, and decisions compared in pairs."""
