"""TLS towards Ray's servers, which want to see a certificate, too: files of settings, else of Ray's variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import grpc

from rayfleet.engines.ray.settings import RaySettings, TlsFiles

_YES: Final = ("1", "true")


def credentials(settings: RaySettings) -> grpc.ChannelCredentials | None:
    """Return what a channel to the cluster is made with; None: nothing is encrypted.

    Raises:
        OSError: a file cannot be read, or a variable is missing.
    """
    files = settings.tls or files_of(os.environ)
    if files is None:
        return None
    certificate, key, authority = (
        Path(place).read_bytes() for place in (files.certificate, files.key, files.authority)
    )
    return grpc.ssl_channel_credentials(authority, key, certificate)


def files_of(environment: Mapping[str, str]) -> TlsFiles | None:
    """Return the files that Ray's variables name; None: they say that nothing is encrypted.

    Raises:
        OSError: they say that it is, and not where the files are.
    """
    if environment.get("RAY_USE_TLS", "").lower() not in _YES:
        return None
    names = ("RAY_TLS_SERVER_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_CA_CERT")
    missing = [name for name in names if not environment.get(name)]
    if missing:
        raise FileNotFoundError(f"RAY_USE_TLS is set, and {', '.join(missing)} is not")
    return TlsFiles(*(environment[name] for name in names))
