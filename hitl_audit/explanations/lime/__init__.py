"""LIME weights from one shared neighbourhood."""
