"""Which cluster is wanted: a file, one that was up before, or this machine's own pools; and its stored form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayfleet.config import ClusterSpec, Problem, check, load
from rayfleet.engines.ray.settings import RaySettings
from rayfleet.launcher import home as homes
from rayfleet.launcher.errors import LauncherError, NotRunning
from rayfleet.launcher.home import DEFAULT_NAME, Home
from rayfleet.launcher.known import is_config
from rayfleet.wiring import registry

if TYPE_CHECKING:
    from rayfleet.wiring import Assembly


@dataclass(frozen=True, slots=True)
class Wanted:
    """A cluster that somebody wants up: its name, its checked configuration and the text that it was read from.

    `fresh`: it was not up when it was asked for. `stale`: it was, under another configuration.
    """

    name: str
    spec: ClusterSpec
    text: str
    fresh: bool
    stale: bool


def resolve(word: str | None, name: str | None = None) -> Wanted:
    """Return what `up` is to bring up. `word`: a configuration file or a known cluster; None: this machine's pools.

    A cluster that is up and asked for without a file keeps the configuration that it has.

    Raises:
        ConfigInvalid: with every problem of the file.
        LauncherError: there is no such file or cluster.
    """
    if word is not None and not is_config(word):
        home = homes.find(word)
        return wanted(_stored_text(home), str(home.config), home.name)
    if word is not None:
        return wanted(_read(Path(word)), word, name)
    home = Home(homes.root() / homes.check_name(name or DEFAULT_NAME))
    text = _stored_text(home) if home.is_up else default_text(home.name)
    return wanted(text, "this machine's pools", home.name)


def wanted(text: str, file: str, name: str | None = None) -> Wanted:
    """Return the cluster that `text` describes, called `name` where that is given.

    Raises:
        ConfigInvalid: with every problem of it.
        LauncherError: its name cannot be one.
    """
    spec = load(text, registry(), file)
    home = Home(homes.root() / homes.check_name(name or spec.name))
    stale = home.is_up and _stored_text(home) != text
    return Wanted(home.name, spec, text, fresh=not home.is_up, stale=stale)
