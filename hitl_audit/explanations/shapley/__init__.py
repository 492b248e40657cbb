"""Shapley values: trees, linear models, and asking any model."""
