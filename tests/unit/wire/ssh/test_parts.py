"""Pure parts of SSH: what is sent to hosts, how output becomes lines, what OpenSSH is told, what is copied."""

import subprocess
from pathlib import Path

import pytest

from rayfleet.contracts import Login
from rayfleet.wire.ssh import known_hosts, rsync
from rayfleet.wire.ssh.connecting import jump
from rayfleet.wire.ssh.lines import CHARACTERS_MAX, LINES_KEPT, LastLines
from rayfleet.wire.ssh.openssh import configuration, proxy_command
from rayfleet.wire.ssh.scripts import BASH, path_word, sent, write_script
from rayfleet.wire.ssh.selection import Selection, matches, patterns_of
from rayfleet.wire.ssh.session import Files, SshError, Target
from rayfleet.wire.ssh.tar import stale_of

# ---- lines -----------------------------------------------------------------------------------------------------------


def test_lines_are_put_together_from_any_pieces() -> None:
    told: list[str] = []
    lines = LastLines(told.append)
    for byte in "one\ntwö\n\nrest".encode():
        lines.feed(bytes([byte]))
    assert told == ["one", "twö", ""]
    assert lines.close() == ("one", "twö", "", "rest")


def test_of_many_lines_the_last_are_kept_and_of_a_long_one_its_end() -> None:
    lines = LastLines()
    lines.feed("".join(f"{n}\n" for n in range(LINES_KEPT + 5)).encode())
    lines.feed(b"x" * 50_000 + b"end")
    kept = lines.close()
    assert len(kept) == LINES_KEPT
    assert kept[0] == "6"
    assert len(kept[-1]) == CHARACTERS_MAX
    assert kept[-1].endswith("xend")


def test_a_bar_of_progress_is_what_one_sees_at_last() -> None:
    lines = LastLines()
    lines.feed(b"10%\r50%\r100%\r\nbytes \xff of anything\n")
    assert lines.close() == ("100%", "bytes \N{REPLACEMENT CHARACTER} of anything")


# ---- scripts ---------------------------------------------------------------------------------------------------------


