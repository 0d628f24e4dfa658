"""Tune the network of 2017: Optuna over its sizes, dropout, learning rate and weight of the sets.

    python benchmarks/tuning.py COMPETITION_DIR --out benchmarks/tuning --trials 24

Neurons are cut into five folds, as in `spikefinder-keras experiment`. Two of them, `HELD_OUT`, no
trial sees: there the best trial is compared with the network as described, by `tuned.toml`, which
this command writes. Each trial trains on two of the others, and is scored on the third after every
fifth epoch; one that is below the median of the earlier ones ends early (Optuna's `MedianPruner`).
The first trial is the network as described.

`study.log` is Optuna's journal: the command goes on where it was, and several at once, with the
same `--out`, share the trials. Written at the end are `trials.csv`, `importance.csv` (Watanabe et
al. 2023, PED-ANOVA) and `tuned.toml`.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from spikefinder_keras.errors import TrainingError
from spikefinder_keras.files.atomic import write_text
from spikefinder_keras.keras_backend import keras
from spikefinder_keras.network.convi6 import FILTERS, TAPS, VARIANTS
from spikefinder_keras.training.convi6 import fit
from spikefinder_keras.training.experiment import fold_of, neurons_of, score_neurons
from spikefinder_keras.training.settings import Settings
from spikefinder_keras.training.traces import read_traces

FOLDS, HELD_OUT, SCORED = 5, (0, 1), 2
EPOCHS, EVERY = 50, 5
DROPOUT = VARIANTS["described"].dropout
FAITHFUL = {
    "first_filters": FILTERS[0],
    "second_filters": FILTERS[1],
    "units": FILTERS[2],
    "first_taps": TAPS[0],
    "second_taps": TAPS[1],
    "dropout": 1.0,
    "learning_rate": Settings.learning_rate,
    "few_data_weight": Settings.few_data_weight,
}


def suggest(trial):
    """What a trial changes, as in `FAITHFUL`; `dropout` is a factor of the described rates."""
    return {
        "first_filters": trial.suggest_int("first_filters", 4, 24),
        "second_filters": trial.suggest_int("second_filters", 4, 24),
        "units": trial.suggest_int("units", 4, 24),
        "first_taps": trial.suggest_int("first_taps", 50, 400, step=50),
        "second_taps": trial.suggest_int("second_taps", 5, 40, step=5),
        "dropout": trial.suggest_float("dropout", 0.0, 2.0),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
        "few_data_weight": trial.suggest_float("few_data_weight", 0.5, 5.0, log=True),
    }


def changed_settings(found):
    """What a trial found, as fields of `Settings`."""
    return {
        "filters": [found["first_filters"], found["second_filters"], found["units"], *FILTERS[3:]],
        "taps": [found["first_taps"], found["second_taps"], *TAPS[2:]],
        "lstm_units": found["units"],
        "dropout": [round(rate * found["dropout"], 3) for rate in DROPOUT],
        "learning_rate": float(f"{found['learning_rate']:.3g}"),
        "few_data_weight": float(f"{found['few_data_weight']:.3g}"),
    }


class Objective:
    """Mean correlation at 25 Hz of the neurons of fold `SCORED` after the last epoch."""

    def __init__(self, data):
        self.data = data
        self.neurons = neurons_of(read_traces(data, 1.0), data)
        self.folds = fold_of(self.neurons, FOLDS)

    def __call__(self, trial):
        settings = Settings(epochs=EPOCHS, validation=0.0, **changed_settings(suggest(trial)))
        traces = read_traces(self.data, settings.few_data_weight)
        trains = ~np.isin(self.folds, (*HELD_OUT, SCORED))
        reached = []

        def watch(run):
            if len(run.history) % EVERY:
                return
            found = score_neurons(run, traces, self.neurons, self.folds == SCORED)
            reached.append(float(np.mean([value for _, value in found])))
            seconds = float(np.median([row["seconds"] for row in run.history]))
            trial.set_user_attr("seconds_per_epoch", seconds)
            trial.set_user_attr("weights", run.network.count_params())
            trial.report(reached[-1], len(run.history))
            if trial.should_prune():
                raise optuna.TrialPruned

        with tempfile.TemporaryDirectory() as folder:
            fit(traces.subset(trains), folder, settings, watch)
        keras.backend.clear_session()
        return reached[-1]


def write_results(study, out):
    """`trials.csv`, `importance.csv` and `tuned.toml`."""
    columns = ["number", "value", "state", "epochs"]
    trials = study.trials_dataframe(("number", "value", "state", "params", "user_attrs"))
    trials["epochs"] = [trial.last_step for trial in study.trials]
    trials["value"] = [trial.intermediate_values.get(trial.last_step) for trial in study.trials]
    trials.columns = [c.removeprefix("params_").removeprefix("user_attrs_") for c in trials.columns]
    trials = trials[trials["state"].isin(["COMPLETE", "PRUNED"])]
    trials = trials[[*columns, *FAITHFUL, "weights", "seconds_per_epoch"]]
    trials = trials.astype({"epochs": int, "weights": int})
    write_text(out / "trials.csv", trials.to_csv(index=False, float_format="%.4g"))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    lines = ["parameter,importance", *(f"{name},{value:.3f}" for name, value in found.items())]
    write_text(out / "importance.csv", "\n".join(lines) + "\n")
    seeds, best = list(range(6)), changed_settings(study.best_params)
    plan = [
        "# The best trial of tuning.py beside the network as described, on folds no trial saw.",
        *(f"{key} = {value}" for key, value in (("folds", FOLDS), ("leave_out", list(HELD_OUT)))),
        f"seeds = {seeds}",
        *("", "[settings]", f"epochs = {EPOCHS}", "", '[variants."as described"]'),
        *("", "[variants.tuned]", *(f"{key} = {value}" for key, value in best.items())),
    ]
    write_text(out / "tuned.toml", "\n".join(plan) + "\n")
    print(trials.sort_values("value", ascending=False).head(5).to_string(index=False))
    print(f"trials.csv, importance.csv and tuned.toml are in {out}")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=24, help="of all processes (default: 24)")
    arguments = parser.parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name="convi6",
        storage=JournalStorage(JournalFileBackend(str(arguments.out / "study.log"))),
        sampler=optuna.samplers.TPESampler(multivariate=True),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2 * EVERY),
        direction="maximize",
        load_if_exists=True,
    )
    study.enqueue_trial(FAITHFUL, skip_if_exists=True)
    ended = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    limit = optuna.study.MaxTrialsCallback(arguments.trials, states=ended)
    if sum(trial.state in ended for trial in study.trials) < arguments.trials:
        study.optimize(Objective(arguments.data), callbacks=[limit], catch=(TrainingError,))
    write_results(study, arguments.out)


if __name__ == "__main__":
    sys.exit(main())
