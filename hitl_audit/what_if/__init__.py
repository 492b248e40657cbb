"""What-if questions about one case: edits, the model's answers, and what could be otherwise.

::

    engine = WhatIf.of(model, X, background=background, constraints=[...], outcome="approval")
    history = engine.start("C0017")                    # a case of the data
    history = engine.edit(history, "income", 42)       # a new history; also undo(), redo()
    answer = engine.answer(history)                    # prediction, change, contributions, distance
    response_curve(engine, history, "income")          # ICE over PDP, with who is near
    nearest_counterpart(engine, history)               # a real person with the other decision
    find_counterfactuals(engine, history, seconds=2)   # small changes that flip the decision
    flip_protected(engine, history, "sex")             # the attribute alone, and what goes with it
    said = expect(engine, history, "debt", 3, "up")    # before the edit ...
    settle(engine, said, engine.edit(history, "debt", 3))   # ... and what came of it

Everything here is pure: no files, no clock but the one passed in, seeds as arguments. What is
tried out is exploratory and never enters a rate; a violated expectation becomes a check
(:mod:`~hitl_audit.what_if.checks`) that is evaluated on all the data.
"""
