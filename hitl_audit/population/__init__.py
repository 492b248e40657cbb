"""All rows of an audit in one pass: what adds up exactly, and a random sample of the rows."""

from hitl_audit.population.part_counts import PartCounts, no_counts
from hitl_audit.population.population import (
    Population,
    measure_population,
    merged,
    population_of,
)
from hitl_audit.population.score_pass import ScorePass, score_pass

__all__ = [
    "PartCounts",
    "Population",
    "ScorePass",
    "measure_population",
    "merged",
    "no_counts",
    "population_of",
    "score_pass",
]
