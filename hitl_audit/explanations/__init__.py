"""Explanations in raw features, checked against the model they explain."""
