"""From an exception to a block that says what to do, and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from rayfleet.cli.terminal import EXIT_INTERRUPTED, EXIT_NOT_OK, EXIT_USAGE, fail
from rayfleet.launcher.errors import ControllerDied, LauncherError, OutOfReach, TookTooLong

TRACEBACK_VARIABLE = "RAYFLEET_TRACEBACK"

_NOT_OK = (ControllerDied, OutOfReach, TookTooLong)


@contextmanager
def explained() -> Iterator[None]:
    """Turn whatever is raised inside into one readable block; with RAYFLEET_TRACEBACK=1 a traceback goes before it."""
    try:
        yield
    except KeyboardInterrupt:
        fail("interrupted", code=EXIT_INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain once more while it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(EXIT_NOT_OK) from None
    except LauncherError as error:
        fail(str(error), error.hint, EXIT_NOT_OK if isinstance(error, _NOT_OK) else EXIT_USAGE)
    except (typer.Exit, typer.TyperException, typer.Abort):
        raise
    except Exception as error:  # noqa: BLE001 - the last guard: nothing is swallowed, it is told in the form users can read
        _show_traceback()
        message, hint, code = _described(error)
        fail(message, hint, code)


def _described(error: Exception) -> tuple[str, str, int]:
    """Return message, hint and exit code of an error that comes from a room below the launcher."""
    from rayfleet.config import ConfigInvalid
    from rayfleet.contracts import EngineError, JobsUnavailable, LedgerError, ProviderError, StateUnavailable
    from rayfleet.reports.history import HistoryUnavailable
    from rayfleet.wire.kube.errors import Forbidden, KubeError, Unavailable
    from rayfleet.wire.ssh.session import SshError

    look = "rayfleet status and rayfleet logs say more, rayfleet doctor looks at the machine"
    match error:
        case ConfigInvalid():
            return str(error), "", EXIT_USAGE
        case Unavailable():
            return f"the Kubernetes API server: {error}", "look whether it is reachable: kubectl get nodes", EXIT_NOT_OK
        case KubeError():
            hint = "kubectl auth can-i --list says what is allowed" if isinstance(error, Forbidden) else ""
            return f"the Kubernetes API server: {error}", hint, EXIT_USAGE
        case StateUnavailable() | EngineError() | JobsUnavailable():
            refused = isinstance(error, StateUnavailable) and error.refused
            hint = error.hint if isinstance(error, StateUnavailable) else look
            return (
                str(error) if refused else f"Ray does not answer: {error}",
                hint,
                EXIT_USAGE if refused else EXIT_NOT_OK,
            )
        case LedgerError() | ProviderError() | HistoryUnavailable() | OSError() | SshError():
            is_ssh = isinstance(error, SshError)
            hint = "try ssh yourself, as the file's auth section says: does it let you in?" if is_ssh else look
            return str(error), hint, EXIT_NOT_OK
        case _:
            hint = f"this should not happen; {TRACEBACK_VARIABLE}=1 shows where, for a bug report"
            return f"{type(error).__name__}: {error}", hint, EXIT_NOT_OK


def _show_traceback() -> None:
    if os.environ.get(TRACEBACK_VARIABLE):
        import traceback

        traceback.print_exc()
