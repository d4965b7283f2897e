"""One Ray node in the foreground: starts it, watches it, ends all of it.

Run as a file with `python -I -S`, on the machine itself, so it uses the standard library only and imports nothing else
of rayfleet: Ray's own Python takes a second to import, which is most of what a node's start can cost. The raylet is
executed directly, with the command line that Ray composed once (`head.json`, written by `head_boot`). For the same
reason paths are text here: pathlib takes as long to import as all the rest.

    node_main.py worker SPEC      fill in the command line, start the raylet, watch it
    node_main.py watch SPEC       watch the processes of a head that `head_boot` has started

Makes the file `started` in the machine's directory when the node joins. Ends on SIGTERM (quickly, with every
descendant), with 0 when the raylet left by itself after a drain, else with 1 and the reason as its last lines.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import time
from types import FrameType
from typing import Any, Final, NoReturn

RAYLET: Final = "raylet"
GCS: Final = "gcs_server"
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_SOCKET_PATH_MAX: Final = 107  # sun_path of AF_UNIX, without its final zero
LONGEST_SOCKET: Final = "sockets/dash_TaskEventsHead"  # a part of the head's dashboard; without it, all of that ends
# Neither those that the kernel hands out (32768-60999), nor those of Ray's servers for its clients (23000-23999), nor
# those from which `settings` takes the ports of clusters.
_AGENT_PORTS: Final = (*range(20000, 23000), *range(26000, 32000))
_OWN_ADDRESSES: Final = "127.77"  # of Linux's loopback network, all of which reaches this machine
_AGENT_NICENESS: Final = "5"
SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 - no temporary file: where Linux keeps shared memory
_SHORT_DIR: Final = "/tmp/rf-"  # noqa: S108 - followed by 40 random bits, made exclusively, for us alone
_FAREWELL_S: Final = 3.0
_GRACE_S: Final = 1.0  # a raylet that can leave does so within some 20 ms
_END_S: Final = 20.0
_DRAINED: Final = "AUTOSCALER_DRAIN_"  # how the raylet's log names the reason for leaving
_LOG_TAIL_BYTES: Final = 8192
_RESTARTS_MAX: Final = 3
_RESTARTS_WINDOW_S: Final = 60.0


class Terminated(BaseException):
    """SIGTERM or SIGINT has come."""


# ---- starting a worker node ------------------------------------------------------------------------------------------


def start_worker(spec: dict[str, Any]) -> Watch:
    """Start the raylet and return who watches it."""
    head = json.loads(read_text(spec["head_path"]))
    node_id = os.urandom(28).hex()
    session = make_session_dir(os.environ["RAYFLEET_MACHINE_DIR"], head)
    values = {
        "@NODE_ID@": node_id,
        "@NODE@": node_id[:12],
        "@IP@": own_address() if spec["own_addresses"] else address_towards(spec["gcs_address"]),
        "@TEMP_DIR@": os.path.dirname(session),
        **{f"@PORT{number}@": str(port) for number, port in enumerate(reserve_ports(4))},
    }
    argv = [fill(part, values) for part in head["raylet_argv"]]
    set_flags(argv, node_flags(spec, values["@IP@"], session))
    pid = spawn(argv, node_environment(spec, dict(os.environ)))
    log = os.path.join(session, "logs", f"{RAYLET}-{values['@NODE@']}")
    made_when_it_joins = os.path.join(session, "sockets", RAYLET)
    return Watch({pid: {"kind": RAYLET}}, log=log, farewell=[*spec["farewell"], node_id], awaited=made_when_it_joins)


def node_flags(spec: dict[str, Any], address: str, session: str) -> dict[str, str]:
    """Return the raylet flags that differ from node to node: what it offers, and where its objects live."""
    resources = dict(spec["resources"])
    store_bytes = int(resources.setdefault("object_store_memory", spec["object_store_bytes"]))
    resources[f"node:{address}"] = 1.0
    cpus = int(resources.get("CPU", 0))
    return {
        "--static_resource_list": ",".join(f"{name},{amount}" for name, amount in resources.items()),
        "--labels": json.dumps(spec["labels"]),
        "--maximum_startup_concurrency": str(max(1, min(os.cpu_count() or 1, cpus))),
        "--num_prestart_python_workers": str(cpus),
        "--object_store_memory": str(store_bytes),
        "--plasma_directory": SHARED_MEMORY if room_in(SHARED_MEMORY) > store_bytes else session,
        "--fallback_directory": session,
        "--node-name": os.environ["RAYFLEET_MACHINE_ID"],
    }


def node_environment(spec: dict[str, Any], own: dict[str, str]) -> dict[str, str]:
    """Return the node's environment: its identity towards the autoscaler, and our Python first on the path."""
    return own | {
        "RAY_CLOUD_INSTANCE_ID": own["RAYFLEET_MACHINE_ID"],
        "RAY_NODE_TYPE_NAME": spec["pool"],
        "PATH": os.pathsep.join(filter(None, [os.path.dirname(spec["python"]), own.get("PATH", os.defpath)])),
    }


