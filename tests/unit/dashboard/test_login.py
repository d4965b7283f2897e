"""The token's file, and how tries are counted."""

from pathlib import Path

import pytest

from rayfleet.dashboard.login import WINDOW_S, WRONG_TRIES, WRONG_TRIES_OF_ALL, Login, Tries, token_of


def test_the_token_is_made_once_for_its_user_only(tmp_path: Path) -> None:
    file = tmp_path / "state" / "dashboard-token"
    token = token_of(file)
    assert len(token) > 40
    assert file.stat().st_mode & 0o777 == 0o600
    assert token_of(file) == token
    assert token_of(tmp_path / "another") != token


def test_a_token_that_others_may_read_is_none(tmp_path: Path) -> None:
    file = tmp_path / "dashboard-token"
    token_of(file)
    file.chmod(0o644)
    with pytest.raises(PermissionError, match="may be read by others"):
        token_of(file)


def test_half_a_token_is_none(tmp_path: Path) -> None:
    file = tmp_path / "dashboard-token"
    token_of(file)
    file.write_text("short\n")
    with pytest.raises(PermissionError, match="holds no token"):
        token_of(file)


def test_a_login_does_not_print_its_token() -> None:
    assert "secret" not in repr(Login("secret" * 8, lambda: 0.0))


def test_a_new_token_ends_all_sessions() -> None:
    old, new = Login("a" * 40, lambda: 0.0), Login("b" * 40, lambda: 0.0)
    assert old.knows(old.session())
    assert not new.knows(old.session())


def test_one_address_does_not_lock_out_another() -> None:
    tries = Tries(lambda: 0.0)
    for _ in range(WRONG_TRIES):
        tries.wrong("1.1.1.1")
    assert tries.wait_s("1.1.1.1") == WINDOW_S
    assert tries.wait_s("2.2.2.2") == 0


def test_many_addresses_together_have_to_wait() -> None:
    now = [0.0]
    tries = Tries(lambda: now[0])
    for number in range(WRONG_TRIES_OF_ALL):
        tries.wrong(f"10.0.0.{number}")
    assert tries.wait_s("2.2.2.2") == WINDOW_S
    now[0] += WINDOW_S
    assert tries.wait_s("2.2.2.2") == 0
