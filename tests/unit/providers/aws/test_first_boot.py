"""What machines are given to run at their first boot; parts of it really run here."""

import gzip
import subprocess
import threading
from collections.abc import Iterator
from email import message_from_string
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from tests.unit.providers.aws.emulated import LOGIN, POOL, context, provider, request

from rayfleet.contracts import Denied, StartScript
from rayfleet.model import FrozenMap, Pool, StandbyMode
from rayfleet.providers.aws.metadata import own_id
from rayfleet.providers.aws.order import USER_DATA_BYTES, packed_user_data
from rayfleet.testing.clouds.aws import AwsEmulator


class Metadata(BaseHTTPRequestHandler):
    """EC2's metadata service, second version: nothing without a token."""

    answers: ClassVar[dict[str, str]] = {}

    def do_PUT(self) -> None:
        self._say(200 if self.path == "/latest/api/token" else 404, "a-token")

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != "a-token":
            self._say(401, "")
        else:
            found = self.answers.get(self.path.removeprefix("/latest/meta-data/"))
            self._say(404 if found is None else 200, found or "")

    def _say(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        pass


@pytest.fixture
def metadata() -> Iterator[tuple[str, dict[str, str]]]:
    """Run a metadata service; the value is its address and what it knows."""
    answers: dict[str, str] = {}
    handler = type("Answering", (Metadata,), {"answers": answers})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", answers
    server.shutdown()
    server.server_close()
    thread.join()


def shell(script: str, **environment: str) -> str:
    path = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, env={**path, **environment}, timeout=100, check=False
    )
    return done.stdout


def test_a_machine_learns_its_own_id(metadata: tuple[str, dict[str, str]]) -> None:
    """From the address in the settings, or from the one in the machine's environment, which counts more."""
    url, answers = metadata
    answers["instance-id"] = "i-0123"
    assert shell(own_id(url)) == "i-0123"
    assert shell(own_id("http://127.0.0.1:9"), AWS_EC2_METADATA_SERVICE_ENDPOINT=url) == "i-0123"


async def test_a_machine_that_waits_asks_at_each_boot(
    emulator: AwsEmulator, tmp_path: Path, metadata: tuple[str, dict[str, str]]
) -> None:
    """The very lines that it is given, run: nothing while its tag says that it waits, then the start."""
    url, answers = metadata
    answers["instance-id"] = "i-0123"
    made = context(emulator, tmp_path, metadata_url=url)

    def says(pool: Pool, head: bool) -> StartScript:
        return StartScript(("echo", "Ray on", pool.name), FrozenMap({}))

    aws = provider(type(made)(made.cluster, tmp_path, made.settings, says))
    await aws.prepare(request("b1", 1), StandbyMode.STOPPED)
    (call,) = emulator.calls("RunInstances")
    assert call.parameters["MetadataOptions"] == {"InstanceMetadataTags": "enabled"}
    text = emulator.account.living()[0].user_data.decode()
    boot = text.partition("<<'RAYFLEET_START'\n")[2].partition("\nRAYFLEET_START")[0]
    answers["tags/instance/rayfleet-waits"] = "yes"
    assert shell(boot) == ""
    answers["tags/instance/rayfleet-waits"] = ""
    assert shell(boot) == f"Ray on {POOL.name}\n"


async def test_the_pools_own_user_data_runs_first(emulator: AwsEmulator, tmp_path: Path) -> None:
    own = "#cloud-config\npackages: [htop]\n"
    await provider(context(emulator, tmp_path, node_config={"UserData": own})).launch(request("b1", 1))
    whole = message_from_string(emulator.account.living()[0].user_data.decode())
    parts = [(part.get_content_type(), part.get_payload(decode=True)) for part in whole.walk()][1:]
    (first, mine), (second, ours) = parts
    assert (first, mine) == ("text/cloud-config", own.encode())
    assert second == "text/x-shellscript"
    assert isinstance(ours, bytes)
    assert LOGIN.public_key.encode() in ours


def test_long_user_data_is_compressed_and_too_long_is_refused() -> None:
    long = "#!/bin/sh\n" + "echo the same again\n" * 5000
    packed = packed_user_data(long, "")
    assert isinstance(packed, bytes)
    assert gzip.decompress(packed).decode() == long
    assert packed == packed_user_data(long, "")
    noise = "".join(f"{n * 7919 % 104729:x}" for n in range(20000))
    with pytest.raises(Denied, match=f"EC2 takes {USER_DATA_BYTES}"):
        packed_user_data(noise, "")
