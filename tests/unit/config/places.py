"""Kinds of places for tests of cluster files: one that is installed, and one that uses keys outside its section."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from rayfleet.model import Pool, StandbyMode


class HereSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    max_concurrent_starts: int | None = Field(default=None, ge=1)
    grace_s: float = Field(default=5.0, ge=0)


class CloudSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    uses: ClassVar[frozenset[str]] = frozenset({"auth", "node_config", "setup_commands"})

    region: str

    @staticmethod
    def remarks(pools: Iterable[Pool]) -> Iterator[tuple[str, str, str]]:
        """Find gold odd."""
        return ((pool.name, "gold", "is heavy") for pool in pools if "gold" in pool.resources)


@dataclass(frozen=True, slots=True)
class Kind:
    settings: type[Any]
    standby: tuple[StandbyMode, ...] = ()


HERE = {"process": Kind(HereSettings, (StandbyMode.STOPPED,))}
BOTH = {**HERE, "cloud": Kind(CloudSettings)}
