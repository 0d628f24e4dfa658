"""Names in files, names of files and a server's words: shown and written, never obeyed."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikefinder_keras.errors import DownloadError
from spikefinder_keras.recordings.formats import read_recording, write_prediction
from spikefinder_keras.recordings.inputs import as_recording
from spikefinder_keras.recordings.pipeline import predict
from spikefinder_keras.text import clean_name, counted, header_cell, name_of_cell, shown

HOSTILE = {
    "clear": "a\x1b[2Jb",
    "title": "a\x1b]0;owned\x07b",
    "c1": "a\x9b31mb",
    "turned": "a\u202egnp.exe",
    "isolate": "a\u2066b\u2069",
    "half": "a\ud800b",
    "line": "a\u2028b",
    "null": "a\x00b",
    "tag": "<script>alert(1)</script>",
    "mathtext": "$\\frac{1}{0}$",
    "formula": "=cmd|' /C calc'!A0",
    "plus": "+1+1",
    "minus": "-2+3",
    "at": "@SUM(1+1)",
    "behind a semicolon": "x;=cmd|' /C calc'!A0",
    "behind a comma": "x,@SUM(1+1)",
    "full width": "＝1+1",
    "no width": "a\u200bb",
    "soft hyphen": "a\u00adb",
    "joined": "a\u2060b",
    "mirrored": "a\u206ab",
    "tags": "a\U000e0041b",
    "filler": "a\u3164b",
    "long": "x" * 100_000,
}
PROGRAM = (sys.executable, "-m", "spikefinder_keras")
ODD = b"r\xe9ponse \xff.csv"


def harmless(text):
    return shown(text) == text


@pytest.mark.parametrize("name", HOSTILE)
def test_the_cleaner(name):
    text = HOSTILE[name]
    assert harmless(clean_name(text))
    assert clean_name(clean_name(text)) == clean_name(text)
    assert len(clean_name(text)) <= 300
    clean_name(text).encode()
    assert not header_cell(clean_name(text)).startswith(("=", "+", "-", "@"))


def test_ordinary_text_stays():
    for text in ("neuron 1", "größe µm²", "細胞 7", "a'b", "'quoted'", "1e-3", "-1", "🐭"):
        assert clean_name(text) == text
        assert header_cell(text) == text


@given(st.text("=+-@;,|'x1 ＝＋"))
def test_no_part_of_any_name_is_calculated(name):
    parts = re.split(r"[;,|\t]", header_cell(name))
    assert all(part[:1] not in set("=+-@＝＋") for part in parts) or float(name) is not None
    assert name_of_cell(header_cell(name)) == name


@given(st.text())
def test_any_name_comes_back_from_its_cell(text):
    name = clean_name(text)
    assert harmless(name)
    assert not set(name) & set("\t\n\r")
    assert name_of_cell(header_cell(name)) == name


@pytest.fixture(scope="module")
def prediction():
    rng = np.random.default_rng(0)
    names = [f"{key} {text}" if key == "long" else text for key, text in HOSTILE.items()]
    return predict(as_recording(rng.normal(1, 0.1, (len(names), 300)), 30, names=names))


def test_every_format_takes_the_names(prediction, tmp_path):
    assert all(map(harmless, prediction.names))
    for suffix in (".csv", ".npy", ".npz", ".mat", ".zarr"):
        write_prediction(tmp_path / f"rates{suffix}", prediction)
    with (tmp_path / "rates.csv").open(newline="", encoding="utf-8") as file:
        header = next(csv.reader(file))
    # In whatever country the file is opened.
    cells = [part for cell in header for part in re.split(r"[;,|\t]", cell)]
    assert [cell for cell in cells if cell[:1] in set("=+-@＝＋－＠")] == []
    assert "'=cmd|' /C calc'!A0" in header
    (tmp_path / "rates.csv.json").unlink()
    assert read_recording(tmp_path / "rates.csv").names == prediction.names


def test_the_page(prediction, tmp_path):
    from spikefinder_keras.figures.recording_page import report

    page = report(prediction)
    assert harmless(page)
    assert "<script" not in page


def test_the_terminal(attack):
    rng = np.random.default_rng(0)
    path = attack.folder / "a.csv"
    keys = [key for key in HOSTILE if key not in ("half", "null", "line", "long")]
    header = ",".join('"' + HOSTILE[key].replace('"', "") + '"' for key in keys)
    rows = "\n".join(",".join(map(str, row)) for row in rng.normal(size=(300, len(keys))))
    path.write_text(f"{header}\n{rows}\n", encoding="utf-8")
    found = attack(
        *("predict", path, "--frame-rate", "30", "--out", "rates.csv", "--report", "r.html"),
        status=0,
        new=("rates.csv", "rates.csv.json", "r.html"),
    )
    assert "\x1b" not in found.out + found.err
    assert harmless(found.out)
    scores = attack("score", path, path, "--csv", "s.csv", status=0, new=["s.csv"])
    assert harmless(scores.out)
    written = (attack.folder / "s.csv").read_text()
    assert not any(line.startswith(("=", "@", "+1")) for line in written.splitlines())


@pytest.mark.skipif(sys.platform == "win32", reason="no name there has a line end")
def test_a_file_whose_name_has_several_lines(attack):
    """It could seem to say what the program does not."""
    path = attack.folder / "a\nrates of b are fine\t!.npy"
    np.save(path, np.random.default_rng(0).normal(1, 0.1, (2, 300)))
    out = path.with_suffix(".rates.csv").name
    found = attack("predict", path, "--frame-rate", "30", status=0, new=(out, f"{out}.json"))
    lines = (found.out + found.err).splitlines()
    assert not any(line.startswith("rates of b") for line in lines)
    name = "a\\x0arates of b are fine\\x09!"
    assert any(f"are in {name}.rates.csv" in line for line in lines)
    assert any(line.startswith(f"{name}.npy: only 10.0 s") for line in lines)


def test_a_name_in_an_error(attack):
    path = attack.folder / "a.csv"
    path.write_text("a\x1b[2Jb,c\n1,x\x1b[2J\n2,3\n")
    found = attack.predict(path, status=2)
    assert "\x1b" not in found.err
    assert "\\x1b[2J" in found.err


def test_a_servers_words():
    error = DownloadError("the server answered \x1b[2J\u202e\udc80 bad")
    assert str(error) == "the server answered \\x1b[2J\\u202e\\x80 bad"


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux alone")
@pytest.mark.parametrize("suffix", ["csv", "npy", "npz", "mat", "zarr"])
def test_names_of_files_that_are_no_utf8(attack, suffix):
    """Read from one, written to one; what is said of it can be read."""
    folder = attack.folder / os.fsdecode(b"d\xff")
    folder.mkdir()
    path = folder / os.fsdecode(ODD)
    rng = np.random.default_rng(0)
    rows = "\n".join(",".join(map(str, row)) for row in rng.normal(1, 0.1, (300, 2)))
    path.write_text(f"a,b\n{rows}\n")
    out = folder / os.fsdecode(b"out\xfe." + suffix.encode())
    again = folder / "again.npz"
    options = ("--frame-rate", "30", "--out", out)
    subprocess.run([*PROGRAM, "predict", path, *options], check=True, capture_output=True)
    assert out.exists()
    if suffix in ("csv", "npy"):
        description = json.loads(Path(f"{out}.json").read_text())["description"]
        assert description["source"].endswith("r\\xe9ponse \\xff.csv")
        Path(f"{out}.json").unlink()
    found = attack("predict", out, *options[:3], again, new=["d\udcff/again.npz"])
    assert found.status == 0 or "out\\xfe" in found.err
    found = attack("predict", folder / os.fsdecode(b"none\xff.csv"), status=2)
    assert "none\\xff.csv" in found.err


def test_one_is_one():
    assert [counted(number, "neuron") for number in (0, 1, 2)] == [
        "0 neurons",
        "1 neuron",
        "2 neurons",
    ]
