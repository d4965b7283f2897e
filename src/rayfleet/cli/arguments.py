"""Arguments and options that many commands share, and what completion offers for them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
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
Timeout = Annotated[float, typer.Option("--timeout", min=1, help="Of a RayCluster: wait so long, in s.")]

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


def add(app: typer.Typer, command: Callable[..., None], name: str | None = None, **options: Any) -> None:
    """Add a command to `app`; its docstring is its help, with the examples' lines as they are."""
    text = help_text(command.__doc__ or "")
    summary = re.split(r"[.;:](?:\s|$)", text, maxsplit=1)[0]
    app.command(name, cls=Verb, help=text, short_help=summary, **options)(command)


def help_text(docstring: str) -> str:
    """Return a docstring as help: paragraphs flow; lists, whose first line ends with a colon, keep their lines."""
    paragraphs = inspect.cleandoc(docstring).split("\n\n")
    kept = "\b\n"  # tells the help formatter to leave a paragraph's lines alone
    return "\n\n".join(f"{kept}{text}" if text.partition("\n")[0].endswith(":") else text for text in paragraphs)
