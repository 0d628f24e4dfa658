"""The network: its architecture, its recurrent layer, its weights, and calcium in, rates out.

Not here: how it is trained (`training`), and where its input comes from.
"""
