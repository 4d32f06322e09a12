"""Checks of the HTTP headers Host and Origin, which prevent DNS rebinding and requests from pages of other sites."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass

_AUTHORITY = re.compile(r"(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<name>[a-z0-9_.-]+?))\.?(?::(?P<port>[0-9]{1,5}))?")
_PORTS = {"http": "80", "https": "443"}


@dataclass(frozen=True)
class AllowedHosts:
    """Host names under which the service may be called.

    An attacker's page can make a browser resolve the attacker's host name to this machine (DNS rebinding). The browser
    then sends that name in ``Host``, so unknown names are refused. IP addresses cannot be rebound.

    Args:
        names: accepted host names in lower case, in addition to ``localhost``.
        addresses: whether all IP addresses are accepted; otherwise only loopback addresses are.
    """

    names: frozenset[str] = frozenset()
    addresses: bool = False

    def accepts(self, host: str) -> bool:
        """Return whether a request with this ``Host`` header is accepted."""
        parsed = _parse(host)
        if parsed is None:
            return False
        name = parsed[0]
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name == "localhost" or name in self.names
        return self.addresses or address.is_loopback

    def accepts_origin(self, origin: str, host: str) -> bool:
        """Return whether a request with these headers ``Origin`` and ``Host`` comes from a page of this service.

        A page on another port of the same host is another origin and is not accepted. A page of a host in ``names`` is
        accepted on any port, because a reverse proxy may change ``Host``.
        """
        scheme, separator, authority = origin.lower().partition("://")
        sent, own = _parse(authority), _parse(host)
        if not separator or scheme not in _PORTS or sent is None or own is None:
            return False
        default = _PORTS[scheme]
        return sent[0] in self.names or (sent[0], sent[1] or default) == (own[0], own[1] or default)


def allowed_hosts(host: str, names: Iterable[str] = ()) -> AllowedHosts:
    """Return the accepted hosts of a service.

    If the service listens on an address other than loopback, this machine's names and all IP addresses are accepted too.

    Args:
        host: address that the service listens on.
        names: further host names, such as the name of a reverse proxy.
    """
    accepted = {name.lower().rstrip(".") for name in names}
    if is_loopback(host):
        return AllowedHosts(frozenset(accepted))
    own = {host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}
    return AllowedHosts(frozenset(accepted | own), addresses=True)


def is_loopback(host: str) -> bool:
    """Return whether an address is ``localhost`` or a loopback IP address, which only this machine can reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parse(authority: str) -> tuple[str, str] | None:
    """Return host name and port (empty if not given), or ``None`` for an invalid ``host:port``."""
    match = _AUTHORITY.fullmatch(authority.lower())
    return None if match is None else (match["six"] or match["name"], match["port"] or "")
