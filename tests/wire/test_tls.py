"""Real servers on the loopback: who is believed, and who is not."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fastapi import FastAPI, Request

from sojourn.errors import ConfigurationError, TransportError
from sojourn.identity.keys import PrivateKey
from sojourn.wire.authorities import create_authority, issue_server
from sojourn.wire.requests import SignedAuth, target, verify
from sojourn.wire.serving import MAX_QUESTION, serve, serve_locally
from sojourn.wire.transport import MAX_ANSWER, ServerRefused, call, https_client, unix_client

KEY = PrivateKey.generate()


def application():
    app = FastAPI()
    app.state.entered = threading.Event()

    @app.post("/signed")
    async def signed(request: Request) -> dict[str, str]:
        key = verify(
            request.method,
            target(request.scope),
            request.headers,
            await request.body(),
            key_of={KEY.public.hex: KEY.public}.get,
            now=time.time(),
            seen=lambda nonce: False,
        )
        return {"key": key.hex}

    @app.get("/hello")
    async def hello() -> dict[str, str]:
        return {"hello": "world"}

    @app.get("/never")
    async def never() -> None:
        app.state.entered.set()
        await asyncio.Event().wait()

    @app.get("/long")
    async def long(letters: int) -> dict[str, str]:
        return {"said": ("0123456789" * (letters // 10 + 1))[:letters]}

    @app.get("/huge")
    async def huge() -> str:
        return "x" * MAX_ANSWER

    return app


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    folder = tmp_path_factory.mktemp("authority")
    pem = create_authority(folder)
    return folder, pem, issue_server(folder, ["localhost", "127.0.0.1"])


@pytest.fixture(scope="module")
def server(authority):
    _, _, (cert, key) = authority
    with serve(application(), "127.0.0.1", 0, cert=cert, key=key) as server:
        yield server


def ask(url, pem, path="/hello", method="GET", auth=None, **settings):
    with https_client(url, pem, auth, timeout=10) as client:
        return call(client, method, path, **settings)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_right_authority_and_name_are_believed(server, authority, host):
    assert ask(f"https://{host}:{server.port}", authority[1]) == {"hello": "world"}


def test_signed_request_over_the_network(server, authority):
    document = ask(
        f"https://localhost:{server.port}", authority[1], "/signed?a=%2F", "POST", SignedAuth(KEY), json={"n": 1}
    )
    assert document == {"key": KEY.public.hex}


def test_program_of_its_own_reaches_the_server(server, authority):
    folder, _, _ = authority
    script = (
        "import sys; from pathlib import Path; from sojourn.wire.transport import *\n"
        "client = https_client(sys.argv[1], Path(sys.argv[2]).read_text(), None, 10)\n"
        "print(call(client, 'GET', '/hello')['hello'])"
    )
    command = [sys.executable, "-c", script, f"https://localhost:{server.port}", str(folder / "ca.pem")]
    # A proxy in the environment is not used: nothing listens on it.
    environment = {"HTTPS_PROXY": "http://127.0.0.1:9", "PYTHONPATH": ":".join(sys.path)}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert (run.stdout, run.returncode) == ("world\n", 0), run.stderr


def test_other_authority_of_the_same_kind_is_not_believed(server, tmp_path):
    with pytest.raises(TransportError, match="did not prove who it is"):
        ask(f"https://localhost:{server.port}", create_authority(tmp_path))


@pytest.fixture
def everywhere(authority):
    """The same server on every address; Linux answers on all of 127.0.0.0/8."""
    _, _, (cert, key) = authority
    with serve(application(), "0.0.0.0", 0, cert=cert, key=key) as server:
        yield server


def test_reachable_server_under_another_address_is_not_believed(everywhere, authority):
    assert ask(f"https://127.0.0.1:{everywhere.port}", authority[1]) == {"hello": "world"}
    with pytest.raises(TransportError, match="did not prove who it is"):
        ask(f"https://127.0.0.2:{everywhere.port}", authority[1])


@pytest.mark.parametrize(("days", "what"), [(-400, "expired"), (2, "not yet valid")], ids=["expired", "not yet valid"])
def test_certificate_outside_its_time_is_not_believed(tmp_path, days, what):
    now = datetime.now(UTC)
    pem = create_authority(tmp_path, now=now - timedelta(days=500))
    cert, key = issue_server(tmp_path, ["localhost"], now=now + timedelta(days=days))
    with (
        serve(application(), "127.0.0.1", 0, cert=cert, key=key) as server,
        pytest.raises(TransportError, match="did not prove") as caught,
    ):
        ask(f"https://localhost:{server.port}", pem)
    assert what in str(caught.value.__cause__)


def test_expired_authority_is_not_believed(tmp_path):
    now = datetime.now(UTC)
    pem = create_authority(tmp_path, now=now - timedelta(days=3700))
    cert, key = issue_server(tmp_path, ["localhost"])
    with (
        serve(application(), "127.0.0.1", 0, cert=cert, key=key) as server,
        pytest.raises(TransportError, match="did not prove"),
    ):
        ask(f"https://localhost:{server.port}", pem)


@pytest.mark.parametrize("letters", [0, 4084, 4085, 4086, 8181, 8182, 65_525, 65_526, 3_000_000])
def test_an_answer_in_pieces_is_the_answer(authority, server, letters):
    """Its JSON has 11 letters more: sizes beside one, two and sixteen pieces of 4,096 bytes, and far beyond."""
    said = ask(f"https://localhost:{server.port}", authority[1], f"/long?letters={letters}")["said"]
    assert len(said) == letters and said == ("0123456789" * (letters // 10 + 1))[:letters]


@pytest.mark.parametrize("url", ["http://localhost:1", "localhost:1", "ftp://localhost", ""])
def test_plain_http_is_refused_before_a_byte_is_sent(authority, url):
    with pytest.raises(ConfigurationError, match="https"):
        https_client(url, authority[1], None, timeout=1)


def test_server_answers_no_plain_http(server):
    with pytest.raises(httpx.HTTPError), httpx.Client(trust_env=False) as client:
        client.get(f"http://127.0.0.1:{server.port}/hello")


def test_server_without_tls_is_not_believed(authority, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(TransportError, match="did not prove"):
            ask(f"https://127.0.0.1:{listener.getsockname()[1]}", authority[1])
        thread.join()


def shake_hands(server, pem, newest):
    context = ssl.create_default_context(cadata=pem)
    context.maximum_version = newest
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        return connection.version()


def test_server_speaks_tls_1_3_and_nothing_older(server, authority):
    assert shake_hands(server, authority[1], ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    with pytest.raises(ssl.SSLError):
        shake_hands(server, authority[1], ssl.TLSVersion.TLSv1_2)


def test_nobody_there(authority):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TransportError, match="could not be reached"):
        ask(f"https://127.0.0.1:{port}", authority[1])


def test_answer_that_is_too_long_is_not_read(server, authority):
    with pytest.raises(TransportError, match="too long"):
        ask(f"https://localhost:{server.port}", authority[1], "/huge")


@pytest.mark.parametrize(
    ("header", "status"),
    [(f"Content-Length: {MAX_QUESTION + 1}", b"413"), ("Transfer-Encoding: chunked", b"411")],
    ids=["too long", "of unknown length"],
)
def test_question_that_is_too_long_is_refused_unread(server, authority, header, status):
    context = ssl.create_default_context(cadata=authority[1])
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(f"POST /signed HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n".encode())
        assert connection.recv(4096).split()[1] == status


def test_address_in_use_says_so(server, authority):
    _, _, (cert, key) = authority
    with pytest.raises(ConfigurationError, match="another port"):
        serve(application(), "127.0.0.1", server.port, cert=cert, key=key)


def test_key_that_does_not_fit_its_certificate_says_so(authority, tmp_path):
    _, _, (cert, _) = authority
    create_authority(tmp_path)
    _, other = issue_server(tmp_path, ["localhost"])
    with pytest.raises(ConfigurationError, match="certificate"):
        serve(application(), "127.0.0.1", 0, cert=cert, key=other).start()


def test_stop_cancels_a_long_poll(authority):
    """The poll waits for ever: only its cancellation lets `stop` and this test end."""
    _, pem, (cert, key) = authority
    app = application()
    server = serve(app, "127.0.0.1", 0, cert=cert, key=key, grace=0).start()
    outcome = []

    def poll():
        with https_client(f"https://localhost:{server.port}", pem, None, timeout=60) as client:
            try:
                call(client, "GET", "/never")
            except TransportError as error:
                outcome.append(error)

    poller = threading.Thread(target=poll)
    poller.start()
    assert app.state.entered.wait(30)
    server.stop()
    poller.join()

    assert len(outcome) == 1
    with pytest.raises(TransportError, match="could not be reached"):
        ask(f"https://localhost:{server.port}", pem)


def test_socket_file_is_for_its_owner_only(tmp_path):
    path = tmp_path / "node.sock"
    with serve_locally(application(), path):
        assert path.stat().st_mode & 0o777 == 0o600
        with unix_client(path, timeout=10) as client:
            assert call(client, "GET", "/hello") == {"hello": "world"}
            with pytest.raises(ServerRefused):
                call(client, "GET", "/nothing")
    assert not path.exists()


def test_socket_file_of_a_dead_program_is_replaced(tmp_path):
    path = tmp_path / "node.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with serve_locally(application(), path), unix_client(path, timeout=10) as client:
        assert call(client, "GET", "/hello") == {"hello": "world"}


def test_socket_file_of_a_running_program_is_left_alone(tmp_path):
    path = tmp_path / "node.sock"
    with serve_locally(application(), path), unix_client(path, timeout=10) as client:
        with pytest.raises(ConfigurationError, match="already listens"):
            serve_locally(application(), path)
        assert call(client, "GET", "/hello") == {"hello": "world"}


@pytest.mark.parametrize("obstacle", ["file", "long path"])
def test_socket_file_that_cannot_be_made(tmp_path, obstacle):
    path = tmp_path / ("x" * 200 if obstacle == "long path" else "node.sock")
    if obstacle == "file":
        path.write_text("keep me")
    with pytest.raises(ConfigurationError, match="cannot be made"):
        serve_locally(application(), path)
    assert obstacle == "long path" or path.read_text() == "keep me"
