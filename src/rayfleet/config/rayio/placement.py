"""Where the autoscaler of a cluster can work: beside its head, or in the operator, which cannot do everything."""

from __future__ import annotations

from collections.abc import Mapping

from rayfleet.config.rayio.finding import Finding, Findings, Manifest
from rayfleet.config.rayio.growth import ANNOTATION as GROWTH_ANNOTATION
from rayfleet.config.rayio.names import AUTOSCALER_ANNOTATION, AUTOSCALER_PLACES
from rayfleet.config.rayio.raycluster import RayClusterSpec


def brings_autoscaler(spec: RayClusterSpec) -> bool:
    """Say whether another autoscaler than ours is to run beside the head."""
    return spec.autoscaler_options is not None and bool(spec.autoscaler_options.command)


def only_beside_the_head(spec: RayClusterSpec, annotations: Mapping[str, str]) -> tuple[str, ...]:
    """Return what a cluster asks for that only an autoscaler beside its head can do."""
    auth = spec.auth_options
    asked = {
        "tlsOptions": spec.tls_options is not None and spec.tls_options.enabled,
        "idleTerminationOptions": spec.idle_termination_options is not None,
        "authOptions.enableK8sTokenAuth": auth is not None and auth.enable_k8s_token_auth,
        GROWTH_ANNOTATION: GROWTH_ANNOTATION in annotations,
    }
    return tuple(name for name, is_asked in asked.items() if is_asked)


def placement_findings(of: Manifest) -> Findings:
    """Refuse what the annotation asks for and cannot be had; the operator's own setting gives way without a word."""
    path, asked = ("metadata", "annotations", AUTOSCALER_ANNOTATION), of.annotations.get(AUTOSCALER_ANNOTATION)
    told = f"annotation {AUTOSCALER_ANNOTATION}: {asked}"
    if asked and asked not in AUTOSCALER_PLACES:
        yield Finding(path, f"{told} is not known; use {' or '.join(AUTOSCALER_PLACES)}")
    if asked != "central":
        return
    if brings_autoscaler(of.spec):
        text = f"{told} leaves no place for the autoscaler of autoscalerOptions.command; remove one of them"
        yield Finding(path, text)
    for what in only_beside_the_head(of.spec, of.annotations):
        yield Finding(path, f"{told} does not work with {what}; remove one of them")
