"""Facts of the 2017 Spikefinder competition and of the submission "convi6", each with its source.

Sources: [code] the released program, github.com/kleskjr/spikefinder-solution, `src/convi.py`;
[weights] the released weights `model_convnet_6` beside it; [T16] Theis et al. 2016, Neuron
90:471-482; [B18] Berens et al. 2018, PLoS Comput Biol 14:e1006157; [data] the competition's files.
"""

SAMPLE_RATE = 100.0
"""Hz; every competition trace was resampled to it [data]."""

DATASET_COUNT = 10
"""Number of training sets, hence channels of the one-hot dataset ID [data]."""

TEST_DATASETS = 5
"""Sets 1 to 5 have a test split too [data]."""

SPLITS = ("train", "test")

SPLIT_LENGTH = {"train": 71_986, "test": 77_873}
"""Samples; the longest trace of each split, to which the released run padded all others [data]."""

PADDING_THAT_MATTERS = 3_000
"""Samples; zeros behind a trace beyond this many no longer change its prediction by more than
float32 round-off. The backward LSTM starts in them, so fewer change the end of a trace by up to
4e-3 (measured with the published weights)."""

MISSING_SPIKES = -1.0
"""Value of the padded or missing samples of the true spike trains in the released run [code]."""

POOL = 4
"""Samples; the competition scored at 100 / 4 = 25 Hz [B18]."""

FEW_DATA_WEIGHT = 2.5
"""Relative sample weight of the traces of sets 1 to 5, those with a test split; the others have 1
[code]."""
