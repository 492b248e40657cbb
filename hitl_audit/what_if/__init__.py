"""What-if questions about one case: edits, the model's answer to them, and what could be otherwise."""
