"""The page a domain expert opens: the review widgets, served without code."""