def make_session_dir(machine_dir: str, head: dict[str, Any]) -> str:
    """Make the node's session directory and return its path.

    A node has its own, since two raylets in one would fight for socket names. On the head's own machine the logs are
    the head's: its log monitor shows them to drivers.
    """
    name = head["session_name"]
    session = os.path.join(socket_safe(machine_dir, name), name)
    for part in ("sockets", "runtime_resources"):
        os.makedirs(os.path.join(session, part), mode=0o700, exist_ok=True)
    logs = os.path.join(session, "logs")
    if os.path.isdir(head["logs_dir"]):
        with contextlib.suppress(FileExistsError):
            os.symlink(head["logs_dir"], logs)
    else:
        os.makedirs(os.path.join(logs, "old"), exist_ok=True)
    return session


def socket_safe(machine_dir: str, session_name: str) -> str:
    """Return a directory under which sockets can be made: the machine's own, or a short one in its stead.

    The kernel bounds the path of a socket, and Ray's nested command lines do not survive blanks.
    """
    longest = os.path.join(machine_dir, session_name, LONGEST_SOCKET)
    return machine_dir if len(longest) <= _SOCKET_PATH_MAX and len(longest.split()) == 1 else short_dir(machine_dir)


def short_dir(machine_dir: str) -> str:
    """Make a short directory of our own for this machine and leave a link to it in the machine's own."""
    link = os.path.join(machine_dir, "ray")
    with contextlib.suppress(OSError):
        return os.readlink(link)
    path = f"{_SHORT_DIR}{os.urandom(5).hex()}"
    os.mkdir(path, 0o700)
    os.symlink(path, link)
    return path


def remove_short_dir(machine_dir: str) -> None:
    """Remove what `short_dir` made, if it made anything."""
    import shutil  # a node that starts has no use for it

    with contextlib.suppress(OSError):
        path = os.readlink(os.path.join(machine_dir, "ray"))
        if path.startswith(_SHORT_DIR):
            shutil.rmtree(path, ignore_errors=True)


def remove_note(path: str, address: str) -> None:
    """Remove Ray's note of the newest cluster if it is ours, so that nobody's `ray.init()` looks for a dead head."""
    with contextlib.suppress(OSError):
        if read_text(path).strip() == address:
            os.remove(path)


_reservations: list[socket.socket] = []


def reserve(name: str) -> bool:
    """Make a name ours on this machine for as long as this process lives; False when another process has it.

    An abstract socket can be bound by one process at a time and vanishes with it.
    """
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        lock.bind(f"\0rayfleet-{name}")
    except OSError:
        lock.close()
        return False
    _reservations.append(lock)
    return True


def own_address() -> str:
    """Return a loopback address that no other node has, so that each is told apart by its address as on real machines.

    Ray's older drivers also need it: they connect to any raylet that has the address of their machine.
    """
    while True:
        address = f"{_OWN_ADDRESSES}.{os.urandom(1)[0]}.{1 + os.urandom(1)[0] % 254}"
        if reserve(address):
            return address


def reserve_ports(count: int) -> list[int]:
    """Return ports for the node's agents: free now, and no other node of this machine will choose them while we live.

    With fixed ports a raylet does not wait for its agents, which saves two seconds. The agents bind them a moment
    later, when another node may be choosing too.
    """
    found: list[int] = []
    while len(found) < count:
        port = _AGENT_PORTS[int.from_bytes(os.urandom(4)) % len(_AGENT_PORTS)]
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            if reserve(f"port-{port}"):
                found.append(port)
    return found


def address_towards(gcs_address: str) -> str:
    """Return the address with which this machine reaches the head. A datagram socket sends nothing by connecting."""
    host, port = gcs_address.rsplit(":", 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, int(port)))
        return str(probe.getsockname()[0])


def set_flags(argv: list[str], flags: dict[str, str]) -> None:
    """Set `--name=value` flags in place, appending those that are not there; make the agents yield to user code."""
    for name, value in flags.items():
        places = [number for number, part in enumerate(argv) if part.startswith(f"{name}=")]
        if places:
            argv[places[0]] = f"{name}={value}"
        else:
            argv.append(f"{name}={value}")
    nice = "/usr/bin/nice"
    if os.access(nice, os.X_OK):
        for number, part in enumerate(argv):
            flag, _, command = part.partition("=")
            if flag.endswith("_agent_command"):
                argv[number] = f"{flag}={nice} -n {_AGENT_NICENESS} {command}"


