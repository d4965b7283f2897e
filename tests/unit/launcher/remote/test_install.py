"""rayfleet on a head: the script is really run, with pretended Pythons."""

import json
import subprocess
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

import rayfleet
from rayfleet.bootstrap.steps import Run, Write
from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.remote import wheel
from rayfleet.launcher.remote.config import on_head, resized, without_alert_secrets
from rayfleet.launcher.remote.install import Carried, install_script, needed, not_here, steps, verb_step
from rayfleet.planner.packing.kernel import loaded

VERSION = "1.2.3"

PYTHON = """#!/bin/sh
# A Python that knows of itself: {name}. What it was asked for goes to a file.
echo "{name} $*" >> "{log}"
case "$*" in
  *version_info*) exit {old};;
  *'find_spec("ray")'*) exit {no_ray};;
  *rayfleet.__version__*) [ -e "{installed}" ]; exit $?;;
  *"import asyncssh"*) exit 0;;
  *EXTERNALLY-MANAGED*) exit {managed};;
  "-m pip --version") exit 0;;
  *"pip install"*rayfleet*==*) [ "{index}" = yes ] && touch "{installed}"; exit $?;;
  *"pip install"*.whl*) touch "{installed}"; exit 0;;
  *"-m venv"*) mkdir -p "$HOME/.rayfleet/.bin/venv/bin"; cp "$0" "$HOME/.rayfleet/.bin/venv/bin/python"; exit 0;;
esac
exit 0
"""


