"""The files of a fresh host: what lies over this machine's own, in a folder that is the host's alone."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import rayfleet

PRIVATE: Final = ("/tmp", "/run", "/dev/shm")
"""Empty at each start of a host, and seen by no other."""

BOOT_ID: Final = "boot_id"


def home(name: str) -> str:
    """Return where root lives on the host of that name: this machine's own start-up files are none of its business."""
    return f"/home/{name}"


def variables(name: str) -> dict[str, str]:
    """Return the environment of every login: the Python that runs the tests comes first, with its programs."""
    ours = {"PATH": f"{sys.prefix}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    sources = [str(Path(part).resolve()) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    return ours | ({"PYTHONPATH": os.pathsep.join(sources)} if sources else {}) | {"HOME": home(name)}


def write(folder: Path, name: str, address: str, secrets: Mapping[str, str], hosts_file: str) -> None:
    """Write a fresh host's files. `secrets`: `host_key`, private, and `authorized_key`, a line."""
    exports = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in variables(name).items())
    texts = {
        "etc/passwd": _passwd(name),
        "etc/shadow": "root:*:19000:0:99999:7:::\nsshd:!:19000::::::\n",
        "etc/hostname": f"{name}\n",
        "etc/hosts": hosts_file,
        "etc/resolv.conf": "nameserver 127.0.0.1\n",
        "etc/ssh/sshd_config": _sshd(name, address),
        "etc/ssh/host_key": secrets["host_key"],
        f"{home(name)[1:]}/.bashrc": exports,
        f"{home(name)[1:]}/.bash_profile": ". ~/.bashrc\n",
        f"{home(name)[1:]}/.ssh/authorized_keys": f"{secrets['authorized_key']}\n",
    }
    for path, text in texts.items():
        file = folder / "upper" / path
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        file.write_text(text, encoding="utf-8")
        file.chmod(0o600 if "key" in path or "shadow" in path else 0o644)
    for each in ("root", "work"):
        (folder / each).mkdir(parents=True, exist_ok=True)


def _passwd(name: str) -> str:
    rows = (line.split(":") for line in Path("/etc/passwd").read_text(encoding="utf-8").splitlines())
    changed = ([*row[:5], home(name), "/bin/bash"] if row[0] == "root" else row for row in rows)
    return "".join(f"{':'.join(row)}\n" for row in changed)


def _sshd(name: str, address: str) -> str:
    environment = " ".join(f'"{key}={value}"' for key, value in variables(name).items() if key != "HOME")
    return "\n".join(
        (
            f"ListenAddress {address}:22",
            "HostKey /etc/ssh/host_key",
            "AuthorizedKeysFile .ssh/authorized_keys",
            "PermitRootLogin prohibit-password",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "UsePAM no",
            "UseDNS no",
            "StrictModes no",
            "PrintMotd no",
            "PidFile none",
            "MaxStartups 200",
            "Subsystem sftp internal-sftp",
            f"SetEnv {environment}",
            "",
        )
    )


def programs() -> tuple[Path, ...]:
    """Return the folders that the programs of these tests are in: the environment, its Python, rayfleet itself."""
    sources = [Path(part) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    every = (Path(sys.prefix), Path(sys.base_prefix), Path(rayfleet.__file__).parents[1], *sources)
    return tuple(dict.fromkeys(path.resolve() for path in every))


def hidden(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return those that lie below what each host has of its own, as a checkout in /tmp does."""
    return tuple(path for path in paths if any(path.is_relative_to(private) for private in PRIVATE))


def _seen_again(path: Path, root: str) -> str:
    there = f"{root}{shlex.quote(str(path))}"
    return f"mkdir -p {there} && mount --bind {shlex.quote(str(path))} {there}"


def boot_script(folder: Path, name: str, address: str) -> str:
    """Return the shell script that makes a host of its files and becomes its SSH server, and its first process."""
    words = shlex.join(f"{key}={value}" for key, value in variables(name).items())
    root, upper, work = (shlex.quote(str(folder / part)) for part in ("root", "upper", "work"))
    return "\n".join(
        (
            "set -e",
            f"mount -t overlay overlay -o lowerdir=/,upperdir={upper},workdir={work} {root}",
            f"mount -t proc proc {root}/proc",
            f"mount --bind {shlex.quote(str(folder / BOOT_ID))} {root}/proc/sys/kernel/random/boot_id",
            f"mount --rbind /sys {root}/sys",
            f"mount --rbind /dev {root}/dev",
            *(f"mount -t tmpfs -o mode=1777 tmpfs {root}{path}" for path in PRIVATE),
            *(_seen_again(path, root) for path in hidden(programs())),
            f"mkdir -m 755 {root}/run/sshd",
            f"hostname {shlex.quote(name)}",
            "ip link set lo up",
            f"ip addr add {address}/24 dev eth0 2>/dev/null || true",
            "ip link set eth0 up",
            f"exec env -i {words} chroot {root} /usr/sbin/sshd -D -e -f /etc/ssh/sshd_config",
        )
    )
