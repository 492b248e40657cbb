"""What a slice of the data is: conditions in words, the search, how errors are measured."""
