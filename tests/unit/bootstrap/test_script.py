"""A recipe that the machine carries out itself: the script really runs here, in a folder that plays the machine."""

import base64
import random
from pathlib import Path

import pytest
from tests.unit.bootstrap.clusters import EXTRA, HALF, MARKED, worker_recipe
from tests.unit.bootstrap.hosts import Host

from rayfleet.bootstrap.script import SIZE_MAX, TooLarge, script, start_script
from rayfleet.bootstrap.steps import Recipe
from rayfleet.wire.user_data import FOLDER, user_data

ENV = {"RAYFLEET_MACHINE_ID": "i-1"}
SETUP = "initialization_commands: ['echo init >> ~/order']\nsetup_commands: ['echo setup >> ~/order', 'true']\n"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    found = Host.at(tmp_path / "host")
    (found.home / "sbin").mkdir()
    (found.home / "sbin/sleep").write_text("#!/bin/bash\necho slept $1 >> ~/order\n")
    (found.home / "sbin/sleep").chmod(0o755)
    return found


def carry_out(host: Host, recipe: Recipe) -> tuple[int, str]:
    """Run the script as a machine does at each boot; return how it ended and the end of its log."""
    argv = start_script(recipe).argv
    assert argv[:2] == ("/bin/bash", "-c")
    ran = host.bash(f"export PATH=$HOME/sbin:$PATH; {argv[2]}", {**ENV, "RAYFLEET_MACHINE_DIR": str(host.home)})
    return ran.code, ran.text


def test_it_sets_up_starts_and_says_so(host: Host) -> None:
    code, log = carry_out(host, worker_recipe(SETUP))
    assert (code, host.lines("order")) == (0, ["init", "setup"])
    assert host.lines("ray.log") == ["start --here id=i-1 head=h"]
    assert (host.home / "started").exists()
    token = host.home / ".rayfleet/demo/ray-token"
    assert (token.read_text(), token.stat().st_mode & 0o777) == ("secret-token", 0o600)
    assert "setup echo setup >> ~/order" in log
    assert "secret-token" not in log


def test_nobody_sees_the_token_in_a_command_line(host: Host) -> None:
    """What `ps` shows of each command that runs is written down while the token is, and during the set-up."""
    look = host.home / "look"
    look.write_text(
        "pid=$$; while [ $pid -gt 1 ]; do tr '\\0' ' ' < /proc/$pid/cmdline; echo; "
        "pid=$(sed 's/.*) //' /proc/$pid/stat | cut -d' ' -f2); done >> ~/seen\n"
    )
    (host.home / "sbin/base64").write_text('#!/bin/bash\n. ~/look\nexec /usr/bin/base64 "$@"\n')
    (host.home / "sbin/base64").chmod(0o755)
    script = start_script(worker_recipe("setup_commands: ['. ~/look']\n"))
    boot = user_data(script, cluster="demo", own_id="echo i-1", user="me")
    folder = host.home / "machine"
    boot = boot.replace(FOLDER, str(folder)).replace("/var/lib/cloud/scripts/per-boot", str(host.home / "boots"))
    for was, now in (("chown -R me", "true"), ("su - me -c", "bash -c"), ("< /dev/null &'", "< /dev/null'")):
        boot = boot.replace(was, now)
    (host.home / "boot").write_text(boot)
    ran = host.bash("export PATH=$HOME/sbin:$PATH; bash ~/boot")
    assert ran.code == 0, ran.text
    assert (folder / "started").exists(), (folder / "start.log").read_text()
    assert (host.home / ".rayfleet/demo/ray-token").read_text() == "secret-token"
    seen = (host.home / "seen").read_text()
    assert seen.count(f"{folder}/script") > 2
    secrets = ("secret-token", base64.b64encode(b"secret-token").decode())
    assert not [each for each in secrets if each in seen]


def test_a_second_run_leaves_it_alone_and_a_reboot_starts_it_again(host: Host) -> None:
    recipe = worker_recipe(SETUP)
    carry_out(host, recipe)
    code, log = carry_out(host, recipe)
    assert (code, len(host.ray_starts()), "started before" in log) == (0, 1, True)
    host.reboot()
    assert carry_out(host, recipe)[0] == 0
    assert (len(host.ray_starts()), host.lines("order")) == (2, ["init", "setup"])


