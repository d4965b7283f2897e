"""Which cluster is meant: a name, a configuration file, or the only one that is up."""

from __future__ import annotations

import os
from pathlib import Path

from rayfleet.launcher import home as homes
from rayfleet.launcher.errors import NoCluster, SeveralClusters
from rayfleet.launcher.home import Home, is_config

CLUSTER_VARIABLE = "RAYFLEET_CLUSTER"
"""Set in every shell, job and process of a cluster, so that its own commands mean that cluster."""


def choose(word: str | None) -> Home:
    """Return the cluster that `word` means; without a word the one that we are in, else the only one that is up.

    Raises:
        UnknownCluster: nothing of that name, or the file's cluster was never started here.
        NoCluster, SeveralClusters: no word, and none or more than one is up. What is suspended has to be named.
        ConfigInvalid: `word` is a configuration file with mistakes.
    """
    if word is not None:
        return homes.find(_name_in(Path(word)) if is_config(word) else word)
    own = os.environ.get(CLUSTER_VARIABLE)
    every = homes.known()
    up = tuple(each for each in every if each.is_up and not each.is_suspended)
    if own in {each.name for each in up}:
        return homes.find(own or "")
    if len(up) > 1:
        names = ", ".join(each.name for each in up)
        hint = "name the one that you mean, as first argument (of run: --cluster NAME)"
        raise SeveralClusters(f"several clusters are up: {names}", hint)
    if not up:
        raise _none_is_up(every)
    return up[0]


def choose_resting(word: str | None) -> Home:
    """Return the cluster that `word` means; without a word the only one that is suspended.

    Raises:
        As `choose`; NoCluster, SeveralClusters: no word, and none or more than one is suspended.
    """
    if word is not None:
        return choose(word)
    found = [each for each in homes.known() if each.is_suspended]
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise SeveralClusters(f"several clusters are suspended: {names}", "name the one that you mean")
    if not found:
        raise NoCluster("no cluster is suspended on this machine", "rayfleet list shows every cluster")
    return found[0]


def _none_is_up(every: tuple[Home, ...]) -> NoCluster:
    resting = [each.name for each in every if each.is_suspended]
    down = [each.name for each in every if not each.is_suspended]
    said = {"suspended": resting, "down": down}
    before = "; ".join(f"{state}: {', '.join(names)}" for state, names in said.items() if names)
    hint = f"rayfleet resume {resting[0]}" if resting else "start one: rayfleet up"
    return NoCluster(f"no cluster is up on this machine{before and f' ({before})'}", hint)


def split(words: list[str], needed: int) -> tuple[str | None, list[str]]:
    """Take an optional first CLUSTER off `words`, of which `needed` belong to the command.

    The first word is the cluster when there are more words than needed, or when it is a configuration file or known.
    """
    if not words:
        return None, []
    first = words[0]
    named = is_config(first) or is_known(first)
    if len(words) > needed and named:
        return first, words[1:]
    return None, words


def is_known(word: str) -> bool:
    """Say whether `word` is the name of a cluster that was started here."""
    return word in {each.name for each in homes.known()}


def _name_in(path: Path) -> str:
    from rayfleet.launcher.spec import resolve  # reads configuration, which most commands never need

    return resolve(str(path)).name
