"""Published scores: mean Pearson correlation at 25 Hz over the neurons of each set.

From the per-cell table behind Berens et al. 2018, PLoS Comput Biol 14:e1006157. The submission's
own rates were scored after `scoring.published_transform`.
"""

SUBMISSION = "convi6"
"""The name of this submission in the tables below."""

TEST = {
    "MLspike": (0.601, 0.413, 0.400, 0.327, 0.438),
    "convi6": (0.580, 0.396, 0.419, 0.318, 0.455),
    "DeepSpike": (0.596, 0.404, 0.434, 0.319, 0.416),
    "Mineault": (0.585, 0.380, 0.480, 0.293, 0.420),
    "Elephant": (0.580, 0.374, 0.450, 0.288, 0.440),
    "Friedrich, Paninski": (0.589, 0.379, 0.407, 0.309, 0.412),
    "suite2p": (0.537, 0.379, 0.378, 0.285, 0.388),
    "Bolte": (0.549, 0.335, 0.387, 0.253, 0.386),
    "Machado, Paninski": (0.554, 0.366, 0.376, 0.270, 0.330),
    "Ringach": (0.561, 0.299, 0.407, 0.196, 0.349),
    "STM": (0.508, 0.349, 0.350, 0.254, 0.318),
    "oopsi": (0.472, 0.246, 0.264, 0.167, 0.178),
}
"""Test sets 1 to 5."""

TRAIN = {
    "MLspike": (0.513, 0.471, 0.475, 0.483, 0.481),
    "convi6": (0.507, 0.448, 0.485, 0.470, 0.465),
    "DeepSpike": (0.510, 0.449, 0.481, 0.473, 0.472),
    "Mineault": (0.553, 0.487, 0.595, 0.549, 0.546),
    "Elephant": (0.520, 0.462, 0.504, 0.494, 0.496),
    "Friedrich, Paninski": (0.500, 0.467, 0.469, 0.464, 0.481),
    "suite2p": (0.455, 0.427, 0.441, 0.419, 0.449),
    "Bolte": (0.555, 0.477, 0.494, 0.574, 0.490),
    "Machado, Paninski": (0.476, 0.407, 0.452, 0.436, 0.374),
    "Ringach": (0.467, 0.360, 0.453, 0.340, 0.369),
    "STM": (0.450, 0.412, 0.419, 0.386, 0.307),
    "oopsi": (0.371, 0.301, 0.318, 0.265, 0.185),
}
"""Training sets 1 to 5."""


def published_score(split: str, number: int, algorithm: str = SUBMISSION) -> float | None:
    """Mean correlation of an algorithm on a set, or None where none was published."""
    scores = (TEST if split == "test" else TRAIN)[algorithm]
    return scores[number - 1] if number <= len(scores) else None


def best_published(split: str, number: int) -> tuple[float, str] | None:
    """The best of the other algorithms on a set, as `(score, algorithm)`, or None."""
    others = [(published_score(split, number, name), name) for name in TEST if name != SUBMISSION]
    return max(((value, name) for value, name in others if value is not None), default=None)