def test_another_setup_is_done_again_with_a_start(host: Host) -> None:
    carry_out(host, worker_recipe(SETUP))
    carry_out(host, worker_recipe(SETUP + "worker_setup_commands: ['echo more >> ~/order']\n"))
    assert host.lines("order") == ["init", "setup", "init", "setup", "more"]
    assert len(host.ray_starts()) == 2


def test_what_fails_is_tried_again_then_given_up_with_the_reason_in_the_log(host: Host) -> None:
    code, log = carry_out(host, worker_recipe("setup_commands: ['echo no wheel; exit 7']\n"))
    assert code == 7
    assert host.lines("order") == ["slept 10", "slept 10"]
    assert log.count("no wheel\n") == 3
    assert log.endswith("ended with 7; given up")
    assert not host.ray_starts()
    assert not (host.home / "started").exists()


def test_what_fails_once_is_no_failure(host: Host) -> None:
    once = "setup_commands: ['[ -e ~/second ] || { touch ~/second; exit 1; }']\n"
    assert carry_out(host, worker_recipe(once))[0] == 0
    assert len(host.ray_starts()) == 1


def test_what_a_failed_start_has_left_is_ended_before_the_next(host: Host) -> None:
    host.program("ray", HALF)
    assert carry_out(host, worker_recipe(start=MARKED))[0] == 0
    assert host.ray_starts() == ["start again"]


def test_commands_are_typed_as_if_by_hand(host: Host) -> None:
    """Quotes of all kinds survive, and `cd`, variables and PATH are those of a shell of the user's."""
    line = """setup_commands: ["X='a b'; echo \\"$X\\" '$HOME' \\\\\\"q\\\\\\" > ~/typed; type -p ray >> ~/typed"]\n"""
    assert carry_out(host, worker_recipe(line))[0] == 0
    assert host.lines("typed") == ['a b $HOME "q"', f"{host.home}/bin/ray"]


def test_a_long_one_is_packed_and_still_runs(host: Host) -> None:
    lines = "".join(f"  - echo number {n} of many lines that look alike >> ~/order\n" for n in range(60))
    recipe = worker_recipe("setup_commands:\n" + lines)
    packed = start_script(recipe).argv[2]
    assert len(script(recipe)) > SIZE_MAX > len(packed)
    assert start_script(recipe) == start_script(recipe)
    assert carry_out(host, recipe)[0] == 0
    assert len(host.lines("order")) == 60


def test_what_does_not_fit_is_refused() -> None:
    chance = random.Random(1)
    noise = "".join(chance.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(20_000))
    with pytest.raises(TooLarge, match="bytes of user-data"):
        start_script(worker_recipe(f"setup_commands: ['{noise}']\n"))


def test_files_are_not_for_a_script() -> None:
    with pytest.raises(ValueError, match="copies files"):
        start_script(worker_recipe("file_mounts: {/a: /b}\n"))


def test_shells_of_the_user_find_the_cluster(host: Host) -> None:
    extra = EXTRA.__class__(EXTRA.token, EXTRA.client, profile=True)
    recipe = worker_recipe(extra=extra)
    carry_out(host, recipe)
    host.reboot()
    carry_out(host, recipe)
    assert host.bash("bash -lc 'echo $RAY_ADDRESS'").text == "h:6379"
    assert host.lines(".bashrc")[1:] == ["case $- in *i*) ;; *) return;; esac", 'export PATH="$HOME/bin:$PATH"']


def test_in_the_end_it_is_a_cloud_s_user_data_that_bash_understands(host: Host) -> None:
    text = user_data(start_script(worker_recipe(SETUP)), cluster="demo", own_id="cat /id", user="ubuntu")
    assert len(text.encode()) < 16 * 1024
    (host.home / "user-data").write_text(text)
    assert host.bash("bash -n user-data") == host.bash("true")
