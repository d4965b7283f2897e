"""Pretended hosts for provider `local`: each answers its scripts as a healthy Linux host does, with a lease in memory.

ssh = FakeSsh()
host = leasable(ssh.add("10.0.0.1"))
host.lease = ...          # the text of the file on it, "" when it is free
host.power_cycle()        # another boot: the lease stays
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from rayfleet.testing.fake_ssh import Asked, FakeHost
from rayfleet.wire.ssh.session import Ran


@dataclass(eq=False)
class LeasedHost:
    """What a pretended host has beside SSH. `ended`: clusters whose processes were ended; `facts`: of its probe."""

    ssh: FakeHost
    lease: str = ""
    boots: int = 1
    ended: list[str] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    unending: str = ""
    """Processes that nobody can end, by id."""

    def power_cycle(self) -> None:
        """Start it anew."""
        self.boots += 1

    def look(self, _asked: Asked) -> str:
        """Answer LOOK."""
        return "\n".join(self._state())

    def take(self, asked: Asked) -> str:
        """Answer TAKE."""
        taken = not self.lease
        self.lease = self.lease or asked.env["RF_LEASE"]
        return "\n".join((*(["rayfleet taken yes"] if taken else []), *self._state()))

    def release(self, asked: Asked) -> Ran:
        """Answer RELEASE."""
        if asked.env["RF_SIGN"] not in self.lease:
            return Ran(0, ("rayfleet released already",))
        if self.unending:
            return Ran(4, (f"rayfleet left {self.unending}",))
        self.ended.append(asked.env["RF_CLUSTER"])
        self.lease = ""
        return Ran(0, ("rayfleet released yes",))

    def free(self, _asked: Asked) -> str:
        """Answer FREE."""
        before = "\n".join(self._state())
        self.lease = ""
        return before

    def probe(self, _asked: Asked) -> str:
        """Answer PROBE."""
        facts = {
            "now": f"{time.time():.6f}",  # noqa: TID251 - a host has a clock of its own
            "disk": "/tmp 100000000",  # noqa: S108 - a name, no file
            "sudo": "yes",
            "cpus": "8",
            "memory": "16000000",
            "program": "rsync",
        } | self.facts
        return "\n".join((*self._state(), *(f"rayfleet {word} {value}" for word, value in facts.items() if value)))

    def _state(self) -> Iterator[str]:
        yield f"rayfleet boot {self.ssh.address}-{self.boots}"
        if self.lease:
            yield f"rayfleet lease {self.lease}"


def leasable(host: FakeHost) -> LeasedHost:
    """Have a pretended host answer what provider `local` asks."""
    made = LeasedHost(host)
    for word in ("look", "take", "release", "free", "probe"):
        host.answers[f"# rayfleet: {word}\n"] = getattr(made, word)
    return made
