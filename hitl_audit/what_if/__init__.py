"""What-if questions about one case: edits, the model's answers, and what could be otherwise."""
