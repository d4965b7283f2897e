"""`logs`: of the controller, and of every node's Ray."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from rayfleet.cli.arguments import AsJson, KubeContext, Record, add, in_kubernetes, on_head
from rayfleet.cli.terminal import fail, print_json, print_table, until_interrupted

if TYPE_CHECKING:
    from rayfleet.cli.resources import Part
    from rayfleet.contracts.state import State
    from rayfleet.launcher.home import Home
    from rayfleet.launcher.kube.choose import Wanted as Where
    from rayfleet.launcher.ray_logs import Files, Wanted

MAX_LINES = 100_000
"""More lines of the controller's log are not searched; its file is rotated before it has as many."""


SUBJECTS = ("actor", "task", "job", "cluster")
"""Words that `ray logs` has before others; `cluster` means files, as no word does."""
_IN_FILE_NAMES = frozenset(".*?[/")
"""Every log and every pattern has one of these; a word without them is meant as a cluster."""

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[actor|task|job|cluster] [CLUSTER] [FILE]",
        help="FILE: of a node, or a pattern: 'worker*.out'. actor, task, job: what that has printed, with --id.",
        show_default=False,
    ),
]
NodeId = Annotated[
    str,
    typer.Option(
        "--node-id",
        "-id",
        "--node-ip",
        "-ip",
        metavar="NODE",
        help="Which node: its id or how that begins, machine or address. Default: the head.",
        show_default=False,
    ),
]
Id = Annotated[
    str, typer.Option("--id", metavar="ID", help="Of that actor, task or submitted job.", show_default=False)
]
Errors = Annotated[bool, typer.Option("--err", help="Of an actor or task: its standard error.")]
Pod = Annotated[
    str | None, typer.Option("--node", help="Of a RayCluster: a pod. Default: its head's.", show_default=False)
]
Container = Annotated[
    str | None,
    typer.Option(
        "--container", "-c", help="Of a RayCluster: a container. Default: autoscaler, else Ray's.", show_default=False
    ),
]


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    add(app, logs, cls=on_head(0, subjects=SUBJECTS))


