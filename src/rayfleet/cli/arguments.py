"""Arguments and options that many commands share, and what completion offers for them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from rayfleet.cli.terminal import fail


def cluster_names(incomplete: str) -> list[str]:
    """Return the clusters that a shell may offer for `incomplete`."""
    from rayfleet.launcher import home

    return [each.name for each in home.known() if each.name.startswith(incomplete)]


def pool_names(incomplete: str) -> list[str]:
    """Return the pools of the cluster that is up which a shell may offer for `incomplete`, and clusters."""
    from rayfleet.launcher.errors import LauncherError
    from rayfleet.launcher.known import choose
    from rayfleet.launcher.spec import stored

    try:
        pools = [pool.name for pool in stored(choose(None)).policy.pools]
    except LauncherError:
        pools = []
    return [name for name in (*pools, *cluster_names(incomplete)) if name.startswith(incomplete)]


def names_after(subjects: Iterable[str]) -> Callable[[typer.Context, str], list[str]]:
    """Return what a shell may offer for `SUBJECT [CLUSTER]`: first the subjects, then clusters."""

    def offered(context: typer.Context, incomplete: str) -> list[str]:
        if context.params.get("words"):
            return cluster_names(incomplete)
        return [subject for subject in subjects if subject.startswith(incomplete)]

    return offered


Cluster = Annotated[
    str | None,
    typer.Argument(
        metavar="[CLUSTER]",
        help="A name, or its .yaml file. Default: the only one that is up.",
        autocompletion=cluster_names,
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, in a format that stays.")]

KubeContext = Annotated[
    str | None,
    typer.Option(
        "--context", help="Of a RayCluster: the kubeconfig's context. Default: its current one.", show_default=False
    ),
]
Record = Annotated[
    Path | None,
    typer.Option("--record", metavar="FOLDER", help="From the record in this folder.", show_default=False),
]
Timeout = Annotated[
    float, typer.Option("--timeout", min=1, help="Of a RayCluster or a cluster elsewhere: wait so long, in s.")
]

Name = Annotated[
    str | None,
    typer.Option(
        "--name", "--cluster-name", "-n", help="What it is called. Default: what its file says.", show_default=False
    ),
]

COMMAND_LINE = {"allow_interspersed_args": False, "ignore_unknown_options": False}
"""For commands that run others: options after the first word belong to that command."""


def in_kubernetes(word: str | None, context: str | None = None) -> bool:
    """Say whether a CLUSTER argument means a cluster in Kubernetes. `context` is for those only."""
    found = False
    if word is not None and (word.startswith("k8s:") or word.endswith((".yaml", ".yml"))):
        from rayfleet.launcher.kube.target import means_kubernetes  # reads configuration, which most never need

        found = means_kubernetes(word)
    if context is not None and not found:
        hint = "name it: --context CONTEXT raycluster.yaml, or k8s:CONTEXT/NAMESPACE/NAME"
        fail("--context is for clusters in Kubernetes", hint)
    return found


class Verb(TyperCommand):
    """A command whose usage line shows arguments as their metavar says, with nothing put around it."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the signature is the parser's
        """Return the words of the usage line after the command's name."""
        words = [getattr(param, "metavar", None) for param in self.params if param.param_type_name == "argument"]
        return [self.options_metavar or "", *(word for word in words if word)]


class HeadVerb(Verb):
    """A command that is run on the head where the cluster is elsewhere. `own_words`: how many words are its own.

    `asks_autoscaler`: it reads the record, which of a RayCluster the autoscaler beside its head has.
    `subjects`: words that may come before the cluster; `needs_subject`: without one it is about this machine.
    `asks_health`: that nobody answers is an answer.
    `group`: the word before its own, "" for commands without one.
    """

    own_words = 0
    group = ""
    asks_autoscaler = False
    subjects: frozenset[str] = frozenset()
    needs_subject = False
    asks_health = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep the words as they were given, for the head."""
        ctx.meta[_GIVEN] = list(args)
        return list(super().parse_args(ctx, args))

    def invoke(self, ctx: Any) -> Any:
        """Run it there, or here."""
        from rayfleet.cli.elsewhere import on_head

        code = on_head(self, ctx.meta[_GIVEN], ctx.params)
        if code is not None:
            raise typer.Exit(code)
        return super().invoke(ctx)


class RayVerb(Verb):
    """A command of Ray's own command line: takes the flags that Ray's has and that change nothing here.

    Where options are followed by a command of the user's, the cluster may come before them, as Ray's users write it.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Leave such flags out of what comes before the user's own command."""
        kept, rest = without_ray_flags(list(args), stops=not ctx.allow_interspersed_args)
        options_follow = not ctx.allow_interspersed_args and len(kept) > 1 and kept[1].startswith("-")
        first = kept[:1] if options_follow and _names_cluster(kept[:1]) else []
        found = list(super().parse_args(ctx, [*kept[len(first) :], *rest]))
        if first and isinstance(ctx.params.get("words"), list):
            ctx.params["words"] = [*first, *ctx.params["words"]]
        return found


_GIVEN = "rayfleet.given"
_RAY_FLAGS = frozenset(
    {"--no-config-cache", "--redirect-command-output", "--disable-usage-stats", "--verbose", "-v",
     "--use-login-shells", "--use-normal-shells"}
)  # fmt: skip
_RAY_OPTIONS = frozenset({"--log-style", "--log-color"})


def without_ray_flags(args: list[str], *, stops: bool) -> tuple[list[str], list[str]]:
    """Return `args` without Ray's flags that mean nothing here, and what comes after a `--`.

    `stops`: what follows the second plain word is a user's own command, and is left alone too.
    """
    kept: list[str] = []
    plain = 0
    while args and args[0] != "--" and not (stops and plain > 1):
        word = args.pop(0)
        if word in _RAY_OPTIONS:
            del args[:1]
        elif word not in _RAY_FLAGS and word.partition("=")[0] not in _RAY_OPTIONS:
            kept.append(word)
            plain += not word.startswith("-")
    return kept, args


def _names_cluster(words: list[str]) -> bool:
    from rayfleet.launcher.home import is_config
    from rayfleet.launcher.known import is_known

    return any(is_config(word) or (not word.startswith("-") and is_known(word)) for word in words)


def add(app: typer.Typer, command: Callable[..., None], name: str | None = None, **options: Any) -> None:
    """Add a command to `app`; its docstring is its help, with the examples' lines as they are."""
    text = help_text(command.__doc__ or "")
    summary = re.split(r"[.;:](?:\s|$)", text, maxsplit=1)[0]
    options = {"cls": Verb, **options}
    app.command(name, help=text, short_help=summary, **options)(command)


def on_head(own_words: int, *, subjects: Iterable[str] = (), **parts: bool | str) -> type[HeadVerb]:
    """Return the kind of a command that goes to the head of a cluster elsewhere, of whose words so many are its own.

    `parts`: what else is said of a `HeadVerb`.
    """
    return type("OnHead", (HeadVerb,), {"own_words": own_words, "subjects": frozenset(subjects), **parts})


def help_text(docstring: str) -> str:
    """Return a docstring as help: paragraphs flow; lists, whose first line ends with a colon, keep their lines."""
    paragraphs = inspect.cleandoc(docstring).split("\n\n")
    kept = "\b\n"  # tells the help formatter to leave a paragraph's lines alone
    return "\n\n".join(f"{kept}{text}" if text.partition("\n")[0].endswith(":") else text for text in paragraphs)
