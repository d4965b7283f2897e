"""What every reason code means, what the values in its details are, and what a person can do about it.

The sentence of one case is made from `reason.TEXTS`; this is about the code itself, for the reference page and for
whoever asks about a code. A module of its own: whoever only plans does not load it.
"""

from __future__ import annotations

from typing import Final

from rayfleet.model.meanings.machines import LAUNCHES, RELEASES, STAYS
from rayfleet.model.meanings.meaning import NOTHING, Meaning
from rayfleet.model.meanings.obstacles import FINDINGS, OFFERS, WAITS
from rayfleet.model.reason import ReasonCode

SECTIONS: Final = {
    "Why machines are launched": LAUNCHES,
    "Why machines leave": RELEASES,
    "Why machines stay": STAYS,
    "Why work waits": WAITS,
    "Why an offer was not launched": OFFERS,
    "Findings": FINDINGS,
}
"""The codes by what they are mostly said of; a code may turn up elsewhere too."""

MEANINGS: Final[dict[ReasonCode, Meaning]] = LAUNCHES | RELEASES | STAYS | WAITS | OFFERS | FINDINGS

__all__ = [
    "FINDINGS", "LAUNCHES", "MEANINGS", "NOTHING", "OFFERS", "RELEASES", "SECTIONS", "STAYS", "WAITS", "Meaning",
]  # fmt: skip
