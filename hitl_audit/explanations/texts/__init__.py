"""Models of texts, explained by their words."""
