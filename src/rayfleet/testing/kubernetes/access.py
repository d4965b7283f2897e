"""How a client reaches an API server, and the kubeconfig that says so to others."""

import json
import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Access:
    """An address, whom it proves itself by (`ca`, a PEM file), and the bearer token of one user."""

    url: str
    ca: Path
    token: str

    def tls(self) -> ssl.SSLContext:
        """Make the context that trusts this authority and no other."""
        return ssl.create_default_context(cafile=str(self.ca))


def kubeconfig(access: Access, *, name: str = "rayfleet-test") -> str:
    """Return a kubeconfig with one context, in JSON, which is YAML as well."""
    entry = {"cluster": name, "user": name, "namespace": "default"}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "contexts": [{"name": name, "context": entry}],
            "clusters": [{"name": name, "cluster": {"server": access.url, "certificate-authority": str(access.ca)}}],
            "users": [{"name": name, "user": {"token": access.token}}],
        },
        indent=2,
    )
