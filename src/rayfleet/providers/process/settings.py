"""What a user may set in the `provider:` section for `type: process`."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from rayfleet.model import Pool

ROOT_CHARACTERS_MAX = 25
"""Ray makes UNIX sockets below a machine's directory, and the kernel allows 107 characters for the whole path."""


def _short_and_absolute(root: Path) -> Path:
    if not root.is_absolute():
        raise ValueError(f"must be an absolute path, such as /tmp/rayfleet; it is {root}")
    if len(str(root)) > ROOT_CHARACTERS_MAX:
        raise ValueError(
            f"must be at most {ROOT_CHARACTERS_MAX} characters long, because Ray's sockets go below it and the kernel "
            f"limits their paths; {root} has {len(str(root))}"
        )
    return root


class Settings(BaseModel):
    """The `provider:` section of `type: process`. Times in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_concurrent_starts: int | None = Field(default=None, ge=1)
    """Machines that boot at the same time; null: as many as this computer has cores. The others are queued."""

    start_attempts: int = Field(default=3, ge=1)
    """How often a machine is started before it is given up as failed."""

    start_window_s: float = Field(default=30.0, gt=0)
    """A start holds its place in the queue for at most so long; it goes on booting after that."""

    retry_delay_s: float = Field(default=1.0, ge=0)
    """Pause before the second attempt; the third waits twice as long, and so on."""

    grace_s: float = Field(default=5.0, ge=0)
    """A machine that is released has so long to end by itself before it is killed."""

    root: Annotated[Path, AfterValidator(_short_and_absolute)] | None = None
    """Where machines have their directories; null: /tmp/rayfleet-<user id>."""

    @staticmethod
    def remarks(pools: Iterable[Pool]) -> Iterator[tuple[str, str, str]]:
        """Yield (pool, resource, text) for what is odd about pools on this computer, though nothing is wrong."""
        from rayfleet.providers.process.remarks import of_this_computer

        return of_this_computer(pools)
