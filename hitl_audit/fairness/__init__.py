"""Group metrics with exact counts and intervals."""