def fill(text: str, values: dict[str, str]) -> str:
    """Replace every placeholder."""
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def room_in(directory: str) -> int:
    """Return the free bytes of a file system, 0 when it is not there."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


# ---- watching a node -------------------------------------------------------------------------------------------------


class Watch:
    """The processes of one node. Those of a head except the raylet are started again when they die."""

    def __init__(
        self,
        children: dict[int, dict[str, Any]],
        *,
        log: str,
        farewell: list[str],
        awaited: str = "",
        persistent: bool = False,
    ) -> None:
        """Take process id -> {kind, argv, env} and the raylet's log file without its ending.

        `farewell`: the command that tells the GCS of a raylet's death. `awaited`: the socket that a raylet makes when
        it registers with the GCS, "" when it has. `persistent`: the GCS may die and come back.
        """
        self._children = children
        self._log = log
        self._farewell = farewell
        self._awaited = awaited
        self._persistent = persistent
        self._restarts: dict[str, list[float]] = {}

    def run(self) -> int:
        """Tell the provider when the node has joined, wait until it has ended by itself and return the exit code."""
        if self._awaited:
            self._say_started()
        while True:
            pid, status = os.waitpid(-1, 0)
            child = self._children.pop(pid, None)
            if child is None:
                continue  # a stray descendant, handed to us because we asked for those
            code = os.waitstatus_to_exitcode(status)
            if child["kind"] == RAYLET:
                return self._end_of_raylet(code)
            if not self._may_restart(child["kind"]):
                say(f"{child['kind']} ended with {code}; the node ends")
                return 1
            say(f"{child['kind']} ended with {code}; started again")
            self._children[spawn(child["argv"], child["env"])] = child

    def end(self) -> None:
        """End all of the node, and tell the GCS of a raylet that could not say good-bye itself.

        One that is asked to end while it registers never ends: it takes its leave before it has joined.
        """
        if not end_descendants():
            self._say_farewell()

    def _say_started(self) -> None:
        while not os.path.exists(self._awaited):
            time.sleep(0.005)
            if ended(*self._children):
                return  # `run` will say so
        mark_started()

    def _end_of_raylet(self, code: int) -> int:
        """Return 0 after a drain. A raylet ends with 0 also when an agent of its has died, so its log has to tell."""
        last = last_lines(f"{self._log}.out")
        if code == 0 and any(_DRAINED in line for line in last):
            return 0
        why = [line for line in last if "reason" in line or " E " in line or " C " in line]
        for line in (*last_lines(f"{self._log}.err")[-5:], *why[-3:]):
            say(line)
        say(f"raylet ended with {code} without having been drained")
        if code:
            end_descendants()  # first: they would fill every driver's screen with the raylet's log
            self._say_farewell()
        return 1

    def _say_farewell(self) -> None:
        """Tell the GCS, which would notice by itself only after 14 s, so that its work starts elsewhere at once."""
        if self._farewell:
            pid = spawn(self._farewell, dict(os.environ))
            deadline = time.monotonic() + _FAREWELL_S
            while not ended(pid) and time.monotonic() < deadline:
                time.sleep(0.01)

    def _may_restart(self, kind: str) -> bool:
        if kind == GCS and not self._persistent:
            return False
        now = time.monotonic()
        recent = [at for at in self._restarts.get(kind, []) if now - at < _RESTARTS_WINDOW_S]
        self._restarts[kind] = [*recent, now]
        return len(recent) < _RESTARTS_MAX


def children_of_head(pids: list[int]) -> dict[int, dict[str, Any]]:
    """Return what must be known of a head's processes to start them again, by process id."""
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            argv = read_text(f"/proc/{pid}/cmdline").rstrip("\0").split("\0")
            entries = (entry.partition("=") for entry in read_text(f"/proc/{pid}/environ").split("\0"))
            pairs = ((name, value) for name, _, value in entries if name)
            found[pid] = {"kind": kind_of(argv), "argv": argv, "env": dict(pairs)}
    return found


def kind_of(argv: list[str]) -> str:
    """Name a process of a head by its command line: raylet, gcs_server, or the Python file that it runs."""
    names = [os.path.basename(part) for part in argv[:4]]
    if names[0] in (RAYLET, GCS):
        return names[0]
    return next((name for name in names if name.endswith(".py")), names[0])


