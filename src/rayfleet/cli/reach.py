"""Verbs that Ray's users know for clusters on other computers: files, addresses, logs, ports."""

from __future__ import annotations

import asyncio
import random
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from rayfleet.cli.arguments import AsJson, Name, RayVerb, add
from rayfleet.cli.elsewhere import lines, remote_home
from rayfleet.cli.terminal import fail, print_json, print_table

if TYPE_CHECKING:
    from rayfleet.launcher.home import Home

DASHBOARD_PORT = 8265
_ENDS = 2
_AT_ONCE = 16

Where = Annotated[
    str | None,
    typer.Argument(metavar="[CLUSTER]", help="A name, or its .yaml file. Default: the only one.", show_default=False),
]
Ends = Annotated[list[str], typer.Argument(metavar="[CLUSTER] SOURCE TARGET", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    add(app, rsync_up, "rsync-up", cls=RayVerb)
    add(app, rsync_up, "rsync_up", cls=RayVerb, hidden=True)
    add(app, rsync_down, "rsync-down", cls=RayVerb)
    add(app, rsync_down, "rsync_down", cls=RayVerb, hidden=True)
    add(app, monitor, cls=RayVerb)
    add(app, get_head_ip, "get-head-ip", cls=RayVerb)
    add(app, get_head_ip, "get_head_ip", cls=RayVerb, hidden=True)
    add(app, get_worker_ips, "get-worker-ips", cls=RayVerb)
    add(app, get_worker_ips, "get_worker_ips", cls=RayVerb, hidden=True)
    add(app, kill_random_node, "kill-random-node", cls=RayVerb)
    add(app, gc)
    for command in (head_start, head_state, head_rest, head_stop, head_page):
        add(app, command, command.__name__.replace("_", "-"), hidden=True)


def rsync_up(
    words: Ends,
    name: Name = None,
    all_nodes: Annotated[bool, typer.Option("--all-nodes", "-A", help="To the workers there are, too.")] = False,
) -> None:
    """Copy a file or folder to the head of a cluster elsewhere, by rsync.

    As with rsync, a source folder that ends with / means its content. With --all-nodes it is copied to every worker
    that runs now, through the head. A later one does not have it: what every machine is to have belongs into the
    file's file_mounts.

    Examples:
      rayfleet rsync-up aws.yaml ./data/ '~/data'
      rayfleet rsync-up ./script.py '~/script.py'
      rayfleet rsync-up aws.yaml --all-nodes ./code/ '~/code'
    """
    home, (source, target) = _with_ends(words, name)
    from rayfleet.launcher.remote import verbs

    code = verbs.run(home, verbs.copy(home, source, target, up=True))
    if code or not all_nodes:
        raise typer.Exit(code)
    _copy_to_workers(home, source, target)


def _copy_to_workers(home: Home, source: str, target: str) -> None:
    """Copy to every worker, some at a time; ends the command with 1 when one of them does not have it."""
    from concurrent.futures import ThreadPoolExecutor

    from rayfleet.launcher.remote import machines, verbs

    workers = asyncio.run(machines.workers(home))
    commands = [verbs.copy_to_worker(home, each, source, target) for each in workers]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        troubles = list(threads.map(verbs.copied, commands))
    for worker, trouble in zip(workers, troubles, strict=True):
        print(f"{worker.id}: {f'not copied: {trouble}' if trouble else 'copied'}", file=sys.stderr)
    raise typer.Exit(int(any(troubles)))


def rsync_down(words: Ends, name: Name = None) -> None:
    """Copy a file or folder from the head of a cluster elsewhere, by rsync.

    Examples:
      rayfleet rsync-down aws.yaml '~/results/' ./results
    """
    home, (source, target) = _with_ends(words, name)
    from rayfleet.launcher.remote import verbs

    raise typer.Exit(verbs.run(home, verbs.copy(home, source, target, up=False)))


def monitor(
    cluster: Where = None,
    number: Annotated[int, typer.Option("--lines", min=0, help="How many lines of before.")] = 100,
    name: Name = None,
) -> None:
    """Follow the log of the controller of a cluster elsewhere, until Ctrl-C; `logs -f` is the same for any cluster.

    Examples:
      rayfleet monitor aws.yaml
    """
    home = elsewhere(name or cluster)
    from rayfleet.launcher.remote import verbs

    raise typer.Exit(verbs.run(home, verbs.verb(home, ["logs", "--follow", "--lines", str(number)], tty=False)))


def get_head_ip(cluster: Where = None, name: Name = None) -> None:
    """Print the address at which the head of a cluster elsewhere is reached.

    Examples:
      rayfleet get-head-ip aws.yaml
    """
    from rayfleet.launcher.remote.where import head_of

    print(head_of(elsewhere(name or cluster)).address)


def get_worker_ips(cluster: Where = None, name: Name = None) -> None:
    """Print the addresses of the workers of a cluster elsewhere, one a line, as the place lists them now.

    Examples:
      rayfleet get-worker-ips aws.yaml
    """
    from rayfleet.launcher.remote.machines import addresses

    for address in asyncio.run(addresses(elsewhere(name or cluster))):
        print(address)


def kill_random_node(
    cluster: Where = None,
    hard: Annotated[
        bool, typer.Option("--hard", help="Have the place take the machine; else only its Ray ends.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    name: Name = None,
) -> None:
    """End a worker of a cluster elsewhere at random, to see what happens then.

    Examples:
      rayfleet kill-random-node aws.yaml --yes
      rayfleet kill-random-node aws.yaml --yes --hard
    """
    from rayfleet.launcher.remote import machines, verbs

    home = elsewhere(name or cluster)
    victim = random.choice(machines.named(home, asyncio.run(machines.workers(home))))  # noqa: S311 - no secret
    if not yes:
        typer.confirm(f"end {victim.id} ({victim.address}) of {home.name}?", abort=True, err=True)
    if hard:
        asyncio.run(machines.give_back(home, victim.id))
    elif verbs.run(home, verbs.on_worker(home, victim, machines.end_of_ray(home, victim))) != 0:
        fail(f"Ray on {victim.id} could not be ended", "--hard takes the machine away", code=1)
    print(victim.address or victim.id)


def gc(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Give them back, too.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Wait so long for each cluster, in s.")] = 600.0,
    as_json: AsJson = False,
) -> None:
    """Find machines that places still list for clusters of mine which are down; changes nothing without --yes.

    A cluster whose head is listed may be at work for another computer of yours: it is told, and left alone.

    Examples:
      rayfleet gc                      what is left over, anywhere
      rayfleet gc --yes                gives it back
    """
    from rayfleet.launcher.remote import gc as orphans

    found = asyncio.run(orphans.find())
    if yes:
        found = asyncio.run(orphans.remove(found, lines(), timeout))
    if as_json:
        print_json([each.as_json() for each in found])
    else:
        rows = [
            (each.cluster, each.kind, " ".join((*each.machines, *each.leftovers)), each.trouble or each.advice)
            for each in found
        ]
        print_table(("CLUSTER", "PLACE", "LEFT OVER", "REMARK"), rows, none="nothing is left over")
    if yes and found:
        raise typer.Exit(1)


def elsewhere(word: str | None) -> Home:
    """Return the cluster elsewhere that is meant; ends the command when it is none."""
    from rayfleet.launcher.known import choose

    home = remote_home(word)
    if home is None:
        fail(
            f"cluster {choose(word).name} is on this machine, where nothing is to be reached",
            "rayfleet status shows it",
        )
    return home


def _with_ends(words: list[str], name: str | None) -> tuple[Home, tuple[str, str]]:
    """Return the cluster, and from where to where."""
    from rayfleet.launcher.home import is_config

    cluster, ends = (words[0], words[1:]) if len(words) > _ENDS or is_config(words[0]) else (None, words)
    if len(ends) != _ENDS:
        fail("a source and a target are needed", "for example: rayfleet rsync-up aws.yaml ./data/ '~/data'")
    return elsewhere(name or cluster), (ends[0], ends[1])


# ---- what `up` and `down` run on the head ----------------------------------------------------------------------------


def head_start(cluster: str) -> None:
    """See that this head has its controller."""
    from rayfleet.launcher.remote import head

    print_json(asyncio.run(head.start(cluster)))


def head_state(cluster: str) -> None:
    """Print what is still waited for."""
    from rayfleet.launcher.remote import head

    print_json(head.state(cluster))


def head_rest(
    cluster: str,
    keep_min_workers: Annotated[bool, typer.Option("--keep-min-workers", help="Not below the minimums.")] = False,
) -> None:
    """Send the workers home."""
    from rayfleet.launcher.remote import head

    print_json(asyncio.run(head.rest(cluster, keep_min_workers=keep_min_workers)))


def head_stop(cluster: str) -> None:
    """End the controller of this head."""
    from rayfleet.launcher.remote import head

    print_json(asyncio.run(head.stop(cluster)))


def head_page(port: int) -> None:
    """Serve the dashboard of this head until the input ends; print the token that it asks for when it answers."""
    from rayfleet.launcher.remote.page import have_pages

    have_pages(lambda line: print(line, file=sys.stderr, flush=True))
    from rayfleet.cli.page_server import serve_on_head

    asyncio.run(serve_on_head(port))