class Head:
    """A folder that is a head's home, with pretended programs."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.bin = folder / "bin"
        self.log = folder / "log"
        self.installed = folder / "installed"
        for each in (self.home, self.bin):
            each.mkdir()

    def python(self, name: str, *, old: int = 0, no_ray: int = 0, managed: int = 1, index: str = "no") -> None:
        text = PYTHON.format(
            name=name, log=self.log, installed=self.installed, old=old, no_ray=no_ray, managed=managed, index=index
        )
        (self.bin / name).write_text(text, encoding="utf-8")
        (self.bin / name).chmod(0o755)

    def run(self, version: str = VERSION, compiler: str = "cc") -> subprocess.CompletedProcess[str]:
        script = install_script(version, "ssh", ("asyncssh",), "rayfleet.whl")
        return subprocess.run(
            ["bash", "-c", script],
            env={"HOME": str(self.home), "PATH": f"{self.bin}:/usr/bin:/bin", "CC": compiler},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def asked(self) -> list[str]:
        return [line for line in self.log.read_text(encoding="utf-8").splitlines() if "install" in line]

    def command(self) -> str:
        return (self.home / ".rayfleet/.bin/rayfleet").read_text(encoding="utf-8")


@pytest.fixture
def head(tmp_path: Path) -> Head:
    found = Head(tmp_path)
    for name in ("python", "python3", "python3.13", "python3.12", "python3.11"):
        found.python(name, old=1)
    return found


def test_what_is_there_is_left_alone(head: Head) -> None:
    head.python("python")
    head.installed.touch()
    assert head.run().returncode == 0
    assert head.asked() == []
    assert f'exec "{head.bin}/python" -m rayfleet' in head.command()


def test_the_index_is_asked_first(head: Head) -> None:
    head.python("python", index="yes")
    assert head.run().returncode == 0
    assert len(head.asked()) == 1
    assert "rayfleet[ssh]==1.2.3" in head.asked()[0]


def test_else_the_wheel_that_was_carried(head: Head) -> None:
    head.python("python")
    assert head.run().returncode == 0
    assert [("rayfleet.whl[ssh]" in line) for line in head.asked()] == [False, True]


@pytest.mark.parametrize(("compiler", "works"), [("cc", True), ("/none/cc", False), ("false", False)])
def test_the_kernel_is_built_where_there_is_a_compiler(head: Head, compiler: str, works: bool) -> None:
    """A kernel of the version before must not stay, whatever comes of it."""
    packing = head.home / "rayfleet/planner/packing"
    packing.mkdir(parents=True)
    source = Path(rayfleet.__file__).parent / "planner/packing/kernel.c"
    (packing / "kernel.c").write_bytes(source.read_bytes())
    (packing / "_kernel.so").write_text("of an older version", encoding="utf-8")
    (head.bin / "cc").symlink_to("/usr/bin/cc")
    head.python("python")
    text = (head.bin / "python").read_text(encoding="utf-8")
    answer = f'  *rayfleet.__file__*) echo "{packing}"; exit 0;;\n'
    (head.bin / "python").write_text(text.replace("  *version_info*)", f"{answer}  *version_info*)"), encoding="utf-8")
    ran = head.run(compiler=compiler)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (packing / "_kernel.so").exists() == works
    if works:
        assert loaded(str(packing / "_kernel.so")) is not None


def test_no_index_is_asked_for_a_version_that_was_never_released(head: Head) -> None:
    head.python("python", index="yes")
    assert head.run("1.2.3.dev0").returncode == 0
    assert [("rayfleet.whl[ssh]" in line) for line in head.asked()] == [True]


def test_a_python_with_ray_goes_before_one_without(head: Head) -> None:
    head.python("python", no_ray=1)
    head.python("python3.12")
    head.installed.touch()
    assert head.run().returncode == 0
    assert "/python3.12" in head.command()


def test_a_python_of_the_system_that_takes_no_packages_gets_an_environment_on_top(head: Head) -> None:
    head.python("python", managed=0)
    assert head.run().returncode == 0
    assert ".rayfleet/.bin/venv/bin/python" in head.command()


def test_an_old_python_alone_is_told(head: Head) -> None:
    ran = head.run()
    assert ran.returncode == 1
    assert "needs Python 3.11" in ran.stdout


def test_the_launching_machine_is_not_taken_for_a_head(tmp_path: Path) -> None:
    def run() -> int:
        return subprocess.run(["bash", "-c", not_here("one")], env={"HOME": str(tmp_path)}, check=False).returncode

    assert run() == 0
    note = tmp_path / ".local/state/rayfleet/clusters/one/remote.json"
    note.parent.mkdir(parents=True)
    note.touch()
    assert run() == 1


def test_secrets_are_in_no_text() -> None:
    carried = Carried("one", "aws", VERSION, "x.whl", b"", {"cluster_name": "one"}, "PRIVATE", "ssh-ed25519 AAAA")
    found = steps(carried)
    assert "PRIVATE" not in repr(found)
    (key,) = [step for step in found if isinstance(step, Write) and step.content == b"PRIVATE"]
    assert (key.path, key.mode) == ("~/.local/state/rayfleet/clusters/one/ssh-key", 0o600)
    public = next(step for step in found if isinstance(step, Write) and step.path.endswith(".pub"))
    assert (public.path, public.content) == (f"{key.path}.pub", b"ssh-ed25519 AAAA\n")
    script = next(step for step in found if isinstance(step, Run) and "installing" in step.name)
    assert "rayfleet[aws]==1.2.3" in script.command
    assert verb_step("head-start", "one", "").command == "~/.rayfleet/.bin/rayfleet head-start one"


def test_the_wheel_is_whole() -> None:
    """What it says of itself is what is in it; it needs what rayfleet needs, and has its providers."""
    with zipfile.ZipFile(BytesIO(wheel.build())) as packed:
        names = set(packed.namelist())
        info = f"rayfleet-{rayfleet.__version__}.dist-info"
        record = packed.read(f"{info}/RECORD").decode().splitlines()
        assert {line.split(",")[0] for line in record} == names
        assert {"rayfleet/__init__.py", "rayfleet/py.typed", "rayfleet/planner/packing/kernel.c"} <= names
        assert not [name for name in names if name.endswith((".so", ".pyc"))]
        assert "Requires-Dist: ray[default]" in packed.read(f"{info}/METADATA").decode()
        assert "[rayfleet.providers]" in packed.read(f"{info}/entry_points.txt").decode()
    assert wheel.build() == wheel.build()


RAW = {
    "cluster_name": "file",
    "auth": {"ssh_user": "me", "ssh_private_key": "~/k", "ssh_proxy_command": "p", "ssh_public_key": "x"},
    "file_mounts": {"/data": "./here"},
    "head_node_type": "head",
    "available_node_types": {"head": {}, "w": {"max_workers": 2}},
}


def test_the_file_on_the_head_means_its_own_paths() -> None:
    found = on_head(RAW, "one", with_key=True)
    assert found["cluster_name"] == "one"
    assert found["auth"] == {"ssh_user": "me", "ssh_private_key": "~/.local/state/rayfleet/clusters/one/ssh-key"}
    assert found["file_mounts"] == {"/data": "/data"}
    assert found["available_node_types"] == RAW["available_node_types"]
    assert "ssh_private_key" not in on_head(RAW, "one", with_key=False)["auth"]
    assert "auth" not in on_head({}, "one", with_key=False)
    json.dumps(found)


def test_limits_from_the_command_line() -> None:
    found = resized(RAW, 5, 7)
    assert found["max_workers"] == 7
    assert found["available_node_types"]["w"] == {"min_workers": 5, "max_workers": 5}
    assert resized(RAW, None, None) == RAW
    assert resized({}, 2, None) == {"min_workers": 2}
    several = {**RAW, "available_node_types": {"head": {}, "a": {}, "b": {}}}
    with pytest.raises(LauncherError, match="any of a, b"):
        resized(several, 1, None)


def test_the_token_of_a_pool_is_carried_and_the_file_names_it_there() -> None:
    raw = {"provider": {"type": "local", "coordinator_address": "desk", "coordinator_token_file": "~/mine"}}
    there = on_head(raw, "one", with_key=False, with_pool_token=True)
    path = "~/.local/state/rayfleet/clusters/one/coordinator-token"
    assert there["provider"] == {**raw["provider"], "coordinator_token_file": path}
    carried = Carried("one", "local", VERSION, "x.whl", b"", there, pool_token="SECRET")
    (written,) = [step for step in steps(carried) if isinstance(step, Write) and step.path == path]
    assert (written.content, written.mode) == (b"SECRET", 0o600)
    assert "SECRET" not in repr(carried)
    assert "coordinator_token_file" not in on_head(raw, "one", with_key=False)["provider"]


ALERTING = {
    "slack_webhook": "env:HOOK",
    "email": {"to": "a@b.example", "password": "file:~/pw"},
    "urls": ["json://h.example", "env:NOT_HERE"],
}


def test_what_alerts_keep_secret_is_carried_in_files_of_its_own() -> None:
    raw = {"cluster_name": "one", "monitoring_config": {"prometheus": {}, "alerting": ALERTING}}
    known = {"env:HOOK": "https://h.example/SECRET", "file:~/pw": "SECRET-2"}
    found, files = without_alert_secrets(raw, "one", known.get)
    folder = "file:~/.local/state/rayfleet/clusters/one"
    assert found["monitoring_config"] == {
        "prometheus": {},
        "alerting": {
            "slack_webhook": f"{folder}/alert-secret-0",
            "email": {"to": "a@b.example", "password": f"{folder}/alert-secret-1"},
            "urls": ["json://h.example", "env:NOT_HERE"],
        },
    }
    carried = Carried("one", "local", VERSION, "x.whl", b"", found, secrets=files)
    written = {step.path: step for step in steps(carried) if isinstance(step, Write)}
    step = written["~/.local/state/rayfleet/clusters/one/alert-secret-0"]
    assert (step.content, step.mode) == (b"https://h.example/SECRET\n", 0o600)
    assert "SECRET" not in repr(carried) + repr(written)
    assert without_alert_secrets({"cluster_name": "one"}, "one", known.get) == ({"cluster_name": "one"}, {})


def test_a_head_gets_apprise_where_its_file_has_addresses_for_it() -> None:
    assert needed("aws", {}) == ("aws", ("asyncssh", "boto3"))
    assert needed("local", {"monitoring_config": {"alerting": {"slack_webhook": "https://a.example"}}})[0] == "ssh"
    wanted = needed("local", {"monitoring_config": {"alerting": ALERTING}})
    assert wanted == ("ssh,alerts", ("asyncssh", "apprise"))
    script = install_script(VERSION, *wanted, "x.whl")
    assert "'rayfleet[ssh,alerts]==1.2.3'" in script
    assert "'import asyncssh; import apprise'" in script
