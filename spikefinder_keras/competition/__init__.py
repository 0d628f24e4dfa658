"""The Spikefinder competition: its tables, its preprocessing, its scores, the published results, a
simulation of it, and the whole submission.

Not here: recordings of any other form (`recordings`).
"""
