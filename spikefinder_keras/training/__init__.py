"""Training: the run, its traces, its loss.

Here: whatever changes weights. Not here: the network itself (`network`), or how its rates are
scored (`competition.scoring`).
"""
