"""All rows of an audit in one pass: what adds up exactly, and a random sample of the rows."""
