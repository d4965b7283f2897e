"""Clusters on other computers: which verb goes to the head, and the one place where it does."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from rayfleet.cli import page
from rayfleet.cli.ending import tell_end
from rayfleet.cli.terminal import EXIT_INTERRUPTED, EXIT_NOT_OK, fail, print_json
from rayfleet.launcher.progress import Progress, Step

if TYPE_CHECKING:
    from rayfleet.cli.arguments import HeadVerb
    from rayfleet.config import ClusterSpec
    from rayfleet.launcher.home import Home
    from rayfleet.launcher.spec import Wanted


def remote_home(word: str | None) -> Home | None:
    """Return the cluster that is meant, when it is up and elsewhere; None for all others, and when it is not clear."""
    from rayfleet.cli.arguments import in_kubernetes
    from rayfleet.launcher.errors import LauncherError
    from rayfleet.launcher.known import choose

    if word is not None and in_kubernetes(word):
        return None
    try:
        home = choose(word)
    except LauncherError:  # the verb itself says what is wrong, in its own words
        return None
    return home if home.is_elsewhere else None


def on_head(verb: HeadVerb, given: list[str], params: dict[str, Any]) -> int | None:
    """Run a verb on the head of the cluster that its arguments mean; None: it is to be run here.

    What it prints is passed through as it is, JSON too; its exit code is returned.
    """
    if params.get("file") is not None or params.get("record") is not None:
        return None
    if verb.needs_subject and not params.get("words"):
        return None
    if verb.asks_autoscaler:
        _ask_in_kubernetes(verb, given, params)
    word = _cluster_word(verb, params)
    home = remote_home(word)
    if home is None or (home.is_suspended and verb.name == "status"):  # which is told here: nobody answers there
        return None
    _refuse_writing(params)
    from rayfleet.launcher.remote import verbs

    rest = list(given)
    if word is not None:  # a file of ours means nothing there
        rest[rest.index(word)] = home.name
    tty = sys.stdin.isatty() and sys.stdout.isatty()
    words = [*([verb.group] if verb.group else []), str(verb.name), *rest]
    with _answering(verb):
        return verbs.run(home, verbs.verb(home, words, tty=tty))


@contextmanager
def _answering(verb: HeadVerb) -> Iterator[None]:
    """Where health is asked for, take it for an answer that nobody answers."""
    from rayfleet.launcher.errors import NotRunning

    try:
        yield
    except NotRunning as error:
        if not verb.asks_health:
            raise
        fail(str(error), error.hint, EXIT_NOT_OK)


def _ask_in_kubernetes(verb: HeadVerb, given: list[str], params: dict[str, Any]) -> None:
    """Have the autoscaler beside a RayCluster's head answer, where one is meant; returns only where none is."""
    from rayfleet.cli.arguments import in_kubernetes

    word, context = next(iter(_plain_words(verb, params)), None), params.get("context")
    if not in_kubernetes(word, context):
        return
    _refuse_writing(params)
    from rayfleet.cli import resources
    from rayfleet.launcher.kube.choose import Wanted

    rest = _without_option(given, "--context")
    rest.remove(str(word))
    with _answering(verb):
        resources.ask_autoscaler(Wanted(word, context), [str(verb.name), *rest])


def _refuse_writing(params: dict[str, Any]) -> None:
    if params.get("write") is not None:
        fail("--write would write on the head", "leave it out and redirect: rayfleet history export > FILE")


def _plain_words(verb: HeadVerb, params: dict[str, Any]) -> list[str]:
    """Return the words of which one may be the cluster."""
    if params.get("cluster") is not None:
        return [str(params["cluster"])]
    words = list(params.get("words") or [])
    return words[1:] if words and words[0] in verb.subjects else words


def _without_option(args: list[str], option: str) -> list[str]:
    """Return arguments without an option and its value."""
    kept = [word for word in args if not word.startswith(f"{option}=")]
    if option in kept:
        at = kept.index(option)
        del kept[at : at + 2]
    return kept


def _cluster_word(verb: HeadVerb, params: dict[str, Any]) -> str | None:
    """Return the word of a verb's arguments that names the cluster; None: none does."""
    from rayfleet.launcher.known import split

    if "cluster" in params:
        cluster = params["cluster"]
        return str(cluster) if cluster is not None else None
    return split(_plain_words(verb, params), verb.own_words - bool(params.get("clear")))[0]


@dataclass(frozen=True, slots=True)
class Asked:
    """What an `up` was asked for beyond the file."""

    min_workers: int | None
    max_workers: int | None
    no_restart: bool
    restart_only: bool
    yes: bool

    def refuse_here(self) -> None:
        """Refuse what a cluster of this machine, or in Kubernetes, cannot be asked for."""
        if self.no_restart or self.restart_only or self.min_workers is not None or self.max_workers is not None:
            fail("--min-workers, --max-workers, --no-restart and --restart-only are for clusters on other computers")


@dataclass(frozen=True, slots=True)
class Ending:
    """What a `down` was asked for."""

    workers_only: bool
    keep_min_workers: bool
    forget: bool
    give_up: bool = False

    def refuse_here(self) -> None:
        """Refuse what a cluster of this machine, or in Kubernetes, cannot be asked for."""
        if self.workers_only or self.keep_min_workers or self.give_up:
            fail("--workers-only, --keep-min-workers and --give-up are for clusters on other computers")


def is_remote(spec: ClusterSpec) -> bool:
    """Say whether a cluster's machines are other computers."""
    from rayfleet.wiring import registry

    kind = registry().get(spec.provider)
    return kind is not None and kind.remote


