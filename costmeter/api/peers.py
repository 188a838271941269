"""Whether a connection over loopback comes from the user who runs the server: `serve --local` is open to nobody else.

A browser page from elsewhere reaches loopback too; so the host must be asked for by a loopback name, which a page that
has rebound its own name to 127.0.0.1 does not, and a request that a browser says is from another site is refused.
"""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path

from fastapi import Request

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_HOSTS = ("localhost", "127.0.0.1", "[::1]")
_OWN = ("same-origin", "none")


def can_tell() -> bool:
    """Whether this system tells whose connection is whose."""
    return TABLES[0].exists()


def is_own_user(request: Request) -> bool:
    """Whether the request comes from a process of the user that this one runs as."""
    host = request.headers.get("host", "").rsplit(":", 1)[0] if "host" in request.headers else ""
    if host not in _HOSTS or request.headers.get("sec-fetch-site", "none") not in _OWN:
        return False
    client, server = request.client, request.scope.get("server")
    if client is None or server is None or not ip_address(client.host).is_loopback:
        return False
    return _owner(client.port, server[1]) == os.getuid()


def _owner(port: int, to: int) -> int | None:
    """The user whose socket is bound to `port` and connected to `to`, by the system's table of connections."""
    for table in TABLES:
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            local, remote = (int(address.rsplit(":", 1)[1], 16) for address in fields[1:3])
            if (local, remote) == (port, to):
                return int(fields[7])
    return None
