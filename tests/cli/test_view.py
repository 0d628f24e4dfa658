"""The command `view`: for each mistake one line, and nothing written over."""

import importlib.util
import json
import os
import socket
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from spikefinder_keras import predict
from spikefinder_keras.cli import main
from spikefinder_keras.recordings.formats import write_prediction
from spikefinder_keras.recordings.marks import Mark, read_marks, write_marks

pytest.importorskip("bokeh", reason="the extra `view` is not installed")

from bokeh.document import Document

from spikefinder_keras.view.marks import Marks
from spikefinder_keras.view.source import open_source
from spikefinder_keras.view.window import Shown


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    traces = np.random.default_rng(0).normal(0, 0.1, (3, 900)).astype(np.float32)
    np.save(folder / "a.npy", traces)
    write_prediction(folder / "r.npz", predict(folder / "a.npy", 30.0, delay=0))
    np.save(folder / "few.npy", traces[:2])
    np.save(folder / "short.npy", traces[:, :-1])
    (folder / "text.csv").write_text("hello")
    (folder / "truth.csv").write_text("0,1,2\n1,0,0.5\n" + "0,0,0\n" * 899)
    return folder


def wrong(capsys, *arguments):
    """What the command says of a mistake."""
    capsys.readouterr()
    assert main(["view", "--no-browser", *map(str, arguments)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(("arguments", "message"), [
    (["none.npz"], "none.npz does not exist"),
    (["a.npy"], "has no description beside it"),
    (["text.csv"], "has no description beside it"),
    (["r.npz", "none.npy"], "none.npy does not exist"),
    (["r.npz", "few.npy"], "has 2 neurons, and not the 3 of"),
    (["r.npz", "short.npy"], "has 899 frames, but"),
    (["r.npz", "--truth", "truth.csv"], "holds no numbers of spikes; give whole numbers"),
    (["r.npz", "--truth", "none.csv"], "none.csv does not exist"),
    (["r.npz", "--series", "x"], "only .nwb has series"),
    (["r.npz", "a.npy", "--marks", "a.npy"], "a.npy is the recording itself"),
    (["r.npz", "--marks", "r.npz"], "r.npz is the result itself"),
    (["r.npz", "--truth", "truth.csv", "--marks", "truth.csv"], "is the truth itself"),
    (["r.npz", "--marks", "text.csv"], "is no file of marks"),
    (["r.npz", "--marks", "a.npy/m.csv"], "for the marks (--marks)"),
    (["r.npz", "--port", "70000"], "port 70000 cannot be had"),
])  # fmt: skip
def test_each_mistake_is_a_line(made, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(made)
    before = {path.name: path.read_bytes() for path in made.iterdir() if path.is_file()}
    assert message in wrong(capsys, *arguments)
    after = {path.name: path.read_bytes() for path in made.iterdir() if path.is_file()}
    assert after == before


def test_a_port_that_is_taken(made, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = wrong(capsys, made / "r.npz", "--port", port)
    assert f"port {port} cannot be had (Address already in use); leave it out (--port)" in line


@pytest.mark.parametrize("library", ["bokeh", "tsdownsample"])
def test_a_missing_extra_is_a_line(made, capsys, monkeypatch, library):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == library else find(name)
    )
    line = wrong(capsys, made / "r.npz")
    assert (
        f'a window needs {library}; install it with: pip install "spikefinder-keras[view]"' in line
    )


@pytest.mark.parametrize("opens", [True, False])
def test_the_address_is_said_and_a_browser_opened(made, capsys, monkeypatch, opens):
    """And the end is success."""
    asked = []

    def open_browser(address):
        asked.append(address)
        from tornado.ioloop import IOLoop

        IOLoop.current().add_callback(IOLoop.current().stop)
        return opens

    monkeypatch.setattr("webbrowser.open", open_browser)
    write_marks(made / "r.npz.marks.csv", {"1": Mark("good")})
    # In a thread of its own, as the browser of other tests has a loop in this one.
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(main, ["view", str(made / "r.npz")]).result() == 0
    found = capsys.readouterr()
    assert found.out == f"{asked[0]}\n"
    assert ("no browser that could be started" in found.err) == (not opens)
    assert read_marks(made / "r.npz.marks.csv") == {"1": Mark("good")}
    (made / "r.npz.marks.csv").unlink()


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".npz", ".mat", ".zarr"])
def test_every_format_opens(made, tmp_path, suffix):
    """The document of a window, in a folder whose name is no text."""
    folder = tmp_path / os.fsdecode(b"\xff<b>")
    folder.mkdir()
    path = write_prediction(folder / f"r{suffix}", predict(made / "a.npy", 30.0, spikes=True))
    source = open_source(path, made / "a.npy")
    document = Document()
    Shown(source, Marks(folder / "m.csv", source.names), path.name).open(document)
    assert document.title == f"r{suffix}"
    json.dumps(document.to_json(), default=str).encode()
    assert document.template_variables["marks"].encode()