def up(wanted: Wanted, asked: Asked, timeout_s: float, *, no_page: bool = False, as_json: bool = False) -> None:
    """Bring a cluster elsewhere up, with one line for each step of each machine."""
    from rayfleet.bootstrap.again import Again
    from rayfleet.launcher.remote.up import Doing
    from rayfleet.launcher.remote.up import up as bring_up

    if asked.no_restart and asked.restart_only:
        fail("--no-restart and --restart-only contradict each other", "give one of them")
    wanted = resized(wanted, asked)
    if wanted.stale and not asked.yes and sys.stdin.isatty():
        typer.confirm(f"cluster {wanted.name} is up under another configuration: change it?", abort=True, err=True)
    no_restart = asked.no_restart or bool(wanted.spec.raw.get("no_restart"))
    again = Again.START if asked.restart_only else Again.SETUP if no_restart else None
    try:
        standing = asyncio.run(bring_up(wanted, Doing(lines(), timeout_s, again)))
    except KeyboardInterrupt:
        hint = f"rayfleet up {wanted.name} goes on, rayfleet down {wanted.name} ends it"
        fail(f"interrupted; cluster {wanted.name} may be half started", hint, EXIT_INTERRUPTED)
    url = page.started(wanted.name, unwanted=no_page)
    if as_json:
        print_json({**standing.as_json(), "page": url})
        return
    shown = f"  all clusters  {url.rpartition('/c/')[0]}/\n" if url else ""
    name = standing.cluster
    workers = f"{standing.workers} workers" if standing.workers else "no workers until work comes"
    overrides = f"  standing orders: {', '.join(standing.overrides)}\n" if standing.overrides else ""
    print(
        f"cluster {name} is up: head in {standing.head_ready_s:.1f} s, {workers}\n"
        f"{overrides}"
        f"  status        rayfleet status {name}\n"
        f"  a shell       rayfleet attach {name}\n"
        f"  a command     rayfleet exec {name} 'python script.py'\n"
        f"  a script      rayfleet submit {name} script.py\n"
        f"  dashboard     rayfleet dashboard {name}\n"
        f"{shown}"
        f"  Ray's own     rayfleet dashboard {name} --ray\n"
        f"  Ray address   {standing.address}, from its machines"
    )


def resized(wanted: Wanted, asked: Asked) -> Wanted:
    """Return a cluster with the limits that were asked for in place of its file's."""
    if asked.min_workers is None and asked.max_workers is None:
        return wanted
    from rayfleet.launcher.remote.config import resized as with_limits
    from rayfleet.launcher.remote.install import text_of
    from rayfleet.launcher.spec import wanted as read

    raw = with_limits(wanted.spec.raw, asked.min_workers, asked.max_workers)
    return read(text_of(raw), "the file with the limits given", wanted.name)


def to_end(word: str | None, name: str | None) -> Wanted | None:
    """Return the cluster elsewhere that `down` means; None: it is another kind of cluster, or not clear.

    One that was never started here may be meant by its file: what its place lists is ended all the same.
    """
    from rayfleet.config import ConfigInvalid
    from rayfleet.launcher import home as homes
    from rayfleet.launcher.errors import LauncherError
    from rayfleet.launcher.known import choose
    from rayfleet.launcher.remote.down import as_stored
    from rayfleet.launcher.spec import resolve

    if word is not None and homes.is_config(word):
        found = resolve(word, name)
        home = homes.Home(homes.root() / found.name)
        found = as_stored(home) if home.is_elsewhere else found
        return found if is_remote(found.spec) else None
    try:
        home = choose(name or word)
        if home.controller.exists() and not home.is_elsewhere:
            return None
        found = as_stored(home)
    except (LauncherError, ConfigInvalid):  # which `down` tells in its own way
        return None
    return found if is_remote(found.spec) else None


def down(wanted: Wanted, ending: Ending, timeout_s: float, *, as_json: bool) -> None:
    """End a cluster elsewhere, or only its workers."""
    from rayfleet.launcher import home as homes
    from rayfleet.launcher.remote.down import Ending as Doing
    from rayfleet.launcher.remote.down import down as bring_down
    from rayfleet.launcher.remote.down import rest

    if ending.workers_only or ending.keep_min_workers:
        pools = asyncio.run(rest(wanted, lines(), keep_min_workers=ending.keep_min_workers))
        left = "their minimums" if ending.keep_min_workers else "no machine"
        if as_json:
            print_json({"cluster": wanted.name, "pools": pools, "ok": True})
        else:
            print(f"the {pools} pools of {wanted.name} are to have {left}; rayfleet up {wanted.name} takes that back")
        return
    try:
        ended = asyncio.run(bring_down(wanted, Doing(lines(), timeout_s, ending.give_up)))
    except KeyboardInterrupt:
        hint = f"rayfleet down {wanted.name} sees it through"
        fail(f"interrupted; cluster {wanted.name} may be half down", hint, EXIT_INTERRUPTED)
    tell_end(ended, as_json=as_json, gave_up=ending.give_up)
    if ending.forget:
        homes.remove(homes.find(ended.cluster))


def lines() -> Progress:
    """Return a progress that prints each new step of each machine on a line of its own, beside the answer."""
    told: dict[str, str] = {}

    def show(step: Step) -> None:
        subject, colon, text = step.text.partition(": ")
        if told.get(subject) != text:
            told[subject] = text
            count = f" ({step.done} of {step.total})" if colon and step.total else ""
            print(f"{step.text}{count}", file=sys.stderr, flush=True)

    return show


def not_elsewhere(word: str | None, what: str, hint: str) -> None:
    """Refuse what only clusters of this machine can do."""
    home = remote_home(word)
    if home is not None:
        fail(f"cluster {home.name} is on other computers: {what}", hint)
