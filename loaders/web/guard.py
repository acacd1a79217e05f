"""A URL or an address comes in; its checked parts, or the verdict that it is not for us to ask, go out.

Whoever can put a URL before the program could otherwise have it read what only this machine can reach: a router's
page, a database, a cloud's credentials. So addresses are judged by lists of what is allowed, not of what is harmful.
"""

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from errors import DocumentError

PORTS = {"http": 80, "https": 443}
LABEL = r"(?!-)[a-z0-9_-]{1,63}"
NAME = re.compile(rf"{LABEL}(?:\.{LABEL})*")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _networks(*blocks: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(block) for block in blocks)


NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # how a network without IPv4 names the IPv4 servers
GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")
NOT_PUBLIC = _networks(  # what `is_global` of one Python or another lets pass
    "192.0.0.0/24",
    "192.88.99.0/24",
    "168.63.129.16/32",  # Azure's wire server, a public address that answers inside its cloud
    "2001::/23",  # protocol assignments, Teredo among them
    "2001:db8::/32",
    "2002::/16",  # 6to4
    "3fff::/20",
)
PRIVATE = _networks(
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "fc00::/7", "::1/128"
)
METADATA = _networks("100.100.100.200/32", "fd00:ec2::/32")  # Alibaba's and Amazon's, inside private blocks


class Target(NamedTuple):
    """A URL in parts: `host` without brackets, `path` with the query, everything in ASCII."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def netloc(self) -> str:
        """Return host and port as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Return the URL in its one normal form, without a fragment."""
        return f"{self.scheme}://{self.netloc}{self.path}"


def parse_url(url: str) -> Target:
    """Return an http(s) URL's parts; raise DocumentError where two programs could read it in two ways."""
    try:
        parts = urlsplit(url.strip())
        port, host = parts.port, parts.hostname or ""
    except ValueError as error:
        raise DocumentError(url, "not a URL", "check its spelling") from error
    if parts.scheme not in PORTS:
        raise DocumentError(url, f"scheme {parts.scheme!r}", "give an http:// or https:// address")
    if "@" in parts.netloc:
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        raise DocumentError(bare, "it holds a user name or password", "leave them out: only open pages are read")
    host = _ipv6(url, host) if parts.netloc.startswith("[") else _name(url, host)
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    query = "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~?[]") if parts.query else ""
    return Target(parts.scheme, host, PORTS[parts.scheme] if port is None else port, path + query)


def _ipv6(url: str, host: str) -> str:
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError as error:
        raise DocumentError(url, "not an IPv6 address", "check its spelling") from error
    if address.scope_id:
        raise DocumentError(url, "an address of one network card", "give a public address")
    return str(address)


def _name(url: str, host: str) -> str:
    """Return a host name as DNS has it, or a plain IPv4 address."""
    import idna

    try:
        name = host if host.isascii() else idna.encode(host, uts46=True).decode()
    except idna.IDNAError as error:
        raise DocumentError(url, "not a host name", "check its spelling") from error
    name = name.lower().removesuffix(".")
    if len(name) > 253 or not NAME.fullmatch(name):
        raise DocumentError(url, "not a host name", "check its spelling")
    if re.fullmatch(r"\d+|0x[0-9a-f]*", name.rpartition(".")[2]):  # 2130706433 and 0177.0.0.1 are 127.0.0.1
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError as error:
            raise DocumentError(url, "an IPv4 address in an odd form", "write it as four decimal numbers") from error
    return name


def is_named(target: Target, allow_hosts: frozenset[str]) -> bool:
    """Say whether the user named this host: `wiki.intra` for the default ports, `wiki.intra:8080` for that one."""
    named = {entry.lower() for entry in allow_hosts}
    default = target.port == PORTS[target.scheme]
    plain = target._replace(scheme="http", port=80).netloc
    return f"{plain}:{target.port}" in named or (default and plain in named)


def check_port(target: Target, allow_hosts: frozenset[str]) -> None:
    """Raise DocumentError unless the port is its scheme's own or the user named it with the host."""
    if target.port != PORTS[target.scheme] and not is_named(target, allow_hosts):
        remedy = f"allow {target.netloc} by name if you trust it"
        raise DocumentError(target.url, f"port {target.port} is not the web's", remedy)


def may_connect(address: str, *, named: bool) -> bool:
    """Say whether an address is public, or, for a host that the user named, private; nothing else ever is."""
    try:
        found = _unwrapped(ipaddress.ip_address(address))
    except ValueError:
        return False
    return _is_public(found) or (named and _within(found, PRIVATE) and not _within(found, METADATA))


def _unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for, where its packets would really go there."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address in NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: Address) -> bool:
    if address.version == 6 and address not in GLOBAL_IPV6:
        return False
    return address.is_global and not address.is_multicast and not _within(address, NOT_PUBLIC)


def _within(address: Address, networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]) -> bool:
    return any(address in network for network in networks)  # False for the other version
