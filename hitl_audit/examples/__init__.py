"""The built-in audits: real data, plans and models."""
