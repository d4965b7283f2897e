"""What the servers prove themselves with: an authority, the API server's certificate, the key that signs tokens.

Made anew for every plane by the program openssl, and deleted with it.
"""

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

DAYS = "30"
EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")  # a key in no time, unlike RSA


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths of PEM files."""

    ca: Path
    ca_key: Path
    server: Path
    server_key: Path
    token_key: Path
    client: Path
    client_key: Path


def make_certificates(folder: Path, hosts: Iterable[str]) -> Certificates:
    """Write them into the folder; the server's is valid for these names and addresses."""
    names = ("ca.crt", "ca.key", "server.crt", "server.key", "token.key", "client.crt", "client.key")
    made = Certificates(*(folder / name for name in names))
    authority = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature")
    _request(made.ca, made.ca_key, "rayfleet-test-ca", authority)
    server = (
        "basicConstraints=critical,CA:FALSE",
        "keyUsage=critical,digitalSignature",
        "extendedKeyUsage=serverAuth",
        f"subjectAltName={','.join(_alternative(host) for host in hosts)}",
    )
    signed = ("-CA", str(made.ca), "-CAkey", str(made.ca_key))
    _request(made.server, made.server_key, "kube-apiserver", server, *signed)
    # By this one kubelets know that it is the API server that asks for logs, or to run something.
    _request(made.client, made.client_key, "kube-apiserver", ("extendedKeyUsage=clientAuth",), *signed)
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(made.token_key))
    return made


def make_own_certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """Write a certificate that nobody has signed, and its key: the API server does not check those of kubelets."""
    certificate, key = folder / "kubelet.crt", folder / "kubelet.key"
    _request(certificate, key, "kubelet", (f"subjectAltName={_alternative(host)}",))
    return certificate, key


def _request(certificate: Path, key: Path, name: str, extensions: Iterable[str], *signed_by: str) -> None:
    added = [word for extension in extensions for word in ("-addext", extension)]
    files = ("-keyout", str(key), "-out", str(certificate))
    _openssl("req", "-x509", *EC, "-days", DAYS, "-subj", f"/CN={name}", *files, *added, *signed_by)


def _alternative(host: str) -> str:
    try:
        return f"IP:{ip_address(host)}"
    except ValueError:
        return f"DNS:{host}"


def _openssl(*argv: str) -> None:
    subprocess.run(["openssl", *argv], check=True, capture_output=True)
