"""The instance metadata service, second version: who asks is known by the address from which it asks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from rayfleet.testing.clouds.aws.instances import Account, Instance

_TOKEN: Final = "emulated-session"  # noqa: S105 - opens nothing


@contextmanager
def metadata_service(account: Account, host: str) -> Iterator[str]:
    """Run the service of an account's instances on a free port of this address of ours; yields its URL."""

    class Handler(_Handler):
        accounts = account

    server = ThreadingHTTPServer((host, 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(instance: Instance, path: str) -> str | None:
    """Return what the service has under a path below `/latest/meta-data/`; None: nothing."""
    request = instance.request
    profile = request.get("IamInstanceProfile", {})
    role = profile.get("Name") or profile.get("Arn", "").rpartition("/")[2]
    found = {"instance-id": instance.id, "local-ipv4": instance.private_address, "instance-type": instance.type}
    found["placement/availability-zone"] = instance.zone
    if request.get("MetadataOptions", {}).get("InstanceMetadataTags") == "enabled":
        found |= {f"tags/instance/{key}": value for key, value in instance.tags.items()}
    if instance.spot_status == "marked-for-termination":
        found["spot/instance-action"] = json.dumps({"action": "terminate", "time": _ends(instance.spot_changed_at)})
    if role:
        found |= {"iam/security-credentials/": role, f"iam/security-credentials/{role}": _keys()}
    return found.get(path)


def _ends(marked_at: str) -> str:
    """Return when an instance that was marked then is terminated."""
    return f"{datetime.fromisoformat(marked_at) + timedelta(minutes=2):%Y-%m-%dT%H:%M:%SZ}"


def _keys() -> str:
    """Return a role's keys, as programs with boto3 find them on an instance; they open nothing, for long."""
    keys = {"AccessKeyId": "testing", "SecretAccessKey": "testing", "Token": "testing"}
    return json.dumps({"Code": "Success", "Type": "AWS-HMAC", **keys, "Expiration": "2099-01-01T00:00:00Z"})


class _Handler(BaseHTTPRequestHandler):
    accounts: Account

    def do_PUT(self) -> None:
        wanted = self.path == "/latest/api/token" and "X-aws-ec2-metadata-token-ttl-seconds" in self.headers
        self._reply(200 if wanted else 400, _TOKEN if wanted else "")

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != _TOKEN:
            return self._reply(401, "")
        address = self.client_address[0]
        living = [each for each in self.accounts.living() if each.private_address == address]
        found = answer(living[0], self.path.removeprefix("/latest/meta-data/")) if living else None
        return self._reply(404 if found is None else 200, found or "")

    def _reply(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.send_header("X-aws-ec2-metadata-token-ttl-seconds", "21600")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""
