"""Dated regulation profiles as data, and their loader."""
