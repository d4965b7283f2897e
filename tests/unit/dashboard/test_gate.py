"""The gate: names, other sites, login, tries, headers."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from rayfleet.dashboard.gate import COOKIE, Door, Gate, is_our_name, safe_target
from rayfleet.dashboard.login import SESSION_S, WINDOW_S, WRONG_TRIES, Login, Tries

TOKEN = "t0ken-of-more-than-thirty-two-letters"
HOST = "http://10.0.0.5:8300"


@dataclass
class Hand:
    """A clock that somebody turns."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


async def secret(request: Request) -> Response:
    return PlainTextResponse(f"inside {request.method}")


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("inside")
    await websocket.close()


INSIDE = Starlette(
    routes=[Route("/", secret, methods=["GET", "POST"]), Route("/c/x", secret), WebSocketRoute("/ws", socket)]
)


@dataclass
class Server:
    """A gate before a page, and the clock that it goes by."""

    clock: Hand = field(default_factory=Hand)
    login: bool = True
    names: frozenset[str] = frozenset({"fleet.example"})

    def client(self, base_url: str = HOST) -> TestClient:
        login = Login(TOKEN, self.clock) if self.login else None
        door = Door(login, Tries(self.clock), self.names, "/home/me/token-file", "body {}")
        return TestClient(Gate(INSIDE, door), base_url=base_url, follow_redirects=False)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def client(server: Server) -> TestClient:
    return server.client()


def log_in(client: TestClient, token: str = TOKEN, path: str = "/login") -> Any:
    return client.post(path, data={"token": token})


# ---- whose connection it is ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
def test_who_is_known_by_the_connection_needs_no_token(known: bool) -> None:
    clock = Hand()
    door = Door(Login(TOKEN, clock), Tries(clock), knows=lambda scope: known and scope["client"] is not None)
    client = TestClient(Gate(INSIDE, door), base_url=HOST, follow_redirects=False)
    headers = {"host": "10.0.0.5:8300"}
    assert client.get("/").status_code == (200 if known else 303)
    if known:
        with client.websocket_connect("/ws", headers=headers) as opened:
            assert opened.receive_text() == "inside"
    else:
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/ws", headers=headers):
            pass


# ---- login --------------------------------------------------------------------------------------------------------


def test_who_is_not_known_is_sent_to_the_login_and_back(client: TestClient) -> None:
    answer = client.get("/c/x")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/c/x")
    assert "inside" not in answer.text
    welcome = log_in(client, path=answer.headers["location"])
    assert (welcome.status_code, welcome.headers["location"]) == (303, "/c/x")
    assert client.get("/c/x").text == "inside GET"


def test_a_login_leads_to_the_log_that_was_asked_for(client: TestClient) -> None:
    assert client.get("/c/a%2Fb").headers["location"] == "/login?next=/c/a%252Fb"
    asked = "/c/x?node=a%20b&file=worker%26.out"
    answer = client.get(asked)
    assert answer.headers["location"] == "/login?next=/c/x%3Fnode%3Da%2520b%26file%3Dworker%2526.out"
    assert log_in(client, path=answer.headers["location"]).headers["location"] == asked


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(client: TestClient) -> None:
    cookie = log_in(client).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie


def test_a_wrong_token_is_refused(client: TestClient) -> None:
    answer = log_in(client, TOKEN[:-1])
    assert answer.status_code == 401
    assert "That is not the token" in answer.text
    assert client.get("/").status_code == 303


def test_the_login_page_says_where_the_token_is_and_not_what(client: TestClient) -> None:
    text = client.get("/login").text
    assert "/home/me/token-file" in text
    assert TOKEN not in text


def test_too_many_wrong_tries_have_to_wait_and_the_right_one_too(server: Server, client: TestClient) -> None:
    for _ in range(WRONG_TRIES):
        assert log_in(client, "wrong").status_code == 401
    answer = log_in(client)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == str(int(WINDOW_S))
    server.clock.now += WINDOW_S
    assert log_in(client).status_code == 303


def test_a_session_ends(server: Server, client: TestClient) -> None:
    log_in(client)
    server.clock.now += SESSION_S - 1
    assert client.get("/").status_code == 200
    server.clock.now += 2
    assert client.get("/").status_code == 303


@pytest.mark.parametrize("change", ["", "x", "1.2.3", "9999999999.aa.bb", "٣.aa.bb", "." * 3, "9" * 5000 + ".a.b"])
def test_a_cookie_that_somebody_made_is_none(client: TestClient, change: str) -> None:
    assert client.get("/", headers={b"cookie": f"{COOKIE}={change}".encode()}).status_code == 303


