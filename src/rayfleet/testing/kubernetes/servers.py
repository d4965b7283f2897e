"""The command lines of the control plane's servers, as functions of where they run and what a test wants of them."""

from dataclasses import dataclass, field
from pathlib import Path

from rayfleet.testing.kubernetes.certificates import Certificates

SERVICE_CIDR = "10.96.0.0/16"
SERVER_HOSTS = (
    "127.0.0.1",
    "localhost",
    "10.96.0.1",  # the service `kubernetes`: the first of SERVICE_CIDR
    "10.244.0.1",  # where pods that are processes find it
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True, slots=True)
class PlaneOptions:
    """What tests vary.

    `node_grace_s`: a node without heartbeat counts as lost after that; `toleration_s`: pods stay on a lost node for
    that long; `pod_hosts`: more names and addresses that pods reach the API server by; `extra`: arguments, by server.
    """

    node_grace_s: int = 40
    toleration_s: int = 300
    pod_hosts: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layout:
    """Files and loopback ports of one plane."""

    programs: Path
    folder: Path
    etcd_port: int
    etcd_peer_port: int
    api_port: int

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, for clients and for the other servers."""
        return self.folder / "kubeconfig"

    @property
    def tokens(self) -> Path:
        """The API server's table of tokens."""
        return self.folder / "tokens.csv"


def etcd(layout: Layout) -> list[str]:
    """Return the command line of etcd; it need not outlive a power cut."""
    client, peer = (f"http://127.0.0.1:{port}" for port in (layout.etcd_port, layout.etcd_peer_port))
    return [
        str(layout.programs / "etcd"),
        f"--data-dir={layout.folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--logger=zap",
        "--log-level=warn",
        "--quota-backend-bytes=8589934592",
    ]


def api_server(layout: Layout, certificates: Certificates, options: PlaneOptions) -> list[str]:
    """Return the command line of the API server: RBAC, and the admission plug-ins that are on by default."""
    return [
        str(layout.programs / "kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{layout.etcd_port}",
        "--bind-address=127.0.0.1",
        f"--secure-port={layout.api_port}",
        "--endpoint-reconciler-type=none",  # Endpoints refuse loopback addresses
        f"--tls-cert-file={certificates.server}",
        f"--tls-private-key-file={certificates.server_key}",
        f"--client-ca-file={certificates.ca}",
        f"--token-auth-file={layout.tokens}",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-signing-key-file={certificates.token_key}",
        f"--service-account-key-file={certificates.token_key}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-client-certificate={certificates.client}",
        f"--kubelet-client-key={certificates.client_key}",
        f"--default-not-ready-toleration-seconds={options.toleration_s}",
        f"--default-unreachable-toleration-seconds={options.toleration_s}",
        "--profiling=false",
        *options.extra.get("kube-apiserver", ()),
    ]


def controller_manager(layout: Layout, certificates: Certificates, options: PlaneOptions) -> list[str]:
    """Return the command line of the controller manager: every controller that needs no cloud."""
    return [
        str(layout.programs / "kube-controller-manager"),
        f"--kubeconfig={layout.kubeconfig}",
        "--leader-elect=false",
        "--port=0",
        "--secure-port=0",
        f"--service-account-private-key-file={certificates.token_key}",
        f"--root-ca-file={certificates.ca}",
        f"--node-monitor-grace-period={options.node_grace_s}s",
        f"--node-monitor-period={max(1, options.node_grace_s // 8)}s",
        "--controllers=*,-cloud-node-lifecycle,-nodeipam,-route,-service,-attachdetach,-persistentvolume-expander",
        "--concurrent-gc-syncs=20",
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
        "--profiling=false",
        *options.extra.get("kube-controller-manager", ()),
    ]


def scheduler(layout: Layout, options: PlaneOptions) -> list[str]:
    """Return the command line of the scheduler."""
    return [
        str(layout.programs / "kube-scheduler"),
        f"--kubeconfig={layout.kubeconfig}",
        "--leader-elect=false",
        "--port=0",
        "--secure-port=0",
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
        "--profiling=false",
        *options.extra.get("kube-scheduler", ()),
    ]
