"""Label selectors in Ray's syntax: `a`, `!a`, `in(a,b)`, `!in(a,b)`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rayfleet.model.frozen import NO_LABELS, FrozenMap, Labels

__all__ = [
    "ANYWHERE",
    "MARKET_LABEL",
    "NODE_GROUP_LABEL",
    "NO_LABELS",
    "ZONE_LABEL",
    "FrozenMap",
    "LabelMatch",
    "LabelSelector",
    "Labels",
]

NODE_GROUP_LABEL: Final = "ray.io/node-group"
ZONE_LABEL: Final = "ray.io/availability-zone"
MARKET_LABEL: Final = "ray.io/market-type"

_EXPRESSION = re.compile(r"(?P<no>!?)(?:in\((?P<many>[^()]*)\)|(?P<one>[^()!]*))")


@dataclass(frozen=True, slots=True, order=True)
class LabelMatch:
    """One condition: the label's value is (or, negated, is not) among `values`.

    A negated condition also matches a node without the label, as in Ray.
    """

    key: str
    values: tuple[str, ...]
    negated: bool = False

    @classmethod
    def parse(cls, key: str, expression: str) -> LabelMatch:
        """Read Ray's syntax; ValueError when it is not."""
        found = _EXPRESSION.fullmatch(expression.strip())
        if not key or found is None:
            raise ValueError(f"label selector {key}: {expression!r} is not one of a, !a, in(a,b), !in(a,b)")
        many, one = found["many"], found["one"]
        values = [one] if many is None else many.split(",")
        return cls(key, tuple(sorted({v.strip() for v in values})), bool(found["no"]))

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Say whether a node with `labels` meets this condition."""
        if self.key not in labels:
            return self.negated
        return (labels[self.key] in self.values) != self.negated

    def expression(self) -> str:
        """Return the right-hand side in Ray's syntax."""
        body = self.values[0] if len(self.values) == 1 else f"in({','.join(self.values)})"
        return f"!{body}" if self.negated else body


@dataclass(frozen=True, slots=True, order=True)
class LabelSelector:
    """All of `matches` must hold. The empty selector holds everywhere."""

    matches: tuple[LabelMatch, ...] = ()

    @classmethod
    def parse(cls, expressions: Mapping[str, str]) -> LabelSelector:
        """Read a mapping of label key to expression; ValueError when malformed."""
        return cls(tuple(LabelMatch.parse(k, e) for k, e in sorted(expressions.items())))

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Say whether a node with `labels` is meant."""
        return all(match.holds(labels) for match in self.matches)

    def expressions(self) -> dict[str, str]:
        """Return label key -> expression; the inverse of `parse`."""
        return {match.key: match.expression() for match in self.matches}

    def __str__(self) -> str:
        """Print as `{tier: in(a,b)}`."""
        return "{" + ", ".join(f"{k}: {e}" for k, e in self.expressions().items()) + "}"


ANYWHERE: Final = LabelSelector()
