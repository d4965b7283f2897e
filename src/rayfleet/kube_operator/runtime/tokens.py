"""The tokens that clusters ask for, out of their Secrets: read when they are needed, and again once refused."""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from rayfleet.kube_operator.raycluster.environment import AUTH_KEY
from rayfleet.wire.kube.errors import KubeError
from rayfleet.wire.kube.kube import Kube
from rayfleet.wire.kube.objects import SECRET, Key

KEPT_S: Final = 300.0
_REMEMBERED: Final = 10_000


class TokenUnreadable(Exception):
    """A Secret cannot be read, or holds no token."""


class Tokens:
    """Tokens by Secret, each read at most every `KEPT_S` seconds. `now`: seconds on any clock."""

    def __init__(self, kube: Kube, now: Callable[[], float]) -> None:
        """Take the way to the API server."""
        self._kube = kube
        self._now = now
        self._known: OrderedDict[Key, tuple[float, str]] = OrderedDict()

    async def of(self, secret: Key) -> str:
        """Return the token in a Secret.

        Raises:
            TokenUnreadable: with words for the user.
        """
        read_at, token = self._known.get(secret, (float("-inf"), ""))
        if self._now() - read_at < KEPT_S:
            return token
        try:
            thing = await self._kube.get(SECRET, secret)
            token = base64.b64decode(thing["data"][AUTH_KEY], validate=True).decode().strip()
        except KubeError as error:
            raise TokenUnreadable(f"the cluster's token in Secret {secret} cannot be read: {error}") from error
        except (KeyError, TypeError, binascii.Error, UnicodeDecodeError) as error:
            raise TokenUnreadable(f"Secret {secret} has no {AUTH_KEY}") from error
        self._known[secret] = (self._now(), token)
        self._known.move_to_end(secret)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return token

    def forget(self, secret: Key) -> None:
        """Read it anew next time: it was refused, and may have been changed."""
        self._known.pop(secret, None)
