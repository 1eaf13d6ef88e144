"""Who may ask: no page of another site, by whatever name it calls this machine."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
import requests
import tiny_exports
from live_server import Running, serve

from zoo.errors import ServingError
from zoo.serving import connection
from zoo.serving.hosts import Hosts

TIMEOUT = 30
BODY = b'{"inputs": [1.0]}'


def post(running: Running, **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    url = running.predict_url("adder")
    return requests.post(url, data=BODY, headers=named, timeout=TIMEOUT)


def port(running: Running) -> int:
    return int(running.addresses.rest.rpartition(":")[2])


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.9", "localhost", "LOCALHOST.", "zoo.localhost", "[::1]"]
)
@pytest.mark.parametrize("end", ["", ":1234"])
def test_names_of_this_machine(host: str, end: str, running: Running) -> None:
    assert post(running, Host=host + end).json() == {"outputs": [11.0]}


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8501", "192.0.2.1", "0.0.0.0", "localhost.evil.example", "a@b"],
)
@pytest.mark.parametrize("path", ["/", "/ui/models", "/v1/models/adder", "/ui/page.js"])
def test_other_names_are_refused(host: str, path: str, running: Running) -> None:
    """As a browser writes them whose name of a site has been bound anew to 127.0.0.1."""
    response = requests.get(running.url(path), headers={"Host": host}, timeout=TIMEOUT)
    assert response.status_code == 403
    assert repr(host) in response.json()["error"]
    assert "--allow-host" in response.json()["error"]
    assert post(running, Host=host).status_code == 403


@pytest.mark.parametrize("content_type", ["text/plain", "application/json"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": "file://"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "https://evil.example", "Sec_Fetch_Site": "same-origin"},
    ],
    ids=str,
)
def test_pages_of_other_sites_are_refused(
    headers: dict[str, str], content_type: str, running: Running
) -> None:
    response = post(running, Content_Type=content_type, **headers)
    assert response.status_code == 403
    assert "may not use this server" in response.json()["error"]
    assert "Access-Control-Allow-Origin" not in response.headers


def test_the_own_page_may_ask(running: Running) -> None:
    for host in (f"127.0.0.1:{port(running)}", f"localhost:{port(running)}", "localhost"):
        headers = {"Host": host, "Origin": f"http://{host}", "Sec_Fetch_Site": "same-origin"}
        assert post(running, **headers).status_code == 200
    assert post(running, Host="localhost", Origin="http://localhost:80").status_code == 200
    headers = {"Sec-Fetch-Site": "cross-site"}  # a link to the page
    response = requests.get(running.url("/"), headers=headers, timeout=TIMEOUT)
    assert response.status_code == 200
    assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_names_that_are_allowed(tmp_path: Path) -> None:
    tiny_exports.save_adder(tmp_path / "adder" / "1", 1)
    with serve(tmp_path, allow_hosts=["Zoo.example"]) as addresses:
        running = Running(addresses, tmp_path, {})
        assert post(running, Host="zoo.example:80").status_code == 200
        assert post(running, Host="zoo.example", Origin="https://zoo.example").status_code == 200
        assert post(running, Host="evil.example").status_code == 403


def test_a_server_of_every_address_has_no_name() -> None:
    hosts = Hosts("0.0.0.0")
    assert "192.0.2.7:8501" in hosts
    assert "[2001:db8::1]" in hosts
    assert "evil.example" not in hosts
    assert "127.0.0.1" not in Hosts("192.0.2.7")
    with pytest.raises(ServingError, match="is no name of a host"):
        Hosts("127.0.0.1", ["http://zoo.example"])


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: local"])
def test_headers_have_a_time_limit(
    sent: bytes, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEADER_SECONDS", 2.0)
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", port(running)), timeout=TIMEOUT) as client:
        client.sendall(sent)
        for byte in b"ho" if sent else b"":  # a byte more does not start the time anew
            client.settimeout(0.8)
            with pytest.raises(TimeoutError):
                client.recv(1)
            client.sendall(bytes([byte]))
        client.settimeout(TIMEOUT)
        assert client.recv(1) == b""
    assert time.monotonic() - start < 3.4  # 1.6 + 2.0 s where each byte did


def test_a_request_in_pieces_is_answered(running: Running) -> None:
    """Two of them over one connection."""
    with socket.create_connection(("127.0.0.1", port(running)), timeout=TIMEOUT) as client:
        for _ in range(2):
            for piece in (b"GET /v1/models/adder", b" HTTP/1.1\r\nHost:", b" localhost\r\n\r\n"):
                client.sendall(piece)
            answer = b""
            while not answer.endswith(b"]}"):
                answer += client.recv(4096)
            assert answer.startswith(b"HTTP/1.1 200")


def test_a_body_has_a_time_limit(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.serving.rest.BODY_SECONDS", 0.5)
    with socket.create_connection(("127.0.0.1", port(running)), timeout=TIMEOUT) as client:
        head = b"POST /v1/models/adder:predict HTTP/1.1\r\nHost: localhost\r\n"
        client.sendall(head + b"Content-Length: 9\r\n\r\n{")
        assert client.recv(4096).startswith(b"HTTP/1.1 408")