def spawn(argv: list[str], env: dict[str, str]) -> int:
    """Start a program that ends when this process does, and return its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        os.execve(argv[0], argv, env)  # noqa: S606 - an argument list, so no shell is wanted
    finally:
        os._exit(127)


def end_descendants() -> bool:
    """End every descendant: politely (the raylet says good-bye to the GCS), then at once.

    Return whether no raylet had to be ended at once.
    """
    me = os.getpid()
    waiting = [pid for pid in descendants(me) if program(pid) == RAYLET]
    send(signal.SIGTERM, waiting)
    deadline = time.monotonic() + _GRACE_S
    while waiting and time.monotonic() < deadline:
        time.sleep(0.01)
        reap()
        waiting = [pid for pid in waiting if os.path.exists(f"/proc/{pid}")]
    # Orphans become our children, so nobody is left exactly when we have no child; a look at the processes alone can
    # miss one whose parent dies during the look.
    deadline = time.monotonic() + _END_S
    while reap():
        send(signal.SIGKILL, descendants(me))
        if time.monotonic() > deadline:
            say(f"these processes do not end: {descendants(me)}")
            break
        time.sleep(0.005)
    return not waiting


def send(signum: int, pids: list[int]) -> None:
    """Signal processes that may be gone already, or have another user's rights; the others get it all the same."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signum)


def descendants(root: int) -> list[int]:
    """Return the process ids below `root`; whoever lost their parent is ours too, since we adopt them."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    below = list(children.get(root, []))
    while below:
        pid = below.pop()
        found.append(pid)
        below.extend(children.get(pid, []))
    return found


def parents() -> dict[int, int]:
    """Return process id -> parent's id of all processes that have not ended."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = read_text(f"/proc/{name}/stat").rsplit(")", 1)[1].split()[:2]
                if state != "Z":
                    found[int(name)] = int(parent)
    return found


def ended(*pids: int) -> bool:
    """Say whether one of these children has ended, without taking leave of it."""
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return any(os.waitid(os.P_PID, pid, options) is not None for pid in pids)


def reap() -> bool:
    """Take leave of all children that have ended; say whether there are others."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def program(pid: int) -> str:
    """Return the short name of a process, "" when it is gone."""
    with contextlib.suppress(OSError):
        return read_text(f"/proc/{pid}/comm").strip()
    return ""


def adopt_orphans() -> None:
    """Become the parent of descendants that lose theirs, so that none can slip away; lead a session where possible."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    with contextlib.suppress(PermissionError):  # already leads a group, so whoever started us has seen to that
        os.setsid()


def prctl(option: int, value: int) -> None:
    """Call Linux's prctl; failure only costs tidiness after a kill -9 of this process."""
    ctypes.CDLL(None, use_errno=True).prctl(option, int(value), 0, 0, 0)


def read_text(path: str) -> str:
    """Read a whole small file."""
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def last_lines(path: str) -> list[str]:
    """Return the last lines of a log, [] when there is none."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _LOG_TAIL_BYTES))
        return [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    return []


def mark_started() -> None:
    """Make the file by which a provider sees that this machine's node has joined."""
    os.close(os.open(os.path.join(os.environ["RAYFLEET_MACHINE_DIR"], "started"), os.O_CREAT | os.O_WRONLY, 0o600))


def say(message: str) -> None:
    """Leave a line for whoever reads the machine's log."""
    print(f"rayfleet node: {message}", file=sys.stderr, flush=True)  # noqa: T201 - a program, whose output is the machine's log


def terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Leave whatever we wait for."""
    raise Terminated


def main(argv: list[str]) -> int:
    """Run one node until it ends; see the module's docstring for the arguments."""
    mode, spec = argv[1], json.loads(argv[2])
    adopt_orphans()
    watch = None
    try:
        signal.signal(signal.SIGTERM, terminate)
        signal.signal(signal.SIGINT, terminate)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
        if mode == "worker":
            watch = start_worker(spec)
        else:
            children = children_of_head(spec["pids"])
            watch = Watch(children, log=spec["log"], farewell=[], persistent=spec["persistent"])
        return watch.run()
    except Terminated:
        return 0
    except OSError as error:  # people read this as the reason why the machine failed
        say(f"the node cannot start: {error}")
        return 1
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))  # ending is not to be interrupted
        if watch:
            watch.end()
        else:
            end_descendants()
        remove_note(spec.get("note", ""), spec.get("address", ""))
        remove_short_dir(os.environ["RAYFLEET_MACHINE_DIR"])


if __name__ == "__main__":
    sys.exit(main(sys.argv))
