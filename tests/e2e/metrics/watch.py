"""Debian's Prometheus and Alertmanager on this machine, and somebody whom alerts reach."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from rayfleet.engines.ray.settings import free_ports

DEPLOY = Path(__file__).parents[3] / "deploy"
LIMIT_S = 90.0
_POLL_S = 0.2
END_S = 20.0


def until(happened: Callable[[], Any], shown: object = "") -> Any:
    """Wait until something is so, and return it; where it is not in time, `shown` is."""
    deadline = time.monotonic() + LIMIT_S
    while not (found := happened()):
        assert time.monotonic() < deadline, f"not so in time {shown}"
        time.sleep(_POLL_S)
    return found


def hurried(rules: str) -> str:
    """Return rules that wait for seconds where they wait for minutes; what they ask is the same."""
    quick = re.sub(r"\bfor: \w+", "for: 1s", rules)
    quick = re.sub(r"\[\d+[mhd]\]", "[30s]", quick)
    return quick.replace("> 300", "> 3").replace("> 60", "> 4")


@contextmanager
def running(command: Sequence[str | Path], ready: str, log: Path) -> Iterator[None]:
    """Run a server until left. `ready`: an address that answers when it can be asked."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as server:
        try:

            def answers() -> bool:
                assert server.poll() is None, log.read_text()
                with suppress(OSError), urlopen(ready, timeout=5):
                    return True
                return False

            until(answers)
            yield
        finally:
            server.terminate()
            try:
                server.wait(END_S)
            except subprocess.TimeoutExpired:
                server.kill()


@dataclass
class Receiver:
    """Whom alerts reach: name of the alert, cluster, and whether it is over, in the order in which they came."""

    port: int
    told: list[tuple[str, str, str]] = field(default_factory=list)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take what comes until left."""
        told = self.told

        class Taking(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for alert in sent["alerts"]:
                    labels = alert["labels"]
                    told.append((labels["alertname"], labels.get("RayClusterName", ""), alert["status"]))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Taking)
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus that can be asked. `targets`: a file in which more of them may be listed."""

    url: str
    targets: Path
    receiver: Receiver

    def get(self, path: str, **query: str) -> Any:
        """Return the data of an answer."""
        with urlopen(f"{self.url}/api/v1/{path}?{urlencode(query)}", timeout=30) as answer:
            told = json.loads(answer.read())
        assert told["status"] == "success", told
        return told["data"]

    def values(self, query: str) -> list[tuple[dict[str, str], float]]:
        """Return the series that a query has now, with their values."""
        return [(each["metric"], float(each["value"][1])) for each in self.get("query", query=query)["result"]]

    def firing(self, cluster: str) -> set[str]:
        """Return the alerts that fire for a cluster."""
        alerts = self.get("alerts")["alerts"]
        return {
            alert["labels"]["alertname"]
            for alert in alerts
            if alert["state"] == "firing" and alert["labels"].get("RayClusterName") == cluster
        }

    def scrape(self, *addresses: str) -> None:
        """Have these scraped, and no others beside Ray's list."""
        draft = self.targets.with_suffix(".new")
        draft.write_text(json.dumps([{"targets": list(addresses)}]))
        draft.replace(self.targets)


@contextmanager
def watching(folder: Path, scrape_config: str, rules: str) -> Iterator[Prometheus]:
    """Run both servers with a scrape configuration and rules; what they alert of reaches the receiver."""
    port, alerts_port, receiver_port = free_ports(3)
    targets = folder / "targets.json"
    targets.write_text("[]")
    (folder / "rules.yml").write_text(rules)
    config = folder / "prometheus.yml"
    config.write_text(
        f"{scrape_config}"
        f"  - job_name: more\n    file_sd_configs: [{{files: [{json.dumps(str(targets))}], refresh_interval: 1s}}]\n"
        f"rule_files: [{json.dumps(str(folder / 'rules.yml'))}]\n"
        f'alerting: {{alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{alerts_port}"]}}]}}]}}\n'
    )
    telling = (DEPLOY / "prometheus" / "alertmanager.yml").read_text()
    telling = telling.replace("5001", str(receiver_port)).replace("group_wait: 10s", "group_wait: 1s")
    (folder / "alertmanager.yml").write_text(telling.replace("group_interval: 1m", "group_interval: 1s"))
    url, receiver = f"http://127.0.0.1:{port}", Receiver(receiver_port)
    prometheus = [
        "prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    alertmanager = [
        "prometheus-alertmanager", f"--config.file={folder / 'alertmanager.yml'}", "--cluster.listen-address=",
        f"--storage.path={folder / 'silences'}", f"--web.listen-address=127.0.0.1:{alerts_port}",
    ]  # fmt: skip
    alerts_ready = f"http://127.0.0.1:{alerts_port}/-/ready"
    with (
        receiver.listening(),
        running(alertmanager, alerts_ready, folder / "alertmanager.log"),
        running(prometheus, f"{url}/-/ready", folder / "prometheus.log"),
    ):
        yield Prometheus(url, targets, receiver)
