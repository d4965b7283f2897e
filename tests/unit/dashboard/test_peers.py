"""Whose connection a request comes over: ours and root's need no login."""

import os
import socket
from pathlib import Path

import pytest
from starlette.types import Scope

from rayfleet.dashboard.peers import ours, user_of

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LINE = "   0: {local} {remote} 01 00000000:00000000 00:00000000 00000000 {user:5d}        0 123 1 0 20 4 0 10 -1\n"
SERVER = ("127.0.0.1", 8300)
V4 = "0100007F"
MAPPED = "0000000000000000FFFF00000100007F"
V6 = "00000000000000000000000001000000"


def table(folder: Path, *rows: tuple[str, str, int]) -> Path:
    path = folder / "tcp"
    lines = (LINE.format(local=local, remote=remote, user=user) for local, remote, user in rows)
    path.write_text(HEAD + "".join(lines))
    return path


def scope(client: tuple[str, int] | None, server: tuple[str, int] | None = SERVER) -> Scope:
    return {"type": "http", "client": client, "server": server}


@pytest.mark.parametrize(
    ("client", "server", "written"),
    [
        (("127.0.0.1", 40000), SERVER, V4),
        (("127.0.0.1", 40000), SERVER, MAPPED),
        (("::ffff:127.0.0.1", 40000), SERVER, V4),
        (("::1", 40000), ("::1", 8300), V6),
    ],
)
def test_the_kernel_tells_whose_end_it_is(
    tmp_path: Path, client: tuple[str, int], server: tuple[str, int], written: str
) -> None:
    theirs, ours_ = f"{written}:9C40", f"{written}:206C"
    rows = (ours_, theirs, 0), (theirs, ours_, 1234)  # the server's own end is not asked for
    assert user_of(client, server, [table(tmp_path, *rows)]) == 1234


@pytest.mark.parametrize(("user", "known"), [(os.getuid(), True), (0, True), (os.getuid() + 4321, False)])
def test_only_our_own_connections_and_those_of_root_are_known(tmp_path: Path, user: int, known: bool) -> None:
    is_ours = ours([table(tmp_path, ("0100007F:9C40", "0100007F:206C", user))])
    assert is_ours(scope(("127.0.0.1", 40000))) is known
    assert not is_ours(scope(("127.0.0.1", 40001)))


@pytest.mark.parametrize("client", [None, ("testclient", 50000), ("192.0.2.7", 40000)])
def test_whoever_is_not_on_this_machine_is_not_known(client: tuple[str, int] | None) -> None:
    assert not ours()(scope(client))


def test_whoever_has_closed_their_end_is_not_taken_for_root(tmp_path: Path) -> None:
    """Until Linux 6.17 the kernel writes user 0 for an end that no process holds any more."""
    path = table(tmp_path, ("0100007F:9C40", "0100007F:206C", 0))
    path.write_text(path.read_text().replace(" 0 123 1 0 ", " 0 0 1 0 "))
    assert not ours([path])(scope(("127.0.0.1", 40000)))


def test_a_request_that_was_sent_and_left_alone_is_not_ours() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = listening.getsockname()
        client = socket.create_connection(server)
        address = client.getsockname()
        accepted, _ = listening.accept()
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        client.close()
        with accepted:
            assert not ours()(scope(address, server))


def test_where_the_kernel_tells_nothing_nobody_is_known(tmp_path: Path) -> None:
    assert not ours([tmp_path / "none"])(scope(("127.0.0.1", 40000)))


def test_a_real_connection_is_ours() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = listening.getsockname()
        with socket.create_connection(server) as client:
            assert ours()(scope(client.getsockname(), server))
            assert not ours()(scope(client.getsockname(), ("127.0.0.2", server[1])))
