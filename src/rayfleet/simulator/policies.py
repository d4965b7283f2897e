"""Policies to compare: from a cluster file, or from the `policy` of a scenario file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rayfleet.config import ConfigInvalid, Problem, load, load_scenario, may_be_manifest
from rayfleet.config.document import read
from rayfleet.model import Policy
from rayfleet.wiring import registry


@dataclass(frozen=True, slots=True)
class Candidate:
    """One policy and the name under which it is shown."""

    name: str
    policy: Policy


def read_policy(path: Path) -> Candidate:
    """Read a policy file.

    Raises:
        ConfigInvalid: with everything that is wrong with it.
        OSError: it cannot be read.
    """
    return Candidate(path.stem, parse_policy(path.read_text(encoding="utf-8"), path.name))


def parse_policy(text: str, file: str) -> Policy:
    """Return the policy of a scenario (it has `policy:` at its top) or of a cluster file or RayCluster (else).

    Raises:
        ConfigInvalid: with everything that is wrong with it, or it has no pools.
    """
    value = None if may_be_manifest(text) else read(text, file, old_booleans=True).value
    scenario = isinstance(value, dict) and "policy" in value
    policy = load_scenario(text, file).policy if scenario else load(text, registry(), file).policy
    if not policy.pools:
        hint = "a scenario's policy has pools, a cluster file available_node_types"
        raise ConfigInvalid([Problem("has no pool of workers", file=file, hint=hint)])
    return policy
