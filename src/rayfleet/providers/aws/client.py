"""boto3's clients: each call is made once, in a thread, and ends in an answer or in one of the contract's errors.

Nothing is repeated here. botocore would ask three times when a zone is out of stock, because EC2 says so with HTTP 500;
whoever calls a provider has the better reasons to wait, and its back-off bounds the calls of a throttling storm.
"""

from __future__ import annotations

import asyncio
import threading
from functools import cache
from typing import Any, Final

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader, create_loader

from rayfleet.model import OfferKey
from rayfleet.providers.aws.errors import failure
from rayfleet.providers.aws.settings import Settings

_CONFIG: Final = Config(
    retries={"total_max_attempts": 1, "mode": "standard"},
    connect_timeout=10,
    read_timeout=60,
    max_pool_connections=16,
    user_agent_extra="rayfleet",
)


@cache
def _loader() -> Loader:
    """Return who reads the descriptions of the services: EC2's takes a third of a second, so each is read once."""
    return create_loader()


class Client:
    """The services of one account in one region. Clients are made when they are first needed."""

    def __init__(self, settings: Settings) -> None:
        """Keep the settings; no call is made."""
        self._settings = settings
        self._lock = threading.Lock()
        self._session: Any = None
        self._services: dict[str, Any] = {}

    async def call(
        self, service: str, method: str, parameters: dict[str, Any], offer: OfferKey | None = None
    ) -> dict[str, Any]:
        """Make one call and return its answer.

        Raises:
            ProviderError: of the type that says what to do, with `offer` as its scope where nothing wider is affected.
        """
        try:
            return await asyncio.to_thread(self._call, service, method, parameters)
        except (ClientError, BotoCoreError) as error:
            raise failure(error, offer) from error

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            for service in self._services.values():
                service.close()
            self._services.clear()

    def _call(self, service: str, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = getattr(self._service(service), method)(**parameters)
        return answer

    def _service(self, name: str) -> Any:
        """Return a client. Making one is the only part of boto3 that threads may not do at once."""
        with self._lock:
            if name not in self._services:
                settings = self._settings
                keys = settings.aws_credentials.model_dump(exclude_none=True) if settings.aws_credentials else {}
                if self._session is None:
                    core = botocore.session.get_session()
                    core.register_component("data_loader", _loader())
                    self._session = boto3.Session(botocore_session=core, region_name=settings.region, **keys)
                self._services[name] = self._session.client(name, endpoint_url=settings.endpoint_url, config=_CONFIG)
            return self._services[name]
