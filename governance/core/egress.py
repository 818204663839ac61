"""Requests to addresses that somebody else chose, without reaching what is not public (SSRF).

Every connection of an `Egress` resolves the name once, refuses when any of its addresses is not public, and connects
to exactly an address that was checked: a name that answers differently the next moment gains nothing. Redirects are
connections like any other. The tables are our own, because `ipaddress.is_global` of the Pythons we support is wrong
about NAT64, 6to4, site-local and multicast addresses.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any

import anyio

from loom.errors import Denied, Unavailable

if TYPE_CHECKING:
    import httpx2

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_IPV4_REFUSED = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",
            "100.64.0.0/10",  # carriers' NAT, and Alibaba's metadata
            "127.0.0.0/8",
            "168.63.129.16/32",  # Azure's host agent
            "169.254.0.0/16",  # link-local, and most clouds' metadata
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",  # relays to 6to4
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
# Only 2000::/3 is handed out to the public. Loopback, link-local, site-local, unique local, multicast, mapped and
# translated (64:ff9b::/96) addresses all lie outside of it.
_IPV6_PUBLIC = ip_network("2000::/3")
_IPV6_REFUSED = tuple(
    map(
        ip_network,
        (
            "2001::/23",  # protocols, Teredo among them
            "2001:db8::/32",
            "2002::/16",  # 6to4: an IPv4 address inside
            "2620:4f:8000::/48",
            "3fff::/20",
        ),
    )
)
# What `inet_aton` takes for an address: 127.1, 0x7f000001, 017700000001. Nobody writes that in good faith.
_ODD_NUMBER = re.compile(r"(?:0[xX][0-9a-fA-F]*|\d+)(?:\.(?:0[xX][0-9a-fA-F]*|\d*))*")


class EgressDenied(Denied):
    """The address may not be reached."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: at most `max_bytes` of the body, and whether there was more."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool

    def text(self) -> str:
        """The body in its declared encoding, UTF-8 without one."""
        found = re.search(r"charset=[\"']?([\w.:-]+)", self.headers.get("content-type", ""), re.IGNORECASE)
        try:
            return self.body.decode(found[1] if found else "utf-8", "replace")
        except LookupError:
            return self.body.decode("utf-8", "replace")


class Egress:
    """The way out, for URLs that a model, a page or a tenant chose.

    `hosts` are glob patterns of the only names that may be reached; None means every public one. `private` are
    networks that may be reached although they are not public, for a deployment's own services and for tests. The
    timeout, in seconds, is for a whole request with its redirects. Raises EgressDenied for what may not be reached and
    Unavailable for what does not answer.
    """

    def __init__(
        self,
        *,
        hosts: Sequence[str] | None = None,
        private: Sequence[str] = (),
        resolve: Resolve | None = None,
        max_bytes: int = 1_000_000,
        max_redirects: int = 5,
        timeout: float = 10.0,
    ) -> None:
        self._hosts = None if hosts is None else tuple(host.lower() for host in hosts)
        self._private = tuple(map(ip_network, private))
        self._resolve = resolve or _system_resolve
        self.max_bytes, self.max_redirects, self.timeout = max_bytes, max_redirects, timeout

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Fetch a URL and follow its redirects."""
        return await self._request("GET", url, headers, None, follow=True)

    async def post(self, url: str, *, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a body. A redirect is an answer like any other: secrets in the headers go nowhere else."""
        return await self._request("POST", url, headers, body, follow=False)

    def client(self, **options: Any) -> httpx2.AsyncClient:
        """A client whose every connection is checked; for libraries that want one. Options are httpx2's."""
        import httpx2  # slow to import, and only needed by those who go out

        from governance.core.egress_transport import CheckedTransport

        defaults = {"timeout": self.timeout, "max_redirects": self.max_redirects}
        return httpx2.AsyncClient(transport=CheckedTransport(self), trust_env=False, **(defaults | options))

    def check_url(self, url: httpx2.URL) -> None:
        """Refuse a URL by its looks: scheme, credentials, odd hosts, and hosts that are not on the list."""
        host = url.host.lower().rstrip(".")
        if url.scheme not in ("http", "https"):
            raise EgressDenied(f"{str(url)!r} is neither http nor https", url=str(url))
        if url.userinfo:
            raise EgressDenied(f"a URL with a user name in it is not fetched: its host is {host!r}", host=host)
        if not host or "%" in host or (_ODD_NUMBER.fullmatch(url.host) and _literal(url.host) is None):
            raise EgressDenied(f"{url.host!r} is no host name", host=url.host)
        if self._hosts is not None and not any(fnmatchcase(host, pattern) for pattern in self._hosts):
            raise EgressDenied(f"{host!r} is not among the hosts that may be reached", host=host)

    async def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host, all of them checked. Raises EgressDenied when one of them may not be reached."""
        literal = _literal(host)
        try:
            found = [str(literal)] if literal else list(await self._resolve(host, port))
        except OSError as exc:
            raise Unavailable(f"the name {host!r} cannot be resolved: {exc}", host=host) from exc
        if not found:
            raise Unavailable(f"the name {host!r} has no address", host=host)
        for address in found:
            if not self._may_reach(address):
                # The address itself is not told: it would map the network for whoever asks.
                raise EgressDenied(f"{host!r} is not a public address", host=host)
        return found

    @cached_property
    def ssl_context(self) -> ssl.SSLContext:
        import httpx2

        return httpx2.create_ssl_context(trust_env=False)

    def _may_reach(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._private) or is_public(parsed)

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str] | None, body: bytes | None, *, follow: bool
    ) -> Answer:
        import httpx2

        # Unpacked by us, a small answer could become a huge one; so it has to come as it is.
        sent = {"accept-encoding": "identity", "user-agent": "loom", **(headers or {})}
        try:
            with anyio.fail_after(self.timeout):
                async with self.client() as client:
                    request = client.build_request(method, url, headers=sent, content=body)
                    response = await client.send(request, stream=True, follow_redirects=follow)
                    try:
                        return await self._answer(response)
                    finally:
                        await response.aclose()
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, UnicodeError) as exc:
            raise EgressDenied(f"{url!r} is no URL that can be fetched: {exc}", url=url) from exc
        except httpx2.TooManyRedirects as exc:
            raise EgressDenied(f"{url!r} redirects more than {self.max_redirects} times", url=url) from exc
        except TimeoutError as exc:
            raise Unavailable(f"{url!r} did not answer within {self.timeout:g} s", url=url) from exc
        except httpx2.HTTPError as exc:
            raise Unavailable(f"{url!r} cannot be reached: {exc or type(exc).__name__}", url=url) from exc

    async def _answer(self, response: httpx2.Response) -> Answer:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise Unavailable(f"{str(response.url)!r} answers compressed although it was asked not to")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self.max_bytes:
                break
        return Answer(
            url=str(response.url),
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=bytes(body[: self.max_bytes]),
            truncated=len(body) > self.max_bytes,
        )


@lru_cache(maxsize=4096)
def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address belongs to the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _IPV4_REFUSED)
    if address.scope_id is not None or address not in _IPV6_PUBLIC:
        return False
    return not any(address in network for network in _IPV6_REFUSED)


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


async def _system_resolve(host: str, port: int) -> Sequence[str]:
    import socket

    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
