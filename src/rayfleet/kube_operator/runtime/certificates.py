"""Keys and certificates, made where chance is allowed. What they are for is decided in `raycluster.certificates`."""

from __future__ import annotations

import base64
import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rayfleet.kube_operator.reconciling import Certify
from rayfleet.wire.kube.objects import Object

KEY, CERTIFICATE, AUTHORITY, ADDRESSES = "tls.key", "tls.crt", "ca.crt", "addresses"
_SKEW: Final = timedelta(minutes=10)
"""Clocks of machines differ: a certificate holds from a little earlier on."""


def certified(action: Certify, now: float) -> dict[str, str]:
    """Return the data of the Secret, as Kubernetes has it in base64. `now`: seconds since the epoch.

    Beside key and certificates it holds the addresses, one on each line, for programs that read no certificates.

    Raises:
        ValueError: what a Secret holds is no key or no certificate.
    """
    key = _key(action.before)
    signed = _signed(action, key, now)
    authority = signed if action.issuer is None else _entry(action.issuer, CERTIFICATE)
    entries = {
        KEY: _pem(key),
        CERTIFICATE: signed,
        AUTHORITY: authority,
        ADDRESSES: "".join(f"{address}\n" for address in action.addresses).encode(),
    }
    return {name: base64.b64encode(value).decode() for name, value in entries.items()}


def _key(secret: Object | None) -> ec.EllipticCurvePrivateKey:
    """Return the key in a Secret, else a new one. An authority that keeps its key is trusted by who knows it."""
    if secret is None or KEY not in (secret.get("data") or {}):
        return ec.generate_private_key(ec.SECP256R1())
    name = secret["metadata"]["name"]
    try:
        key = load_pem_private_key(_entry(secret, KEY), None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"the key in Secret {name} cannot be read ({error}); delete the Secret") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"the key in Secret {name} is not one of ours; delete the Secret")  # noqa: TRY004 - what is wrong is a value
    return key


def _signed(action: Certify, key: ec.EllipticCurvePrivateKey, now: float) -> bytes:

    subject = _name(action.subject)
    begins = datetime.fromtimestamp(now, UTC) - _SKEW
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(datetime.fromtimestamp(action.until, UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if action.issuer is None:
        signer, issuer, builder = key, subject, _vouching(builder)
    else:
        signer = _key(action.issuer)
        issuer = x509.load_pem_x509_certificate(_entry(action.issuer, CERTIFICATE)).subject
        builder = _serving(builder, action)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = builder.issuer_name(issuer).add_extension(identifier, critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM)


def _vouching(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:

    usage = _usage(key_cert_sign=True, crl_sign=True)
    return builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).add_extension(
        usage, critical=True
    )


def _serving(builder: x509.CertificateBuilder, action: Certify) -> x509.CertificateBuilder:
    """Add what Ray's servers and clients, which are the same programs, look at."""
    called: list[x509.GeneralName] = [x509.DNSName(name) for name in action.names]
    called += [x509.IPAddress(ipaddress.ip_address(address)) for address in action.addresses]
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(purposes, critical=False)
        .add_extension(x509.SubjectAlternativeName(called), critical=False)
    )


def _usage(**given: bool) -> x509.KeyUsage:

    uses = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{use: given.get(use, False) for use in uses})


def _name(text: str) -> x509.Name:

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _entry(secret: Object, name: str) -> bytes:
    data: Any = (secret.get("data") or {}).get(name)
    if not data:
        raise ValueError(f"Secret {secret['metadata']['name']} has no {name}; delete it, and it is made anew")
    return base64.b64decode(data)
