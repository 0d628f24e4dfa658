"""Somebody's own recording: its files (`formats`), its way to the network's input and back
(`preparation`, `pipeline`), its trust, its calibration; and recordings with known spikes.

Not here: the competition's own tables and treatment (`competition`).
"""
