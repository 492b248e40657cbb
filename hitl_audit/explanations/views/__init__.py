"""Other views of a model: effects, importance, surrogates, rules, reasons."""
