"""Experiments: plans, folds by neuron, runs that are never repeated, and what they tell."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from spikefinder_keras.cli import main
from spikefinder_keras.competition.tables import write_csv
from spikefinder_keras.errors import OutputError, TrainingError, UsageError
from spikefinder_keras.training import convi6, experiment
from spikefinder_keras.training.experiment import (
    compare,
    fold_of,
    neurons_of,
    read_plan,
    read_rows,
    run_experiment,
    write_rows,
)
from spikefinder_keras.training.traces import read_traces

PLAN = """
folds = 2
seeds = [0, 1]
score_after = [1]
[settings]
epochs = 2
batch = 3
filters = [2, 2, 2, 2, 1]
taps = [5, 3, 3, 3, 3]
lstm_units = 2
[variants."as described"]
[variants."no LSTM"]
lstm_joins = "absent"
"""


@pytest.fixture
def data(tmp_path):
    """Sets 4 and 6 with 4 and 3 neurons of 400 samples."""
    folder = tmp_path / "data" / "spikefinder.train"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number, neurons in ((4, 4), (6, 3)):
        spikes = rng.poisson(0.05, (400, neurons)).astype(float)
        kernel = np.exp(-np.arange(60) / 20)
        calcium = np.stack([np.convolve(s, kernel)[:400] for s in spikes.T], axis=1)
        write_csv(folder / f"{number}.train.calcium.csv", calcium)
        write_csv(folder / f"{number}.train.spikes.csv", spikes)
    return tmp_path / "data"


def plan(tmp_path, text=PLAN):
    path = tmp_path / "plan.toml"
    path.write_text(text)
    return path


def test_neurons_are_left_out_once_with_all_their_recordings(data):
    traces = read_traces(data)
    neurons = neurons_of(traces, data)
    assert neurons.tolist() == [*(f"4/{k}" for k in range(4)), *(f"6/{k}" for k in range(3))]
    folds = fold_of(neurons, 3)
    assert sorted(np.bincount(folds)) == [2, 2, 3]
    assert {f for f, n in zip(folds, neurons, strict=True) if n[0] == "6"} == {0, 1, 2}
    (data / "neurons.csv").write_text("set,column,neuron\n4,0,a\n4,1,a\n4,2,b\n4,3,b\n")
    neurons = neurons_of(traces, data)
    assert neurons.tolist() == ["4/a", "4/a", "4/b", "4/b", "6/0", "6/1", "6/2"]
    folds = fold_of(neurons, 2)
    assert folds[0] == folds[1] != folds[2] == folds[3]


def test_an_experiment(tmp_path, data, monkeypatch):
    path, out = plan(tmp_path), tmp_path / "out"
    summary = run_experiment(path, data, out)
    assert [(row["name"], row["epoch"]) for row in summary] == [
        *(("as described", 1), ("as described", 2), ("no LSTM", 1), ("no LSTM", 2))
    ]
    rows = read_rows(out / "scores.csv")
    last = [row for row in rows if (row["name"], row["epoch"]) == ("no LSTM", "2")]
    assert sorted(row["neuron"] for row in last) == [
        *(f"4/{k}" for k in range(4)),
        *(f"6/{k}" for k in range(3)),
    ]
    assert {row["lstm_joins"] for row in last} == {"absent"}
    mean = np.mean([float(row["correlation"]) for row in last])
    assert float(summary[3]["mean"]) == pytest.approx(mean, abs=1e-4)  # as it is rounded
    before = (out / "scores.csv").read_bytes()
    monkeypatch.setattr(convi6, "fit", None)  # what is done is not repeated
    run_experiment(path, data, out)
    assert (out / "scores.csv").read_bytes() == before
    plan(tmp_path, PLAN.replace("batch = 3", "batch = 2"))
    with pytest.raises(TrainingError, match="holds another run"):
        run_experiment(path, data, out)


@pytest.mark.slow
def test_a_run_that_stops_goes_on_as_if_it_had_not(tmp_path, data, monkeypatch):
    path = plan(tmp_path, PLAN.replace("score_after = [1]", "").replace("epochs = 2", "epochs = 3"))
    run_experiment(path, data, tmp_path / "whole")
    fit = convi6.fit

    def stopping(traces, folder, settings, watch):
        def stop(run):
            watch(run)
            if len(run.history) == 2:
                raise KeyboardInterrupt

        return fit(traces, folder, settings, stop)

    monkeypatch.setattr(convi6, "fit", stopping)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(path, data, tmp_path / "cut")
    monkeypatch.setattr(convi6, "fit", fit)
    run_experiment(path, data, tmp_path / "cut")
    for name in ("scores.csv", "summary.csv"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
def test_two_at_a_time_give_the_same_table(tmp_path, data):
    path = plan(tmp_path)
    run_experiment(path, data, tmp_path / "one")
    run_experiment(path, data, tmp_path / "two", jobs=2)
    assert (tmp_path / "two/scores.csv").read_bytes() == (tmp_path / "one/scores.csv").read_bytes()


CHATTER = """
import sys
import numpy as np
from spikefinder_keras.keras_backend import keras
from spikefinder_keras.training import experiment

