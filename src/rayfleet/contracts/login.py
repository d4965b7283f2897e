"""Who logs in to machines, and how: a value for providers that prepare them and for those who come over SSH."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Login:
    """An SSH login. `private_key` is an absolute path, `public_key` the key itself as a line of authorized_keys.

    `private_key` "": the user's own keys, agent and ssh_config decide. `proxy_command`: its input and output reach the
    host, `%h` and `%p` stand for host and port; `proxy_with_id`: for `%h` it is given the machine's id instead of its
    address. `use_internal`: machines are reached at their internal address, from elsewhere too.
    """

    user: str = ""
    private_key: str = ""
    public_key: str = ""
    port: int = 22
    proxy_command: str = ""
    proxy_with_id: bool = False
    use_internal: bool = False
