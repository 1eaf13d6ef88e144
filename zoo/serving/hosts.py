"""The names and addresses by which a server may be asked."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from zoo.errors import ServingError

__all__ = ["Hosts"]

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s\[\]:/@,]+)(?::[0-9]{0,5})?")


class Hosts:
    """What the header Host may say: `header in hosts`.

    address: the one that the server is bound to. names: further ones, with or without a port.
    Raises ServingError if a name cannot stand in the header Host.
    """

    def __init__(self, address: str, names: Iterable[str] = ()) -> None:
        self._bound = ipaddress.ip_address(address.partition("%")[0])
        self._names = {"localhost"}
        for name in names:
            if not _name(name):
                raise ServingError(f"{name!r} is no name of a host, as in example.org or ::1.")
            self._names.add(_name(name))

    def __contains__(self, host: object) -> bool:
        name = _name(str(host))
        if name in self._names or name.endswith(".localhost"):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        # Every address of this machine is listened on; and no site is bound anew to a number.
        if self._bound.is_unspecified:
            return True
        return address == self._bound or (self._bound.is_loopback and address.is_loopback)


def _name(host: str) -> str:
    """The host without its port, in lower case; "" where it is malformed."""
    host = host.strip().lower()
    try:
        return str(ipaddress.ip_address(host))  # an IPv6 address without brackets
    except ValueError:
        match = _HOST.fullmatch(host)
    return match[1].strip("[]").rstrip(".") if match else ""
