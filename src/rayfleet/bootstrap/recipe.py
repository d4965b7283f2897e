"""What a cluster file says about setting machines up, as a Recipe: in the order that Ray's users know. Pure.

files, initialization_commands, container, setup_commands, head_ or worker_setup_commands; then Ray is started.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rayfleet.bootstrap import docker
from rayfleet.bootstrap.steps import Put, Recipe, Run, Shell, Start, Step, Where, Write
from rayfleet.config import ClusterSpec
from rayfleet.config.cluster_spec import TypeSetup
from rayfleet.config.secrets import redacted
from rayfleet.model import Pool
from rayfleet.wire.node_end import end_node
from rayfleet.wire.ssh.session import Files

TOKEN_FILE: Final = "ray-token"  # noqa: S105 - the name of the file, not its content
CLIENT_FILE: Final = "client.sh"
_NAME_MAX: Final = 60


@dataclass(frozen=True, slots=True)
class Extra:
    """What belongs on a machine beyond what the file says.

    `token`: of the cluster, "" without authentication. `client`: lines of shell under which Ray's commands find the
    cluster. `before_start`: done before each start of Ray. `profile`: every shell of the machine's user gets `client`;
    for machines that are ours alone.
    """

    token: str = ""
    client: tuple[str, ...] = ()
    before_start: tuple[Step, ...] = ()
    profile: bool = False


def recipe(spec: ClusterSpec, pool: Pool, start: Start, extra: Extra, *, head: bool) -> Recipe:
    """Return what makes a machine of `pool` a node.

    For the head, files come from the user's machine; for workers from the head, where each is at its target path.
    """
    setup = spec.types.get(pool.name, TypeSetup())
    image = docker.image(spec.bootstrap.docker, setup.docker, head=head)
    puts = _puts(spec, head=head)
    staged = [_staged(spec.name, put, number) for number, put in enumerate(puts, 1)] if image else puts
    first, then = _initialization(spec, setup, head=head), _setup(spec, setup, head=head)
    copied: list[Step] = [*_folders(staged), *staged]
    steps = [*copied, *_runs(first, "initialization", Where.MACHINE)]
    if image:
        targets = [(there.files.target, put.files.target) for put, there in zip(puts, staged, strict=True)]
        into = [docker.copy_in(image.container, source, target) for source, target in targets]
        steps += [*docker.steps(spec.name, image), *into]
        copied += into
    steps += _runs(then, "setup", Where.NODE)
    return Recipe(
        cluster=spec.name,
        setup=tuple(steps),
        start=(*_own_files(spec.name, extra), *extra.before_start, *_start(spec.name, start)),
        exports=start.exports,
        container=image.container if image else None,
        setup_words=(*map(repr, puts), "first", *first, repr(image), "then", *then),
        start_words=start.words,
        files=tuple(copied),
    )


def _puts(spec: ClusterSpec, *, head: bool) -> list[Put]:
    files = spec.bootstrap.files
    exclude, filters = tuple(files.get("rsync_exclude", ())), tuple(files.get("rsync_filter", ()))

    def put(source: str, target: str, *, optional: bool = False) -> Put:
        return Put(Files(source, target, exclude, filters), f"files {target}", optional)

    mounts = files.get("file_mounts", {})
    found = [put(str(source) if head else target, target) for target, source in mounts.items()]
    return found + [put(path, path, optional=True) for path in files.get("cluster_synced_files", ()) if not head]


def _staged(cluster: str, put: Put, number: int) -> Put:
    """Return the copy to the machine itself, from where it goes into the container."""
    files = put.files
    target = f"~/.rayfleet/{cluster}/files/{number}"
    staged = Files(files.source, target, exclude=files.exclude, filters=files.filters, delete=True)
    return Put(staged, put.name, put.optional)


def _folders(puts: Sequence[Put]) -> list[Step]:
    """Return the step that makes the folders which files go to, as root where need be, for the user who logs in."""
    parents = sorted({put.files.target.rstrip("/").rpartition("/")[0] for put in puts} - {"", "~"})
    if not parents:
        return []
    lines = [
        f"[ -w {path} ] || mkdir -p {path} 2>/dev/null || {{ sudo mkdir -p {path} && sudo chown $(id -u) {path}; }}"
        for path in map(docker.quoted_path, parents)
    ]
    return [Run(" &&\n".join(f"{{ {line}; }}" for line in lines), "folders for files", Where.MACHINE, Shell.PLAIN)]


def _initialization(spec: ClusterSpec, setup: TypeSetup, *, head: bool) -> tuple[str, ...]:
    """Return the commands that prepare the machine; those of a worker's own type replace the file's, as in Ray."""
    own = () if head else setup.initialization_commands
    return own or spec.bootstrap.commands.get("initialization_commands", ())


def _setup(spec: ClusterSpec, setup: TypeSetup, *, head: bool) -> tuple[str, ...]:
    """Return the commands that set the node up; those of a worker's own type replace all of the file's, as in Ray."""
    if not head and setup.setup_commands:
        return setup.setup_commands
    commands = spec.bootstrap.commands
    role = "head_setup_commands" if head else "worker_setup_commands"
    return (*commands.get("setup_commands", ()), *commands.get(role, ()))


def _runs(commands: tuple[str, ...], what: str, where: Where) -> list[Step]:
    return [Run(command, f"{what} {_short(command)}", where) for command in commands]


def _own_files(cluster: str, extra: Extra) -> list[Step]:
    """Return the steps that leave the token, and how to find the cluster, on the node."""
    own = f"~/.rayfleet/{cluster}"
    found: list[Step] = []
    if extra.token:
        found.append(Write(f"{own}/{TOKEN_FILE}", extra.token.encode(), "token"))
    if extra.client:
        found.append(Write(f"{own}/{CLIENT_FILE}", "".join(f"{line}\n" for line in extra.client).encode(), "variables"))
    if extra.client and extra.profile:
        line = f'[ ! -f "$HOME/.rayfleet/{cluster}/{CLIENT_FILE}" ] || . "$HOME/.rayfleet/{cluster}/{CLIENT_FILE}"'
        text = "\n".join(
            (
                f"line={shlex.quote(line)}",
                "for file in ~/.profile ~/.bashrc; do",
                '  if grep -qxF "$line" "$file" 2>/dev/null; then continue; fi',
                # At the top: many a .bashrc returns early for shells that are not interactive.
                '  { echo "$line"; cat "$file" 2>/dev/null; } > "$file.new"; mv "$file.new" "$file" || exit 1',
                "done",
            )
        )
        found.append(Run(text, "variables of shells", Where.NODE, Shell.PLAIN))
    return found


def _start(cluster: str, start: Start) -> list[Step]:
    """Return the steps that start a node. What a failed start has left would make all of its repetitions fail, too.

    With several commands nothing is ended in between: it could be what the one before has started.
    """
    count, end = len(start.commands), end_node(cluster)
    again = end if count == 1 else ""
    return [
        Run(end, "end of an earlier node", Where.NODE, Shell.PLAIN),
        *(
            Run(each, f"start {number} of {count}", again=again, starts=True)
            for number, each in enumerate(start.commands, 1)
        ),
        *start.beside,
    ]


def _short(command: str) -> str:
    line = " ".join(redacted(command).split())
    return line if len(line) <= _NAME_MAX else f"{line[: _NAME_MAX - 1]}…"
