"""Who may look: whoever has the address, from this computer, and no page of another origin."""

import http.client
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("bokeh", reason="the extra `view` is not installed")

CODE = """
import sys
from bokeh.models import Div
from spikefinder_keras.view.server import serve
serve(lambda document: document.add_root(Div(text="secret")), lambda at: print(at, flush=True))
"""


@pytest.fixture(scope="module")
def address():
    """Port and token of a server in a process of its own, as for a user."""
    # What Bokeh's environment allows is no matter.
    loose = {"BOKEH_ALLOW_WS_ORIGIN": "*", "BOKEH_RESOURCES": "cdn"}
    run = subprocess.Popen(
        [sys.executable, "-c", CODE], stdout=subprocess.PIPE, text=True, env={**os.environ, **loose}
    )
    found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/([\w-]{43})/\n", run.stdout.readline())
    yield int(found[1]), found[2]
    run.kill()
    run.wait()


def ask(port, path, headers, method="GET"):
    """Status and answer of one request with exactly these headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read() if answer.status != 101 else b""
    connection.close()
    return found


def websocket(token):
    return [
        ("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Protocol", f"bokeh, {token}"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def session(address):
    port, token = address
    status, _, page = ask(port, f"/{token}/", [("Host", f"127.0.0.1:{port}")])
    assert status == 200
    return re.search(rb'"token":"([^"]+)"', page)[1].decode()


PATHS = ("/", "/ws", "/autoload.js", "/metadata", "/static/js/bokeh.min.js")


def test_who_has_the_address_is_let_in(address, session):
    port, token = address
    for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
        for origin in ([], [("Origin", f"http://{host}")]):
            for path in PATHS:
                more = websocket(session) if path == "/ws" else []
                path = f"{path}?bokeh-autoload-element=a" if path == "/autoload.js" else path
                status, headers, _ = ask(port, f"/{token}{path}", [("Host", host), *origin, *more])
                assert status == (101 if path == "/ws" else 200), (path, origin)
                if path != "/ws":
                    assert headers["Referrer-Policy"] == "no-referrer"
                    assert headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("wrong", ["absent", "other", "short", "long", "case", "query"])
def test_a_wrong_or_absent_token(address, session, path, wrong):
    port, token = address
    first = {
        "absent": "", "other": "/" + "x" * 43, "short": f"/{token[:-1]}", "long": f"/{token}x",
        "case": f"/{token.swapcase()}", "query": "",
    }[wrong]  # fmt: skip
    path = f"{first}{path}" + (f"?token={token}" if wrong == "query" else "")
    more = websocket(session) if "/ws" in path else []
    status, _, answer = ask(port, path, [("Host", f"127.0.0.1:{port}"), *more])
    assert (status, b"secret" in answer) == (403, False)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("headers", [
    [("Host", "evil.example")], [("Host", "evil.example:{port}")], [("Host", "127.0.0.1")],
    [("Host", "127.0.0.1:1")], [("Host", "127.0.0.1.evil.example:{port}")], [],
    [("Host", "127.0.0.1:{port}@evil.example")], [("Host", "0.0.0.0:{port}")],
    [("Host", "127.0.0.1:{port}"), ("Host", "evil.example")],
    [("Host", "127.0.0.1:{port}"), ("Origin", "http://evil.example")],
    [("Host", "127.0.0.1:{port}"), ("Origin", "https://127.0.0.1:{port}")],
    [("Host", "127.0.0.1:{port}"), ("Origin", "http://127.0.0.1:1")],
    [("Host", "127.0.0.1:{port}"), ("Origin", "null")],
    [("Host", "127.0.0.1:{port}"), ("Sec-WebSocket-Origin", "http://evil.example")],
    [("Host", "127.0.0.1:{port}"), ("Origin", "http://127.0.0.1:{port}"),
     ("Origin", "http://evil.example")],
])  # fmt: skip
def test_other_hosts_and_origins(address, session, path, headers):
    port, token = address
    headers = [(name, value.format(port=port)) for name, value in headers]
    more = websocket(session) if path == "/ws" else []
    status, _, answer = ask(port, f"/{token}{path}", [*headers, *more])
    # Tornado itself refuses what has no host, or two.
    assert status in (400, 403)
    assert b"secret" not in answer


def test_only_this_computer_is_answered(address):
    port, _ = address
    with socket.socket(socket.AF_INET6) as other, pytest.raises(OSError):
        other.connect(("::1", port))
    own = {each[4][0] for each in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address_of in own - {"127.0.0.1"}:
        if address_of.startswith("127."):
            continue
        with socket.socket() as other, pytest.raises(OSError):
            other.connect((address_of, port))


def test_the_page_asks_no_other_server(address):
    port, token = address
    _, _, page = ask(port, f"/{token}/", [("Host", f"127.0.0.1:{port}")])
    sources = re.findall(rb'(?:src|href)="([^"]*)"', page)
    assert sources
    assert all(each.startswith(f"/{token}/static/".encode()) for each in sources)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs a user to change to")
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux alone says whose it is")
def test_another_user_who_has_seen_the_address(address):
    """As a browser's arguments are everybody's to read."""
    port, token = address
    child = os.fork()
    if not child:
        os.setuid(4321)
        status, _, answer = ask(port, f"/{token}/", [("Host", f"127.0.0.1:{port}")])
        os._exit(0 if status == 403 and b"secret" not in answer else 1)
    assert os.waitpid(child, 0)[1] == 0
