"""The cloud's own client library behind one call: it is loaded at the first use, and runs in threads."""

from __future__ import annotations

import asyncio
import os
import re
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from rayfleet.contracts import Denied
from rayfleet.providers.aliyun.errors import ApiError, api_error
from rayfleet.providers.aliyun.settings import Settings

CONNECT_TIMEOUT_MS: Final = 5_000
READ_TIMEOUT_MS: Final = 60_000
"""RunInstances of a hundred machines takes a while to answer."""
INSTALL: Final = 'provider aliyun needs the library of Alibaba Cloud: pip install "rayfleet[aliyun]"'
KEY_FILES: Final = (".aliyun/config.json", ".alibabacloud/credentials")
NO_KEYS: Final = (
    "there is no access key for Alibaba Cloud: set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, "
    "or access_key and access_key_secret in the provider section, or give the machine that this runs on a RAM role"
)


class Library:
    """The parts of the client library that are used. Making one loads it, which takes seconds."""

    def __init__(self) -> None:
        """Load it; ModuleNotFoundError where it is not installed."""
        from alibabacloud_credentials.client import Client as Credentials
        from alibabacloud_ecs20140526 import models
        from alibabacloud_ecs20140526.client import Client
        from alibabacloud_tea_openapi.utils_models import Config
        from darabonba.runtime import RuntimeOptions

        self.models: Any = models
        self.client: Callable[[Any], Any] = Client
        self.config: Callable[..., Any] = Config
        self.credentials: Callable[[], Any] = Credentials
        self.runtime: Any = RuntimeOptions(
            autoretry=False, connect_timeout=CONNECT_TIMEOUT_MS, read_timeout=READ_TIMEOUT_MS
        )


class EcsClient:
    """Calls by the API's own names, with its own words as maps, in and out.

    There are no repetitions in here: what an error means is decided by who asked, and the same call may be made again.
    """

    def __init__(self, settings: Settings, load: Callable[[], Library] = Library) -> None:
        """Take where to send calls and who asks. `load` brings the library."""
        self._settings = settings
        self._load = load
        self._lock = threading.Lock()
        self._made: tuple[Library, Any] | None = None
        self.endpoint = settings.endpoint or os.environ.get("RAYFLEET_ALIYUN_ENDPOINT") or ""

    async def call(self, action: str, **parameters: Any) -> dict[str, Any]:
        """Make a call; parameters that are None are left out. Return the answer's body.

        Raises:
            ApiError: the cloud refused, or there was no answer.
            Denied: the library is not installed, or there is no access key.
        """
        given = {name: value for name, value in parameters.items() if value is not None}
        return await asyncio.to_thread(self._call, action, given)

    def _call(self, action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        library, client = self._ready()
        model = getattr(library.models, f"{action}Request")
        asked = model().from_map(dict(parameters))
        unknown = sorted(set(parameters) - set(asked.to_map()))
        if unknown:
            raise ApiError("UnsupportedParameter", f"{action} knows no {', '.join(unknown)}")
        method = getattr(client, f"{_snake(action)}_with_options")
        try:
            body: dict[str, Any] = method(asked, library.runtime).body.to_map()
        except Exception as error:  # the library raises its own errors, those of HTTP and of sockets alike
            if type(error).__name__ == "CredentialException":
                raise Denied(NO_KEYS) from error
            raise api_error(error, self.endpoint or f"Alibaba Cloud in {self._settings.region}") from None
        return body

    def _ready(self) -> tuple[Library, Any]:
        with self._lock:
            if self._made is None:
                try:
                    library = self._load()
                except ModuleNotFoundError as error:
                    raise Denied(INSTALL) from error
                self._made = library, library.client(library.config(**self._config(library)))
            return self._made

    def _config(self, library: Library) -> dict[str, Any]:
        """Return who asks and where; keys of the section go before those of the environment."""
        settings = self._settings
        made: dict[str, Any] = {"region_id": settings.region}
        if self.endpoint:
            url = urllib.parse.urlsplit(self.endpoint if "://" in self.endpoint else f"https://{self.endpoint}")
            made |= {"endpoint": url.netloc, "protocol": url.scheme}
        if settings.access_key and settings.access_key_secret:
            keys = settings.access_key.get_secret_value(), settings.access_key_secret.get_secret_value()
            return made | dict(zip(("access_key_id", "access_key_secret"), keys, strict=True))
        return made | (_environment_keys() or {"credential": _found_keys(library)})


def _environment_keys() -> dict[str, str]:
    """Return the keys of the environment as it is now; the library reads it once, when it is loaded."""
    names = {"access_key_id": "ACCESS_KEY_ID", "access_key_secret": "ACCESS_KEY_SECRET"}
    keys = {ours: os.environ.get(f"ALIBABA_CLOUD_{theirs}", "") for ours, theirs in names.items()}
    if not all(keys.values()):
        return {}
    token = os.environ.get("ALIBABA_CLOUD_SECURITY_TOKEN")
    return keys | ({"security_token": token} if token else {})


def _found_keys(library: Library) -> Any:
    """Return what the library finds: files in the home directory, or the role of the machine, which it asks for it."""
    alone = os.environ.get("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "").lower() == "true"
    if alone and not any((Path.home() / name).exists() for name in KEY_FILES):
        raise Denied(NO_KEYS)
    return library.credentials()


def _snake(action: str) -> str:
    """Return the library's name of a call: DescribeVSwitches is its describe_vswitches."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", action).lower()