def test_a_cookie_whose_end_somebody_has_put_off_is_none(server: Server, client: TestClient) -> None:
    ends, rest = Login(TOKEN, server.clock).session().split(".", 1)
    assert client.get("/", headers={"cookie": f"{COOKIE}={ends}.{rest}"}).status_code == 200
    assert client.get("/", headers={"cookie": f"{COOKIE}={int(ends) + 1}.{rest}"}).status_code == 303


def test_who_logs_out_is_not_known_any_more(client: TestClient) -> None:
    log_in(client)
    assert client.get("/logout").headers["location"] == "/login"
    assert client.get("/").status_code == 303


def test_a_long_body_is_no_token(client: TestClient) -> None:
    assert log_in(client, TOKEN + "x" * 100_000).status_code == 401


def test_nothing_of_the_framework_is_served_before_the_login(client: TestClient) -> None:
    assert client.get("/_nicegui/anything").status_code == 401
    assert client.post("/").status_code == 401


def test_without_a_login_the_page_is_open(server: Server) -> None:
    server.login = False
    client = server.client()
    assert client.get("/").text == "inside GET"
    assert client.get("/login").headers["location"] == "/"


# ---- names and other sites ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["localhost:8300", "127.0.0.1", "10.0.0.5:1", "[::1]:8300", "fleet.example", "LOCALHOST", "localhost."]
)
def test_our_own_names_are_known(host: str) -> None:
    assert is_our_name(host, frozenset({"fleet.example"}))


@pytest.mark.parametrize(
    "host", ["", "evil.example", "localhost.evil.example", "127.0.0.1.nip.example", "[::1", "a@b", "x:y"]
)
def test_other_names_are_not_so_that_nobody_can_point_theirs_here(host: str) -> None:
    assert not is_our_name(host, frozenset({"fleet.example"}))


def test_a_name_that_is_not_ours_gets_nothing(server: Server) -> None:
    server.login = False
    answer = server.client("http://evil.example:8300").get("/")
    assert answer.status_code == 421
    assert "inside" not in answer.text


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://10.0.0.5:8301", "https://10.0.0.5"])
def test_another_sites_page_cannot_act(server: Server, origin: str) -> None:
    server.login = False
    answer = server.client().post("/", headers={"origin": origin})
    assert answer.status_code == 403
    assert server.client().post("/", headers={"origin": HOST}).status_code == 200


def test_another_sites_page_cannot_read(server: Server) -> None:
    """The framework lets every site read what its sockets say when they are asked as plain requests."""
    server.login = False
    assert server.client().get("/", headers={"origin": "http://evil.example"}).status_code == 403
    assert server.client().get("/", headers={"origin": HOST}).status_code == 200


@pytest.mark.parametrize(
    ("site", "dest", "status"),
    [
        ("cross-site", "image", 403),
        ("same-site", "script", 403),
        ("cross-site", "empty", 403),
        ("cross-site", "document", 200),
        ("same-origin", "script", 200),
        ("none", "document", 200),
    ],
)
def test_other_sites_may_lead_here_and_hold_nothing_of_us(server: Server, site: str, dest: str, status: int) -> None:
    server.login = False
    answer = server.client().get("/c/x", headers={"sec-fetch-site": site, "sec-fetch-dest": dest})
    assert answer.status_code == status


def test_another_sites_page_cannot_open_a_connection(server: Server) -> None:
    server.login = False
    with (
        pytest.raises(WebSocketDisconnect),
        server.client().websocket_connect("/ws", headers={"origin": "http://evil.example"}),
    ):
        pass
    with server.client().websocket_connect("/ws", headers={"origin": HOST, "host": "10.0.0.5:8300"}) as opened:
        assert opened.receive_text() == "inside"


def test_who_is_not_known_cannot_open_a_connection(client: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/ws"):
        pass


@pytest.mark.parametrize("path", ["//evil.example", "https://evil.example", "/\\evil.example", "", "/a\nb"])
def test_a_login_never_leads_away(path: str) -> None:
    assert safe_target(path) == "/"


def test_every_answer_carries_the_headers(client: TestClient) -> None:
    for path in ("/", "/login"):
        headers = client.get(path).headers
        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "connect-src" not in headers["content-security-policy"]
        assert "http" not in headers["content-security-policy"]
