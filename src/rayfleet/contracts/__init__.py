"""The edges of the system as Protocols, each with its errors in the same file."""

from rayfleet.contracts.clock import Clock
from rayfleet.contracts.drivers import Attachment, Drivers
from rayfleet.contracts.engine import (
    DrainRefused,
    Engine,
    EngineDown,
    EngineError,
    EngineRefuses,
    EngineView,
    Node,
    Resizable,
    StartScript,
    fingerprint,
)
from rayfleet.contracts.jobs import Job, Jobs, JobStatus, JobsUnavailable
from rayfleet.contracts.ledger import Ledger, LedgerError, LedgerUnavailable, Record
from rayfleet.contracts.provider import (
    Denied,
    Flaky,
    Gone,
    KeepsStandby,
    LaunchRequest,
    Machine,
    MachineState,
    OutOfStock,
    Provider,
    ProviderContext,
    ProviderError,
    ProviderKind,
    QuotaReached,
    StandbyProvider,
)
from rayfleet.contracts.sink import Sink

__all__ = [
    "Attachment",
    "Clock",
    "Denied",
    "DrainRefused",
    "Drivers",
    "Engine",
    "EngineDown",
    "EngineError",
    "EngineRefuses",
    "EngineView",
    "Flaky",
    "Gone",
    "Job",
    "JobStatus",
    "Jobs",
    "JobsUnavailable",
    "KeepsStandby",
    "LaunchRequest",
    "Ledger",
    "LedgerError",
    "LedgerUnavailable",
    "Machine",
    "MachineState",
    "Node",
    "OutOfStock",
    "Provider",
    "ProviderContext",
    "ProviderError",
    "ProviderKind",
    "QuotaReached",
    "Record",
    "Resizable",
    "Sink",
    "StandbyProvider",
    "StartScript",
    "fingerprint",
]
