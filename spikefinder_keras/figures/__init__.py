"""Whatever is drawn: plots from arrays, the network's diagram, the gallery of a submission, and the
page on how far to trust a prediction.

Not here: what is drawn; the numbers come from the other rooms.
"""