def logs(
    words: Words = None,
    node_id: NodeId = "",
    id_: Id = "",
    err: Errors = False,
    lines: Annotated[int, typer.Option("--lines", "--tail", "-n", min=0, help="How many lines from the end.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing what comes, until Ctrl-C.")] = False,
    search: Annotated[str, typer.Option(metavar="TEXT", help="Only lines with it, in any case.")] = "",
    path: Annotated[bool, typer.Option("--path", help="Only print where the controller's files are.")] = False,
    node: Pod = None,
    container: Container = None,
    record: Record = None,
    context: KubeContext = None,
    as_json: AsJson = False,
) -> None:
    """Print the controller's log; or list and print the log files of a node, as `ray logs` does.

    A pattern that means several files lists them; with --search each of them is searched.

    Examples:
      rayfleet logs
      rayfleet logs -f
      rayfleet logs --node-id 3f9a                         the files of that node
      rayfleet logs raylet.out --node-id 3f9a --tail 1000
      rayfleet logs gcs_server.out --follow                of the head
      rayfleet logs '*.err' --node-id 3f9a --search Traceback
      rayfleet logs actor --id 39dcf36526ce2b1a836e5f9801000000 --follow
      rayfleet logs job --id raysubmit_h6tRJ3JPnVAYDrBq
      rayfleet logs raycluster.yaml                        of the autoscaler beside the head
      rayfleet logs raycluster.yaml --node demo-small-worker-x7k2p
    """
    if follow and as_json:
        fail("--follow and --json contradict each other", "leave one of them out")
    given = words or []
    subject = given.pop(0) if given and given[0] in SUBJECTS else ""
    kubernetes = in_kubernetes(given[0] if given else None, context)
    cluster, file = _split(given, kubernetes=kubernetes)
    asked = _Asked(node_id, file, lines, search, follow, as_json, subject, id_, err)
    asked.check()
    if kubernetes:
        from rayfleet.cli.resources import Part
        from rayfleet.launcher.kube.choose import Wanted

        if path:
            fail("--path is for clusters of this machine")
        _in_kubernetes(Wanted(cluster, context), Part(node, container), asked)
        return
    if node is not None or container is not None:
        fail("--node and --container are for clusters in Kubernetes", "rayfleet logs raycluster.yaml --node POD")
    from rayfleet.cli.show import recorded

    home = recorded(cluster, record)
    if asked.of_ray:
        _of_ray(home, asked)
    elif path:
        from rayfleet.launcher.logs import paths

        print("\n".join(str(each) for each in paths(home)))
    else:
        _of_controller(home, asked)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was typed. `file` None, `node` "": none was named."""

    node: str
    file: str | None
    lines: int
    search: str
    follow: bool
    as_json: bool
    subject: str = ""
    id: str = ""
    err: bool = False

    def check(self) -> None:
        """Refuse words that contradict each other."""
        if self.printer and not self.id:
            fail(f"which {self.subject}?", f"rayfleet logs {self.subject} --id ID; rayfleet list {self.subject}s")
        if self.printer and (self.file is not None or self.node):
            fail(
                f"{self.file or '--node-id'!r} beside {self.subject}",
                f"the log of one {self.subject} needs its --id only",
            )
        if (self.id or self.err) and not self.printer:
            fail("--id and --err are of an actor, task or job", "rayfleet logs actor --id ID")

    @property
    def printer(self) -> bool:
        """Say whether what an actor, task or job has printed is meant."""
        return self.subject not in {"", "cluster"}

    @property
    def of_ray(self) -> bool:
        """Say whether a node's logs are meant, and not the controller's."""
        return self.file is not None or bool(self.node) or bool(self.subject)

    @property
    def wanted(self) -> Wanted:
        """Return what is to be read."""
        from rayfleet.launcher.ray_logs import Wanted

        return Wanted(self.node, self.file or "*", self.lines, self.search)

    def words(self) -> Iterator[str]:
        """Yield the words that ask for it elsewhere."""
        yield from (self.subject,) if self.subject else ()
        yield from (f"--id={self.id}",) if self.id else ()
        yield from ("--err",) if self.err else ()
        yield from (self.file,) if self.file is not None else ()
        yield from (f"--node-id={self.node}",) if self.node else ()
        yield f"--lines={self.lines}"
        yield from (f"--search={self.search}",) if self.search else ()
        yield from ("--follow",) if self.follow else ()
        yield from ("--json",) if self.as_json else ()


def _split(words: list[str], *, kubernetes: bool) -> tuple[str | None, str | None]:
    """Return cluster and file."""
    from rayfleet.launcher.home import find
    from rayfleet.launcher.known import split

    cluster, rest = (words[0], words[1:]) if kubernetes else split(words, 0)
    if cluster is None and rest and not _IN_FILE_NAMES & set(rest[0]):
        find(rest[0])  # which says that there is no such cluster, and which there are
    if len(rest) > 1:
        fail(f"{rest[1]!r} is one word too many", "a pattern in quotes means several files: 'worker*.out'")
    return cluster, next(iter(rest), None)


def _of_controller(home: Home, asked: _Asked) -> None:
    from rayfleet.launcher import logs as files

    wanted = asked.wanted
    position = files.size(home)
    found = [line for line in files.tail(home, MAX_LINES if wanted.search else wanted.lines) if wanted.passes(line)]
    last = found[-wanted.lines :] if wanted.lines else []
    if asked.as_json:
        print_json({"cluster": home.name, "name": files.CONTROLLER_LOG, "lines": last})
    elif asked.follow:
        new = (line for line in files.new_lines(home, position) if wanted.passes(line))
        until_interrupted(lambda: _print_all(chain(last, new)))
    else:
        _print_all(last)


def _of_ray(home: Home, asked: _Asked) -> None:
    from rayfleet.launcher import ray_logs
    from rayfleet.launcher.looking import looked

    wanted = asked.wanted
    if asked.follow:
        until_interrupted(lambda: looked(home, lambda state: _follow(state, asked)))
        return
    if asked.printer:
        source, name = ray_logs.printed_by(asked.subject, asked.id, errors=asked.err), f"{asked.subject} {asked.id}"
        text = looked(home, lambda state: ray_logs.read_one(state, wanted, source, name))
        print_json({"logs": [text.as_json()]}) if asked.as_json else _print_all(text.lines)
        return
    files = looked(home, lambda state: ray_logs.find(state, wanted))
    if not wanted.search and (len(files.files) != 1 or asked.file is None):
        _show_files(files, as_json=asked.as_json)
        return
    texts = looked(home, lambda state: ray_logs.read(state, wanted, files))
    if asked.as_json:
        print_json({"node_id": files.node.node_id, "logs": [text.as_json() for text in texts]})
        return
    several = len(texts) > 1
    _print_all(f"{text.name}: {line}" if several else line for text in texts for line in text.lines)


def _show_files(files: Files, *, as_json: bool) -> None:
    if as_json:
        print_json(files.as_json())
        return
    rows = sorted((file.component, file.name) for file in files.files)
    print_table(("COMPONENT", "FILE"), rows, none="the node has no logs")


async def _follow(state: State, asked: _Asked) -> None:
    from rayfleet.launcher import ray_logs

    wanted = asked.wanted
    if asked.printer:
        source = ray_logs.printed_by(asked.subject, asked.id, errors=asked.err)
        lines = ray_logs.follow_one(state, wanted, source)
    else:
        lines = ray_logs.follow(state, wanted, await ray_logs.find(state, wanted))
    async for line in lines:
        print(line, flush=True)


def _in_kubernetes(where: Where, part: Part, asked: _Asked) -> None:
    """Print a container's log; have what is beside the head read Ray's own files."""
    from rayfleet.cli import resources

    if asked.of_ray:
        resources.ask_autoscaler(where, ["logs", *asked.words()])
    if asked.search or asked.as_json:
        fail("--search and --json are for files of a node", "name one, for example raylet.out; or use grep")
    resources.logs(where, part, asked.lines, follow=asked.follow)


def _print_all(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)
