"""Whether a server answers: asked of servers on this machine."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from keras_invprune_lab.data import network
from keras_invprune_lab.data.network import unreachable


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def address():
    """Of a server that answers whatever is asked of it with an error."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_server_that_answers_is_reached(address, capfd):
    assert unreachable(f"http://{address}/some/file?of=it") is None


def test_nobody_listens():
    assert "Connection refused" in unreachable("http://127.0.0.1:9/data")


def test_a_server_that_says_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(network, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        assert unreachable(url)


def test_a_name_that_is_looked_up_for_minutes_is_given_up(monkeypatch):
    held = threading.Event()
    monkeypatch.setattr(network, "SECONDS", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: held.wait(60))
    assert unreachable("https://some.host/data") == (
        "some.host does not answer within 0.2 seconds"
    )
    held.set()


def test_a_proxy_is_asked_where_there_is_one(address, monkeypatch):
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("http_proxy", f"http://{address}")
    assert unreachable("http://no.such.host/data") is None


def test_what_is_no_address_is_no_server():
    assert unreachable("http://a b/data")
