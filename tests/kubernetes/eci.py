"""What stands in for Alibaba Cloud's virtual node: an admission webhook and a node that only it sends pods to.

On ACK an add-on of the cloud sends pods with the label alibabacloud.com/eci: "true" to a virtual node, where each has
an instance of its own (ECI). Here that node is one more name of this machine.
"""

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from rayfleet.testing.kubernetes.certificates import make_own_certificate
from rayfleet.testing.kubernetes.control_plane import ControlPlane
from rayfleet.testing.kubernetes.nodes import NodeSpec

LABEL = "alibabacloud.com/eci"
NAME = "virtual-kubelet-cn-hangzhou-k"
TAINT = {"key": "virtual-kubelet.io/provider", "value": "alibabacloud", "effect": "NoSchedule"}
VIRTUAL_NODE = NodeSpec(NAME, cpu="1000", memory="4000Gi", labels={"type": "virtual-kubelet"}, taints=(TAINT,))


@contextmanager
def eci(plane: ControlPlane, folder: Path) -> Iterator[None]:
    """Send pods with the label to the virtual node inside the block."""
    certificate, key = make_own_certificate(folder, "127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    answering = threading.Thread(target=server.serve_forever, daemon=True)
    answering.start()
    try:
        plane.kubectl("apply", "-f", "-", stdin=json.dumps(_registration(server.server_port, certificate)))
        yield
    finally:
        plane.kubectl("delete", "mutatingwebhookconfiguration", "eci", "--ignore-not-found")
        server.shutdown()
        answering.join()
        server.server_close()


class Webhook(BaseHTTPRequestHandler):
    """Gives every pod that it is asked about the toleration and the selector of the virtual node."""

    def do_POST(self) -> None:
        """Answer one AdmissionReview."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        response = {"uid": asked["request"]["uid"], "allowed": True, "patchType": "JSONPatch"}
        response["patch"] = base64.b64encode(json.dumps(_patch(asked["request"]["object"]["spec"])).encode()).decode()
        body = json.dumps({"apiVersion": asked["apiVersion"], "kind": "AdmissionReview", "response": response}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class' name
        """Say nothing."""


def _patch(spec: Any) -> Any:
    tolerations = [*spec.get("tolerations", ()), {"key": TAINT["key"], "operator": "Exists"}]
    return [
        {"op": "add", "path": "/spec/tolerations", "value": tolerations},
        {"op": "add", "path": "/spec/nodeSelector", "value": VIRTUAL_NODE.labels},
    ]


def _registration(port: int, certificate: Path) -> Any:
    hook = {
        "name": "eci.rayfleet.test",
        "clientConfig": {
            "url": f"https://127.0.0.1:{port}/",
            "caBundle": base64.b64encode(certificate.read_bytes()).decode(),
        },
        "objectSelector": {"matchLabels": {LABEL: "true"}},
        "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration"}
    return {**kind, "metadata": {"name": "eci"}, "webhooks": [hook]}
