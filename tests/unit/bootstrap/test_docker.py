"""Containers: which one is wanted, its command line, and what happens around a program that plays docker."""

from pathlib import Path

import pytest
from tests.unit.bootstrap.clusters import worker_recipe
from tests.unit.bootstrap.hosts import Host

from rayfleet.bootstrap import docker
from rayfleet.bootstrap.docker import Image, image
from rayfleet.bootstrap.script import start_script
from rayfleet.bootstrap.steps import Container, Run

DOCKER = (Path(__file__).parent / "docker.sh").read_text()
FILE = """
docker: {image: 'rayproject/ray:2', container_name: box, run_options: ['-v /a:/a']}
setup_commands: ['echo $IN > ~/where']
"""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host.at(tmp_path / "host", docker=DOCKER)


def carry_out(host: Host, text: str = FILE) -> tuple[int, str]:
    argv = start_script(worker_recipe(text)).argv
    ran = host.bash(
        f"export PATH=$HOME/bin:$PATH; sleep() {{ :; }}; export -f sleep; {argv[2]}",
        {"RAYFLEET_MACHINE_ID": "i-1", "RAYFLEET_MACHINE_DIR": str(host.home)},
    )
    return ran.code, ran.text


def ran_verbs(host: Host) -> list[str]:
    """Return docker's verbs that change something."""
    return [line.split()[0] for line in host.lines("docker/log") if line.split()[0] in ("pull", "run", "rm", "start")]


def test_which_image_and_options_a_role_has() -> None:
    section = {
        "image": "all", "head_image": "h", "worker_run_options": ["-w"], "head_run_options": ["-h"],
        "run_options": ["-a"], "use_podman": True, "disable_shm_size_detection": True,
    }  # fmt: skip
    own = {"worker_image": "mine", "worker_run_options": ["-m"], "pull_before_run": False}
    podman = Container("ray_container", "podman")
    assert image(section, {}, head=True) == Image(podman, "h", ("-a", "-h"), detect_shm=False)
    assert image(section, own, head=True) == Image(podman, "h", ("-a", "-h"), detect_shm=False)
    assert image(section, {}, head=False) == Image(podman, "all", ("-a", "-w"), detect_shm=False)
    assert image(section, own, head=False) == Image(podman, "mine", ("-a", "-m"), pull=False, detect_shm=False)
    assert image({}, {}, head=True) is None
    assert image({"worker_image": "w"}, {}, head=True) is None


def test_the_command_line_of_a_container() -> None:
    plain = Image(Container("box"), "img", ("--ulimit nofile=9:9",), detect_gpus=False, detect_shm=False)
    _, run = docker.steps("demo", plain)
    assert isinstance(run, Run)
    assert run.command.splitlines()[-1] == (
        "docker run -d --name box --label rayfleet-cluster=demo --label rayfleet-run=d7fe88094cba46a7 "
        "--restart=unless-stopped -e LC_ALL=C.UTF-8 -e LANG=C.UTF-8 --net=host --ulimit nofile=9:9 img "
        "/bin/bash -c 'trap '\"'\"'exit 0'\"'\"' TERM; while :; do sleep 86400 & wait; done'"
    )


@pytest.mark.parametrize(
    ("options", "there", "missing"),
    [
        ((), ["--net=host", "--shm-size=", "--runtime=nvidia"], []),
        (("--network bridge",), ["--network bridge"], ["--net=host"]),
        (("--shm-size=1g",), ["--shm-size=1g"], ["MemAvailable"]),
        (("--ipc=host",), ["--ipc=host"], ["--shm-size"]),
        (("--gpus all",), ["--gpus all"], ["nvidia"]),
    ],
)
def test_what_users_say_is_not_said_again(options: tuple[str, ...], there: list[str], missing: list[str]) -> None:
    _, run = docker.steps("demo", Image(Container("box"), "img", options))
    assert isinstance(run, Run)
    line = run.command.splitlines()[-1]
    assert all(word in line for word in there)
    assert not any(word in line for word in missing)


def test_setup_and_start_are_done_inside_and_the_container_is_kept(host: Host) -> None:
    assert carry_out(host)[0] == 0
    assert ran_verbs(host) == ["pull", "rm", "run"]
    assert host.lines("where") == ["box"]
    assert host.lines("ray.log") == ["start --here id=i-1 head=h"]
    assert carry_out(host, FILE + "worker_setup_commands: ['true']\n")[0] == 0
    assert ran_verbs(host) == ["pull", "rm", "run", "pull"]  # the same image runs already


def test_another_option_needs_another_container(host: Host) -> None:
    carry_out(host)
    assert carry_out(host, FILE.replace("/a:/a", "/b:/b"))[0] == 0
    assert ran_verbs(host) == ["pull", "rm", "run", "pull", "rm", "run"]


def test_one_that_was_stopped_is_started(host: Host) -> None:
    carry_out(host)
    found = host.home / "docker/found"
    found.write_text(found.read_text().replace("true", "false"))
    assert carry_out(host, FILE + "worker_setup_commands: ['true']\n")[0] == 0
    assert ran_verbs(host) == ["pull", "rm", "run", "pull", "start"]


@pytest.mark.parametrize("label", ["", "<no value>"])
def test_somebody_elses_container_is_used_when_it_fits_and_never_removed(host: Host, label: str) -> None:
    (host.home / "docker").mkdir()
    found = host.home / "docker/found"
    found.write_text(f"true id-of-rayproject/ray:2 {label}")
    assert carry_out(host)[0] == 0
    assert ran_verbs(host) == ["pull"]
    found.write_text(f"true id-of-another {label}")
    code, log = carry_out(host, FILE + "worker_setup_commands: ['true']\n")
    assert code == 1
    assert "remove it (docker rm -f box) or set docker.container_name" in log
    assert found.exists()


def test_without_docker_the_user_is_told(host: Host) -> None:
    code, log = carry_out(host, FILE.replace("container_name: box", "use_podman: true, container_name: box"))
    assert code == 1
    assert "podman is not installed on this machine" in log


def test_files_go_into_the_container_as_the_nodes_user(host: Host) -> None:
    folder = host.home / "staged/folder"
    folder.mkdir(parents=True)
    (folder / "a b").write_text("text")
    for source, target in (
        ("~/staged/folder", "~/there/deep er"),
        ("~/staged/folder/a b", "~/file/x"),
        ("~/none", "~/n"),
    ):
        step = docker.copy_in(Container("box"), source, target)
        ran = host.bash(f"export PATH=$HOME/bin:$PATH; {step.command}")
        assert ran.code == 0, ran.text
    assert host.lines("there/deep er/a b") == ["text"]
    assert host.lines("file/x") == ["text"]
    assert not (host.home / "n").exists()