def work(*_):
    for _ in range(8):
        network = keras.Sequential([keras.Input((None, 1)), keras.layers.Conv1D(1, 3)])
        for length in (5, 9):
            network.predict(np.zeros((1, length, 1)), verbose=0)
if sys.argv[1] == "here":
    work()
elif __name__ == "__main__":
    list(experiment._results([work], 2))
"""


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="it is TensorFlow's")
@pytest.mark.parametrize("place", ["here", "worker"])
def test_workers_do_not_chatter(place, tmp_path):
    """TensorFlow says at length that it compiles a network for another length again."""
    (tmp_path / "chatter.py").write_text(CHATTER)
    command = [sys.executable, tmp_path / "chatter.py", place]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ("retracing" in run.stderr) == (place == "here")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("folds = 2", "folds = 1"), "at least 2 folds"),
        (("folds = 2", "folds = 1000000000"), "at least 2 folds and at most 1000"),
        (("folds = 2", "folds = " + 5_000 * "["), "is nested too deep"),
        (("folds = 2", "fold = 2"), "has unknown fold; did you mean folds"),
        (("seeds = [0, 1]", "seeds = []"), "a seed"),
        (("batch = 3", "bath = 3"), "settings: unknown bath; did you mean batch"),
        (("batch = 3", "batch = 'three'"), r"plan\.toml: batch cannot be 'three'"),
        (("folds = 2", "folds = 'two'"), "folds is to be a whole number"),
        (("folds = 2", "folds = true"), "folds is to be a whole number"),
        (("seeds = [0, 1]", "seeds = 2"), "seeds is to be a list of whole numbers"),
        (("seeds = [0, 1]", "seeds = [0.5]"), "seeds is to be a list of whole numbers"),
        (("[settings]", "[variants]\nnone = 3\n[settings]"), "variants.none is to be a table"),
        (("batch = 3", "batch = 0"), "batch cannot be 0"),
        (('"absent"', '"nowhere"'), "no LSTM joins 'nowhere'"),
        (("[1]", "[3]"), "score_after within the epochs"),
        (("folds = 2", "folds = 2\nleave_out = [2]"), "leave_out must name folds from 0 to 1"),
        (('"no LSTM"', '"As-described"'), "differ in marks only"),
        (("folds", "folds ="), "name a plan in TOML"),
    ],
)
def test_faulty_plans(tmp_path, data, change, message):
    path = plan(tmp_path, PLAN.replace(*change))
    with pytest.raises(UsageError, match=message) as raised:
        run_experiment(path, data, tmp_path / "out")
    assert "\n" not in str(raised.value)


def test_a_plan_of_no_variants_at_all(tmp_path, data):
    with pytest.raises(UsageError, match=r"variants is to be a table; see docs/training\.md"):
        run_experiment(plan(tmp_path, "variants = 3"), data, tmp_path / "out")


def test_what_the_table_tells():
    def rows(name, shift, spread, seeds=5, neurons=20):
        rng = np.random.default_rng(1)
        return [
            {
                "name": name,
                "epoch": "50",
                "seed": str(seed),
                "neuron": f"4/{neuron}",
                "correlation": str(0.3 + 0.02 * neuron + shift + spread * rng.normal()),
            }
            for seed in range(seeds)
            for neuron in range(neurons)
        ]

    found = compare(
        [
            *rows("as described", 0, 0),
            *rows("better", 0.05, 0.02),
            *rows("worse", -0.05, 0.02),
            *rows("level", 0.0, 0.05),
        ]
    )
    assert [row["answer"] for row in found] == ["-", "better", "worse", "too small to tell"]
    assert float(found[1]["low"]) < 0.05 < float(found[1]["high"])
    # 100 values of standard deviation 0.02: 1.96 x 0.002 on each side, a little more by seeds.
    assert 0.006 < float(found[1]["high"]) - float(found[1]["low"]) < 0.012


@pytest.mark.slow
def test_a_table_is_carried_on_without_the_folders_of_its_runs(tmp_path, data, monkeypatch):
    """Also by a longer plan: only what the table lacks is run."""
    out, one = tmp_path / "out", PLAN.replace("[0, 1]", "[0]")
    run_experiment(plan(tmp_path, one), data, out)
    before = read_rows(out / "scores.csv")
    for name in ("as-described", "no-lstm"):
        shutil.rmtree(out / name)
    begun, fit = [], convi6.fit

    def counting(traces, folder, settings, watch):
        begun.append((folder.parent.name, settings.seed))
        return fit(traces, folder, settings, watch)

    monkeypatch.setattr(convi6, "fit", counting)
    run_experiment(plan(tmp_path), data, out)
    assert begun == [("as-described", 1), ("no-lstm", 1)]
    after = read_rows(out / "scores.csv")
    assert [row for row in after if row["seed"] == "0"] == before


@pytest.mark.slow
def test_chosen_folds_are_left_out_in_turn(tmp_path, data):
    path = plan(tmp_path, PLAN.replace("folds = 2", "folds = 2\nleave_out = [1]"))
    run_experiment(path, data, tmp_path / "out")
    traces = read_traces(data, 1.0)
    neurons = neurons_of(traces, data)
    left_out = set(neurons[fold_of(neurons, 2) == 1])
    rows = read_rows(tmp_path / "out" / "scores.csv")
    for seed in "01":
        assert {row["neuron"] for row in rows if row["seed"] == seed} == left_out


def test_the_interval_of_groups_that_differ_in_size():
    """Each value counts alike, and one group alone gives the bootstrap of its values."""
    rng = np.random.default_rng(2)
    values = rng.normal(0.3, 1.0, 400)
    low, high = experiment.interval([values])
    expected = 2 * 1.96 * np.std(values) / np.sqrt(400)
    assert high - low == pytest.approx(expected, rel=0.05)  # 10,000 resamples know it to 2%
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.05 * expected)
    low, high = experiment.interval([np.full(2, 5.0), np.full(6, 1.0)])
    assert (low, high) == (1.0, 5.0)


def test_the_interval_knows_that_seeds_differ():
    """Differences that only vary between seeds are as uncertain as the few seeds are."""
    groups = [np.full(100, value) for value in (-0.1, -0.05, 0.0, 0.05, 0.1)]
    low, high = experiment.interval(groups)
    expected = 1.96 * np.std([g[0] for g in groups]) / np.sqrt(5)
    assert high - low == pytest.approx(2 * expected, rel=0.1)


def test_a_run_of_another_backend_is_not_carried_on(tmp_path, data):
    out = tmp_path / "out"
    seed = out / "as-described" / "seed-0"
    run_experiment(plan(tmp_path, PLAN.replace("[0, 1]", "[0]")), data, out)
    config = seed / "config.json"
    backend = json.loads(config.read_text())["backend"]
    config.write_text(config.read_text().replace(f'"{backend}"', '"abacus"'))
    for known in (out, seed):
        (known / "scores.csv").unlink()
    with pytest.raises(TrainingError, match="began on abacus; set KERAS_BACKEND=abacus"):
        run_experiment(tmp_path / "plan.toml", data, out)


def test_the_command(tmp_path, data, capsys):
    path = plan(tmp_path, PLAN.replace("seeds = [0, 1]", "seeds = [0]"))
    assert main(["experiment", str(path), "--data", str(data), "--out", str(tmp_path / "o")]) == 0
    text = capsys.readouterr().out
    assert "too small to tell" in text or "better" in text or "worse" in text
    assert main(["experiment", str(path), "--data", str(data), "--jobs", "0"]) == 2
    assert "(--jobs)" in capsys.readouterr().err
    assert main(["experiment", str(tmp_path / "none.toml"), "--data", str(data)]) == 2


PLANS = list((Path(__file__).parents[2] / "benchmarks").glob("**/*.toml"))


def test_plans_in_the_repository_can_be_read():
    assert PLANS
    for path in PLANS:
        assert len(read_plan(path).seeds) >= 5


@pytest.mark.slow
def test_every_variant_of_the_ablations_trains(tmp_path, data):
    """For an epoch, on small data; each otherwise as it is asked for."""
    (path,) = [path for path in PLANS if path.name == "ablations.toml"]
    text = re.sub(r"(?m)^epochs = .*", "epochs = 1", path.read_text())
    text = re.sub(r"(?m)^seeds = .*", "seeds = [0]", text)
    text = re.sub(r"(?m)^score_after = .*", "", text)
    small = (
        "[settings]\nfilters = [2, 2, 2, 2, 1]\ntaps = [5, 3, 3, 3, 3]\nlstm_units = 2\nbatch = 7"
    )
    out = tmp_path / "out"
    summary = run_experiment(plan(tmp_path, text.replace("[settings]", small)), data, out)
    assert [row["name"] for row in summary] == list(read_plan(path).variants)
    assert len({row["lstm_joins"] for row in read_rows(out / "scores.csv")}) == 3


def test_names_in_its_tables_are_not_calculated(tmp_path):
    rows = [{"name": "=1+1", "epoch": "1", "neuron": "4/x;=2", "correlation": "-0.5"}]
    write_rows(tmp_path / "scores.csv", rows)
    assert "'=1+1,1,4/x;'=2,-0.5" in (tmp_path / "scores.csv").read_text()
    assert read_rows(tmp_path / "scores.csv") == rows
    write_rows(tmp_path / "scores.csv", [{"name": "a\u202eb"}])
    assert read_rows(tmp_path / "scores.csv") == [{"name": "a\\u202eb"}]


@pytest.mark.parametrize("name", ["scores.csv", "summary.csv"])
def test_an_experiment_writes_over_no_table_of_others(name, tmp_path):
    (tmp_path / "plan.toml").write_text("seeds = [0]")
    (tmp_path / name).write_text("a,b\n1,2\n")
    with pytest.raises(TrainingError, match=f"{name} is of no experiment; name another folder"):
        run_experiment(tmp_path / "plan.toml", tmp_path, tmp_path)
    (tmp_path / name).write_text("seeds = [0]")
    with pytest.raises(OutputError, match=f"{name} is the plan itself"):
        run_experiment(tmp_path / name, tmp_path, tmp_path)