def bash(data: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run what a host would run, here."""
    return subprocess.run(["sh", "-c", BASH], input=data, capture_output=True, check=False)


def test_a_command_gets_its_variables_and_input_and_leaves_nothing_of_ours() -> None:
    env = {"A": "it's $HOME\nand more", "B": ""}
    ran = bash(sent('printf "%s|" "$A" "$B"; cat; echo "${rayfleet_script-none}" >&2; exit 3', env, b"in\0put"))
    assert ran.returncode == 3
    assert ran.stdout.endswith(b"it's $HOME\nand more||in\0putnone\n")


def test_what_no_environment_can_have_is_refused() -> None:
    with pytest.raises(SshError, match="A-B"):
        sent("true", {"A-B": "1"})
    with pytest.raises(SshError, match="zero byte"):
        sent("a\0b")


@pytest.mark.parametrize(
    ("path", "word"),
    [("~", '"$HOME"'), ("~/a b", "\"$HOME\"/'a b'"), ("/x", "/x"), ("a;b", "'a;b'"), ("~user/x", "'~user/x'")],
)
def test_paths_are_one_word(path: str, word: str) -> None:
    assert path_word(path) == word


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "file"
    assert bash(sent(write_script(str(path), 5, 0o640), stdin=b"12345")).returncode == 0
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"12345", 0o640)
    cut = bash(sent(write_script(str(path), 9, 0o600), stdin=b"12"))
    assert (cut.returncode, b"cut off" in cut.stdout) == (1, True)
    assert path.read_bytes() == b"12345"
    assert [each.name for each in path.parent.iterdir()] == ["file"]
    assert bash(sent(write_script(str(path.parent), 0, 0o600))).returncode == 1


# ---- OpenSSH ---------------------------------------------------------------------------------------------------------


def test_the_proxy_command_gets_its_words() -> None:
    login = Login(proxy_command="ssh -W %h:%p %r@bastion 100%% %x", port=2222)
    assert proxy_command(Target("10.0.0.1", login, "i-1"), "me") == "ssh -W 10.0.0.1:2222 me@bastion 100% %x"
    with_id = Login(proxy_command="session %h", proxy_with_id=True)
    assert proxy_command(Target("10.0.0.1", with_id, "i-1"), "me") == "session i-1"


def test_what_a_target_leaves_open_is_left_to_the_users_configuration(tmp_path: Path) -> None:
    text = configuration(Target("10.0.0.1", Login()), tmp_path)
    text = text.replace("Host *\n", "")
    assert not {"User", "Port", "IdentityFile", "ProxyCommand", "UserKnownHostsFile"} & {
        line.split()[0] for line in text.splitlines()
    }
    assert '.ssh/config"' in text


def test_a_host_in_between_is_reached_by_the_users_rules_alone(tmp_path: Path) -> None:
    """What is ours of the host behind it (its name among keys, our file of them) must not hold for it."""
    target = Target("10.0.0.1", Login("me", "/k/id"), "i-1", tmp_path / "keys", "i-1")
    file = tmp_path / "config"
    file.write_text(configuration(target, tmp_path), encoding="utf-8")
    for host, holds in (("10.0.0.1", True), ("hop", False)):
        told = subprocess.run(["ssh", "-F", file, "-G", host], capture_output=True, text=True, check=True).stdout
        assert ("hostkeyalias i-1" in told, "identityfile /k/id" in told) == (holds, holds)


@pytest.mark.parametrize(
    ("jumps", "words"),
    [
        ("hop", ["-W", "[10.0.0.9]:22", "hop"]),
        ("me@hop:2222", ["-W", "[10.0.0.9]:22", "-l", "me", "-p", "2222", "hop"]),
        ("first,hop", ["-J", "first", "-W", "[10.0.0.9]:22", "hop"]),
    ],
)
def test_hosts_in_between_are_left_to_openssh(
    jumps: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    rules = {"proxyjump": jumps, "hostname": "10.0.0.9", "port": "22"}
    assert jump(Target("far", Login()), rules) == {"tunnel": None, "proxy_command": ["ssh", *words]}
    assert jump(Target("far", Login(proxy_command="nc %h %p")), rules) == {}
    assert jump(Target("far", Login()), {}) == {}


def test_our_file_of_host_keys_keeps_the_first_and_can_forget(tmp_path: Path) -> None:
    target = Target("10.0.0.1", Login(), known_hosts=tmp_path / "folder" / "known")
    other = Target("10.0.0.1", Login(port=2222), known_hosts=target.known_hosts)
    assert target.known_hosts is not None
    for each in (target, other):
        known_hosts.add(target.known_hosts, known_hosts.host_name(each), f"ssh-ed25519 {each.login.port}")
    text = known_hosts.read(target.known_hosts)
    assert known_hosts.keys_of(text, "10.0.0.1") == ("ssh-ed25519 22",)
    assert known_hosts.keys_of(text, "[10.0.0.1]:2222") == ("ssh-ed25519 2222",)
    known_hosts.forget(target)
    assert known_hosts.read(target.known_hosts) == "[10.0.0.1]:2222 ssh-ed25519 2222\n"
    known_hosts.forget(Target("10.0.0.1", Login()))


# ---- what is copied --------------------------------------------------------------------------------------------------


def test_rsync_is_told_what_to_leave_out() -> None:
    files = Files("a", "b", exclude=("*.pyc", "/x y"), filters=(".gitignore",), delete=True)
    told = rsync.arguments(files)
    assert told[-4:] == ["--delete", "--exclude=*.pyc", "--exclude=/x y", "--filter=dir-merge,- .gitignore"]


@pytest.mark.parametrize(
    ("path", "remote"),
    [("~/a", "h:a"), ("~", "h:."), ("~/", "h:."), ("/a b", "h:/a b"), ("a", "h:a")],
)
def test_paths_of_the_host_as_rsync_has_them(path: str, remote: str) -> None:
    assert rsync.remote("h", path) == remote
    assert rsync.remote("fd00::1", "/a") == "[fd00::1]:/a"


PATTERNS = [
    ("*.pyc", "a/b.pyc", False, True),
    ("*.pyc", "a/b.py", False, False),
    ("b", "a/b", True, True),
    ("b/", "a/b", False, False),
    ("b/", "a/b", True, True),
    ("/b", "a/b", False, False),
    ("/a", "a", True, True),
    ("a/b", "x/a/b", False, True),
    ("a/*", "b/c", False, False),
    ("a*c", "a/c", False, False),
    ("a/**", "a/b/c", False, True),
    ("**/c", "a/b/c", False, True),
    ("?.txt", "a.txt", False, True),
    ("?.txt", "ab.txt", False, False),
    ("[!a-c].txt", "d.txt", False, True),
    ("[!a-c].txt", "b.txt", False, False),
    ("a.c", "abc", False, False),
]


@pytest.mark.parametrize(("pattern", "path", "folder", "expected"), PATTERNS)
def test_patterns_mean_what_they_mean_to_rsync(pattern: str, path: str, folder: bool, expected: bool) -> None:
    """The same table is asked of rsync itself among the tests from end to end."""
    assert matches(pattern, path, folder=folder) is expected


def test_a_filter_file_holds_where_it_is_and_below() -> None:
    selection = Selection(("*.o",))
    selection.add("src", "# comment\n\nbuild/\n/top\n")
    assert selection.leaves_out("x.o", folder=False)
    assert selection.leaves_out("src/a/build", folder=True)
    assert not selection.leaves_out("build", folder=True)
    assert selection.leaves_out("src/top", folder=False)
    assert not selection.leaves_out("src/a/top", folder=False)
    assert patterns_of("a\n!\nb\n;c\n") == ("b",)


def test_what_is_no_longer_there_goes_and_what_is_left_out_stays() -> None:
    listing = b".\0./old\0./old/deep\0./logs\0\0./a\0./old/deep/x\0./logs/l\0./gone\0"
    assert stale_of(listing, "", {"a"}, Selection(("logs/",))) == ["gone", "old"]
    assert stale_of(listing, "top", {"top", "top/a", "top/old", "top/old/deep"}, Selection()) == [
        "gone",
        "logs",
        "old/deep/x",
    ]
