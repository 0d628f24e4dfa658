"""Downloads against a local server that does everything wrong that a server can."""

import hashlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from spikefinder_keras.errors import DownloadError, OutputError, UsageError
from spikefinder_keras.files import downloads
from spikefinder_keras.files.downloads import cached_weights, fetch_data, fetch_weights

NAME = "1.train.calcium.csv"
CONTENTS = {
    NAME: b"".join(b"%d,%d\n" % (row, row * row) for row in range(10_000)),
    "1.train.spikes.csv": b"0,1\n1,0\n",
    "1.test.calcium.csv": b"0\n0.5\n",
    "7.train.calcium.csv": b"0\n0.25\n",
}
BODY = CONTENTS[NAME]
WEIGHTS_BODY = b"\x89HDF synthetic" * 100
HALF = len(BODY) // 2


def blob_id(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


IDS = {name: blob_id(content) for name, content in CONTENTS.items()}


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.contents`; the next of `server.faults`, if any, answers instead."""

    def do_GET(self):
        self.server.requests.append(self.path)
        body = self.server.contents.get(self.path)
        faults = self.server.faults
        if body is None:
            self.reply(404, b"")
        elif faults:
            (faults.pop(0) if len(faults) > 1 or not self.server.forever else faults[0])(self, body)
        else:
            self.reply(200, body)

    def reply(self, status, body, headers=None, length=None):
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def answer(status=200, body=None, headers=None, length=None):
    """A fault: this answer, whatever was asked for."""
    return lambda handler, true: handler.reply(
        status, true if body is None else body, headers, length
    )


def truncated(handler, body):
    handler.reply(200, body[:HALF], length=len(body))


def stall(handler, body):
    truncated(handler, body)
    handler.wfile.flush()
    handler.server.release.wait(10)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 32

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.contents = {f"/{name}": content for name, content in CONTENTS.items()}
        self.contents["/model_convnet_6"] = WEIGHTS_BODY
        self.requests, self.faults, self.forever = [], [], False
        self.release = threading.Event()

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is part of the tests

    def always(self, fault):
        self.faults, self.forever = [fault], True


@pytest.fixture
def server():
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.release.set()
        server.shutdown()


@pytest.fixture(autouse=True)
def synthetic_files(monkeypatch, tmp_path):
    monkeypatch.setattr(downloads, "COMPETITION_FILES", IDS)
    sha256 = hashlib.sha256(WEIGHTS_BODY).hexdigest()
    weights = {"published": ("model_convnet_6", sha256, "http://127.0.0.1:9/nowhere")}
    monkeypatch.setattr(downloads, "WEIGHTS", weights)
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("SPIKEFINDER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def one_file(monkeypatch):
    monkeypatch.setattr(downloads, "COMPETITION_FILES", {NAME: IDS[NAME]})


def target(folder, name=NAME):
    return folder / f"spikefinder.{name.split('.')[1]}" / name


def left(folder):
    """Files below a folder that are none of the competition's."""
    return [path for path in folder.rglob("*") if path.is_file() and path.name not in CONTENTS]


def any_bytes(folder):
    """Whether a file of `left` holds bytes, while another process makes and removes such files."""
    for path in left(folder):
        with suppress(FileNotFoundError):
            if path.stat().st_size:
                return True
    return False


def child(code, **arguments):
    """Start Python with the synthetic tables, `downloads`, `fetch_data` and the arguments."""
    names = {"ids": IDS, **{key: str(value) for key, value in arguments.items()}}
    setup = (
        "import json, os, resource, signal, sys\n"
        "from spikefinder_keras.files import downloads\n"
        "from spikefinder_keras.files.downloads import fetch_data\n"
        "globals().update(json.loads(sys.argv[1]))\n"
        "downloads.COMPETITION_FILES = {'1.train.calcium.csv': ids['1.train.calcium.csv']}\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", setup + code, json.dumps(names)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


# The tables


def test_the_tables_name_every_competition_file_once():
    # A fresh interpreter, because the fixture replaces the tables here.
    code = "import importlib; print(json.dumps(importlib.reload(downloads).COMPETITION_FILES))"
    output, _ = child(code).communicate()
    table = json.loads(output)
    sets = [("train", n) for n in range(1, 11)] + [("test", n) for n in range(1, 6)]
    assert list(table) == [f"{n}.{s}.{kind}.csv" for s, n in sets for kind in ("calcium", "spikes")]
    assert len(set(table.values())) == 30
    assert all(len(blob) == 40 and int(blob, 16) for blob in table.values())


def test_the_import_is_light():
    process = child("print(*{'numpy', 'pooch', 'tensorflow', 'keras'}.intersection(sys.modules))")
    assert process.communicate() == ("\n", "")


# What works


def test_fetch_data_writes_the_competitions_layout(server, tmp_path):
    paths = fetch_data(tmp_path, mirror=server.url)
    assert paths == [target(tmp_path, name) for name in CONTENTS]
    assert [path.read_bytes() for path in paths] == list(CONTENTS.values())
    assert left(tmp_path) == []


def test_files_that_are_there_cause_no_request_and_no_writing(server, tmp_path, monkeypatch):
    fetch_data(tmp_path, mirror=server.url)
    server.requests.clear()
    monkeypatch.setattr(downloads, "_fetch", None)
    fetch_data(tmp_path, mirror=server.url)
    assert server.requests == []


def test_a_damaged_file_is_fetched_again(server, tmp_path):
    target(tmp_path).parent.mkdir()
    target(tmp_path).write_bytes(BODY[:-1])
    fetch_data(tmp_path, mirror=server.url)
    assert target(tmp_path).read_bytes() == BODY


def test_datasets_and_splits_choose_the_files(server, tmp_path):
    assert fetch_data(tmp_path, 7, mirror=server.url) == [target(tmp_path, "7.train.calcium.csv")]
    paths = fetch_data(tmp_path, [1, 7], "test", mirror=server.url)
    assert paths == [target(tmp_path, "1.test.calcium.csv")]
    assert len(server.requests) == 2


def test_the_second_public_address_is_tried(server, tmp_path, monkeypatch):
    server.contents = {f"/spikefinder.train/{NAME}": BODY}
    addresses = (server.url + "/{name}", server.url + "/spikefinder.{split}/{name}")
    monkeypatch.setattr(downloads, "COMPETITION_ADDRESSES", addresses)
    monkeypatch.setattr(downloads, "COMPETITION_FILES", {NAME: IDS[NAME]})
    fetch_data(tmp_path)
    assert target(tmp_path).read_bytes() == BODY
    assert server.requests == [f"/{NAME}", f"/spikefinder.train/{NAME}"]


def test_a_mirror_with_the_competitions_folders(server, tmp_path, one_file):
    server.contents = {f"/data/spikefinder.train/{NAME}": BODY}
    fetch_data(tmp_path, mirror=f"{server.url}/data/")
    assert target(tmp_path).read_bytes() == BODY


@pytest.mark.parametrize("nested", [False, True])
def test_a_local_folder_as_mirror(tmp_path, nested):
    mirror = tmp_path / "mirror"
    for name, content in CONTENTS.items():
        path = target(mirror, name) if nested else mirror / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    paths = fetch_data(tmp_path / "data", mirror=mirror)
    assert [path.read_bytes() for path in paths] == list(CONTENTS.values())


def test_a_wrong_file_in_the_local_folder_does_not_hide_the_right_one(tmp_path, one_file):
    mirror = tmp_path / "mirror"
    target(mirror).parent.mkdir(parents=True)
    target(mirror).write_bytes(BODY)
    (mirror / NAME).write_bytes(b"a prediction of the same name")
    fetch_data(tmp_path, mirror=mirror)
    assert target(tmp_path).read_bytes() == BODY


def test_progress_is_shown_only_when_asked_for(server, tmp_path, capsys):
    fetch_data(tmp_path / "quiet", mirror=server.url)
    assert capsys.readouterr() == ("", "")
    fetch_data(tmp_path / "shown", mirror=server.url, progress=True)
    output = capsys.readouterr()
    assert output.out == ""
    assert "spikefinder: " in output.err


def test_a_redirect_is_followed(server, tmp_path, one_file):
    server.contents["/elsewhere"] = BODY
    server.faults = [answer(302, b"", {"Location": "/elsewhere"})]
    fetch_data(tmp_path, mirror=server.url)
    assert server.requests == [f"/{NAME}", "/elsewhere"]
    assert target(tmp_path).read_bytes() == BODY


# Interrupted downloads


def test_a_dropped_connection_is_tried_again(server, tmp_path, one_file):
    server.faults = [truncated]
    fetch_data(tmp_path, mirror=server.url)
    assert len(server.requests) == 2
    assert target(tmp_path).read_bytes() == BODY


def test_a_connection_that_always_drops(server, tmp_path, one_file):
    server.contents = {f"/{NAME}": BODY}
    server.always(truncated)
    with pytest.raises(DownloadError, match=f"{HALF} bytes read.*run the command again"):
        fetch_data(tmp_path, mirror=server.url)
    assert server.requests.count(f"/{NAME}") == downloads.RETRIES + 1
    assert not target(tmp_path).exists()
    assert left(tmp_path) == []


def test_a_trickling_server_is_left_at_the_deadline(server, tmp_path, one_file, monkeypatch):
    def trickle(handler, body):
        handler.reply(200, b"", length=len(body))
        for k in range(len(body)):
            handler.wfile.write(body[k : k + 1])
            if handler.server.release.wait(0.05):
                return

    monkeypatch.setattr(downloads, "DEADLINE", 0.5)
    server.contents = {f"/{NAME}": BODY}
    server.always(trickle)
    begin = time.monotonic()
    with pytest.raises(DownloadError, match=r"it took longer than 0\.5 s"):
        fetch_data(tmp_path, mirror=server.url)
    assert time.monotonic() - begin < 20  # the machine may have other work
    assert left(tmp_path) == []


def test_a_stalling_server_is_left_after_the_timeout(server, tmp_path, one_file, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT", 0.2)
    server.contents = {f"/{NAME}": BODY}
    server.always(stall)
    begin = time.monotonic()
    with pytest.raises(DownloadError, match="timed out"):
        fetch_data(tmp_path, mirror=server.url)
    assert time.monotonic() - begin < 20  # the machine may have other work
    assert len(server.requests) == downloads.RETRIES + 2  # the other layout answers 404
    assert not target(tmp_path).exists()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_or_interrupted_process_leaves_no_file(server, tmp_path, one_file, how):
    server.faults = [stall]
    # A shell starts what runs in its background deaf to SIGINT.
    code = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "fetch_data(folder, mirror=url)"
    process = child(code, folder=tmp_path, url=server.url)
    deadline = time.monotonic() + 30
    while not any_bytes(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(how)
    server.release.set()
    process.communicate(timeout=30)
    assert process.returncode != 0
    assert not target(tmp_path).exists()
    if how == signal.SIGINT:
        assert left(tmp_path) == []
    fetch_data(tmp_path, mirror=server.url)
    assert target(tmp_path).read_bytes() == BODY


# Servers that answer wrongly


def test_a_server_error_is_tried_again(server, tmp_path, one_file):
    server.faults = [answer(500), answer(503)]
    fetch_data(tmp_path, mirror=server.url)
    assert len(server.requests) == 3
    assert target(tmp_path).read_bytes() == BODY


def test_lasting_server_errors_end_after_three_attempts_with_growing_pauses(
    server, tmp_path, one_file, monkeypatch
):
    pauses = []
    monkeypatch.setattr("pooch.core.time.sleep", pauses.append)
    server.contents = {f"/{NAME}": BODY}
    server.always(answer(500))
    with pytest.raises(DownloadError, match=f"{NAME}.*HTTP 500.*name a --mirror"):
        fetch_data(tmp_path, mirror=server.url)
    assert pauses[:2] == [1, 2]
    assert server.requests.count(f"/{NAME}") == 3


def test_a_missing_file_is_asked_for_once(server, tmp_path, one_file):
    server.contents = {}
    with pytest.raises(DownloadError, match="HTTP 404"):
        fetch_data(tmp_path, mirror=server.url)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "content",
    [
        BODY[:-1] + b"x",
        BODY[:HALF],
        b"<!DOCTYPE html><html><body>Log in</body></html>",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        b"",
    ],
    ids=["corrupt", "cut off", "HTML", "LFS pointer", "empty"],
)
def test_other_content_is_refused(server, tmp_path, one_file, content):
    server.contents = {f"/{NAME}": content}
    expected = f"{NAME}.*expected git blob id {IDS[NAME]}, found {blob_id(content)}"
    with pytest.raises(DownloadError, match=expected) as error:
        fetch_data(tmp_path, mirror=server.url)
    assert "\n" not in str(error.value)
    assert not target(tmp_path).exists()
    assert left(tmp_path) == []


@pytest.mark.parametrize("announced", [True, False])
def test_too_large_a_file_is_refused(server, tmp_path, one_file, monkeypatch, announced):
    def unannounced(handler, body):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(50):
            handler.wfile.write(body)

    monkeypatch.setattr(downloads, "DATA_LIMIT", 2 * len(BODY))
    server.contents = {f"/{NAME}": BODY}
    server.always(answer(length=2 * len(BODY) + 1) if announced else unannounced)
    with pytest.raises(DownloadError, match=f"more than {2 * len(BODY)} bytes"):
        fetch_data(tmp_path, mirror=server.url)
    assert server.requests.count(f"/{NAME}") == 1
    assert left(tmp_path) == []


@pytest.mark.parametrize("scheme", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x"])
def test_a_redirect_to_another_scheme_is_refused(server, tmp_path, one_file, scheme):
    server.always(answer(302, b"", {"Location": scheme}))
    with pytest.raises(DownloadError, match="No connection adapters were found"):
        fetch_data(tmp_path, mirror=server.url)
    assert not target(tmp_path).exists()


def test_a_redirect_to_another_host_gives_the_same_file_or_none(server, tmp_path, one_file):
    server.always(answer(302, b"", {"Location": "http://127.0.0.1:9/x"}))
    with pytest.raises(DownloadError, match="Connection refused"):
        fetch_data(tmp_path, mirror=server.url)


def test_endless_redirects(server, tmp_path, one_file):
    server.always(answer(302, b"", {"Location": f"/{NAME}"}))
    with pytest.raises(DownloadError, match="30 redirects"):
        fetch_data(tmp_path, mirror=server.url)


def test_no_http_at_all(server, tmp_path, one_file):
    server.contents = {f"/{NAME}": BODY}
    server.always(lambda handler, body: handler.wfile.write(b"SSH-2.0-OpenSSH\r\n"))
    with pytest.raises(DownloadError, match=r"SSH-2\.0"):
        fetch_data(tmp_path, mirror=server.url)


def test_an_unreachable_host_is_not_tried_for_every_file(tmp_path, monkeypatch):
    import requests

    asked = []
    get = requests.get
    monkeypatch.setattr(requests, "get", lambda *a, **o: asked.append(a) or get(*a, **o))
    with Server() as closed:
        url = closed.url
    with pytest.raises(DownloadError, match=r"4 of 4 not fetched: .*refused.*no connection"):
        fetch_data(tmp_path, mirror=url)
    assert len(asked) == downloads.RETRIES + 1


def test_one_failure_keeps_the_other_files(server, tmp_path):
    server.contents[f"/{NAME}"] = b"corrupt"
    with pytest.raises(DownloadError, match=f"1 of 4 not fetched: {NAME} .*run the command again"):
        fetch_data(tmp_path, mirror=server.url)
    there = {name for name in CONTENTS if target(tmp_path, name).exists()}
    assert there == set(CONTENTS) - {NAME}


# Several at once; disks; arguments


def test_sixteen_processes_at_once(server, tmp_path):
    def slow(handler, body):
        time.sleep(0.5)
        handler.reply(200, body)

    server.always(slow)
    code = "fetch_data(folder, mirror=url)"
    processes = [child(code, folder=tmp_path, url=server.url) for _ in range(16)]
    errors = [process.communicate(timeout=30)[1] for process in processes]
    assert errors == [""] * 16
    assert target(tmp_path).read_bytes() == BODY
    assert left(tmp_path) == []


@pytest.mark.parametrize("source", ["server", "folder"])
def test_a_full_disk_leaves_no_file(server, tmp_path, source):
    (tmp_path / NAME).write_bytes(BODY)
    code = (
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try:\n    fetch_data(folder, mirror=mirror)\n"
        "except downloads.DownloadError as error:\n    print(error)\n"
    )
    mirror = server.url if source == "server" else tmp_path
    output, errors = child(code, folder=tmp_path / "data", mirror=mirror).communicate(timeout=20)
    assert errors == ""
    assert "File too large; free space or choose another folder" in output
    assert not target(tmp_path / "data").exists()
    assert left(tmp_path / "data") == []


def test_a_folder_that_cannot_be_written_to(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write to the folder"):
        fetch_data(tmp_path / "file", mirror=server.url)
    assert server.requests == []


def test_a_folder_of_the_files_name(server, tmp_path, one_file):
    target(tmp_path).mkdir(parents=True)
    with pytest.raises(DownloadError, match=r"cannot write .*Is a directory"):
        fetch_data(tmp_path, mirror=server.url)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"datasets": [11]}, "dataset 11 does not exist; choose from 1 to 10"),
        ({"datasets": 0}, "dataset 0 does not exist"),
        ({"splits": ["training"]}, "split training does not exist; choose from train, test"),
        ({"datasets": [7], "splits": "test"}, "sets 6 to 10 have no test split"),
        ({"datasets": []}, "no competition file is chosen"),
    ],
)
def test_impossible_arguments(tmp_path, arguments, message):
    with pytest.raises(UsageError, match=message):
        fetch_data(tmp_path, **arguments)


@pytest.mark.parametrize("mirror", ["ftp://127.0.0.1", "file:///etc", "/no/such/folder", "x" * 999])
def test_impossible_mirrors(tmp_path, mirror):
    with pytest.raises(DownloadError, match=r"neither an http\(s\) address nor a folder"):
        fetch_data(tmp_path, mirror=mirror)


@pytest.mark.parametrize("mirror", ["http://", "http://[", "http://127.0.0.1:port", "http://a b/"])
def test_malformed_addresses(tmp_path, one_file, mirror):
    with pytest.raises(DownloadError, match=f"1 of 1 not fetched: {NAME}"):
        fetch_data(tmp_path, mirror=mirror)


# Weights


def test_weights_are_cached_and_then_need_no_network(server):
    assert cached_weights("published") is None
    path = fetch_weights(mirror=server.url)
    assert path.read_bytes() == WEIGHTS_BODY
    assert server.requests == ["/model_convnet_6"]
    assert fetch_weights() == path  # whose public address is nowhere here
    assert cached_weights("published") == path
    assert len(server.requests) == 1


def test_damaged_cached_weights_are_fetched_again(server):
    path = fetch_weights(mirror=server.url)
    path.write_bytes(WEIGHTS_BODY[:-1])
    assert cached_weights("published") is None
    assert fetch_weights(mirror=server.url).read_bytes() == WEIGHTS_BODY


def test_weights_from_a_local_folder(tmp_path):
    (tmp_path / "model_convnet_6").write_bytes(WEIGHTS_BODY)
    assert fetch_weights(mirror=tmp_path).read_bytes() == WEIGHTS_BODY


def test_other_weights_are_refused(server):
    server.contents["/model_convnet_6"] = b"<html>"
    found = hashlib.sha256(b"<html>").hexdigest()
    with pytest.raises(DownloadError, match=f"model_convnet_6.*expected sha256.*found {found}"):
        fetch_weights(mirror=server.url)
    assert cached_weights("published") is None


def test_unknown_weights():
    for function in (fetch_weights, cached_weights):
        with pytest.raises(UsageError, match="no weights 'mine'; choose from published"):
            function("mine")


def test_weights_go_to_the_users_cache(monkeypatch):
    import platformdirs

    monkeypatch.delenv("SPIKEFINDER_CACHE")
    assert downloads.cache_folder() == Path(platformdirs.user_cache_dir("spikefinder_keras"))


# The real files


@pytest.fixture
def real_tables(monkeypatch):
    if not os.environ.get("SPIKEFINDER_DATA"):
        pytest.skip("SPIKEFINDER_DATA does not name a folder with the competition's files")
    monkeypatch.undo()
    return Path(os.environ["SPIKEFINDER_DATA"])


def test_the_real_files_match_the_tables(real_tables, tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKEFINDER_CACHE", str(tmp_path / "cache"))
    paths = fetch_data(tmp_path, [4, 5, 6], "train", mirror=real_tables)
    paths += fetch_data(tmp_path, 4, "test", mirror=real_tables)
    assert [path.name.split(".")[0] for path in paths] == list("44556644")
    with pytest.raises(DownloadError, match=r"2 of 2 not fetched: 5\.test"):
        fetch_data(tmp_path, 5, "test", mirror=real_tables)
    assert fetch_weights(mirror=real_tables / "published").stat().st_size == 83_592


@pytest.mark.parametrize("length", ["x", "-1", "²", "9" * 5_000, "1e3", "5, 5"])
def test_a_length_that_is_none(server, tmp_path, one_file, length):
    """A server may say anything of it: the file comes, or an error that is ours."""
    server.always(answer(length=length))
    with suppress(DownloadError):
        fetch_data(tmp_path, mirror=server.url)
    assert left(tmp_path) == []


@pytest.mark.parametrize("sent", [0, 1])
def test_no_byte_is_taken_beyond_the_limit(server, tmp_path, one_file, monkeypatch, sent):
    """A server that announces no length is left at the limit, not at a multiple of it."""
    limit = 5 * downloads.CHUNK
    endings = []

    def unannounced(handler, body):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(bytes(limit + sent))
        endings.append(1)

    monkeypatch.setattr(downloads, "DATA_LIMIT", limit)
    server.always(unannounced)
    reason = f"more than {limit} bytes" if sent else "not the published file"
    with pytest.raises(DownloadError, match=reason):
        fetch_data(tmp_path, mirror=server.url)


def test_the_limits_are_those_of_the_competitions_files():
    assert downloads.DATA_LIMIT == 64 << 20
    assert downloads.WEIGHTS_LIMIT == 1 << 20


def test_a_folder_is_asked_once_for_what_it_does_not_have(tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr("time.sleep", waits.append)
    monkeypatch.setattr("spikefinder_keras.files.downloads.MOST_NAMED", 3)
    (tmp_path / "mirror").mkdir()
    with pytest.raises(DownloadError, match=r"the mirror does not have it.* and 1 more; ") as error:
        fetch_data(tmp_path / "data", mirror=tmp_path / "mirror")
    assert waits == []
    assert len(str(error.value)) < 400
