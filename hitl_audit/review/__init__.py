"""People judge sampled cases; what they said is kept in a ledger and summarised."""
