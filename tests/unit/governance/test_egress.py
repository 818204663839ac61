from __future__ import annotations

import datetime
import gzip
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import httpcore2
import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from governance.core.egress import Egress, EgressDenied, is_public
from loom.errors import Unavailable

# What the fake name server answers. Names that are not here are public.
NAMES = {
    "localhost": ["127.0.0.1"],
    "localhost.": ["127.0.0.1"],
    "loop.test": ["127.0.0.1"],
    "loop6.test": ["::1"],
    "intranet.test": ["10.1.2.3"],
    "mixed.test": ["93.184.215.14", "192.168.1.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "mapped.test": ["::ffff:10.0.0.1"],
    "nat64.test": ["64:ff9b::a9fe:a9fe"],
    "sixtofour.test": ["2002:7f00:1::"],
    "zone.test": ["fe80::1%eth0"],
    "garbage.test": ["not an address"],
    "2130706433": ["93.184.215.14"],  # even when a name server says that such a number is public
    "0x7f.1": ["93.184.215.14"],
}

REFUSED = [
    # loopback, in all spellings
    "http://127.0.0.1/",
    "http://127.8.9.1:8080/",
    "http://127.1/",
    "http://127.0.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://0x7f.0x0.0x0.0x1/",
    "http://0X7F.0.0.1/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://127.0.0.01/",
    "http://127.0.0.1./",
    "http://0/",
    "http://0.0.0.0/",
    "http://0.0.0.0:5432/",
    "http://localhost/",
    "http://localhost./",
    "http://LOCALHOST/",
    "http://loop.test/",
    "http://loop6.test/",
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://mapped.test/",
    # private networks and clouds' metadata
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.0.1/",
    "http://100.64.0.1/",
    "http://100.100.100.200/latest/meta-data/",
    "http://169.254.169.254/latest/meta-data/",
    "http://168.63.129.16/",
    "http://metadata.google.internal/",
    "http://intranet.test/",
    "http://mixed.test/",
    "http://[fd00:ec2::254]/",
    "http://[fc00::1]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[2001:4860:4860::8888%25eth0]/",
    "http://zone.test/",
    "http://[fec0::1]/",
    # addresses inside addresses
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b:1::1]/",
    "http://nat64.test/",
    "http://[2002:7f00:1::]/",
    "http://sixtofour.test/",
    "http://[2001::7f00:1]/",
    # reserved, multicast, documentation
    "http://224.0.0.1/",
    "http://239.255.255.250/",
    "http://255.255.255.255/",
    "http://240.0.0.1/",
    "http://192.0.0.8/",
    "http://198.18.0.1/",
    "http://203.0.113.7/",
    "http://192.88.99.1/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    "http://[100::1]/",
    # URLs that pretend
    "http://user@example.test/",
    "http://user:secret@example.test/",
    "http://example.test@127.0.0.1/",
    "http://example.test\\@127.0.0.1/",
    "http://example.test#@127.0.0.1:80@x/\r\n",
    "http://127.0.0.1\t/",
    "http://example.test/\r\nHost: localhost",
    "http://%31%32%37.0.0.1/",
    "http://①②⑦.0.0.1/",
    "http://garbage.test/",
    "http:///etc/passwd",
    "http://",
    "//example.test/",
    "/etc/passwd",
    "",
    # other schemes
    "file:///etc/passwd",
    "ftp://example.test/",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "dict://127.0.0.1:11211/",
    "unix:///var/run/docker.sock",
    "data:text/plain,x",
    "javascript:alert(1)",
    "ws://example.test/",
]


async def names(host: str, port: int) -> Sequence[str]:
    return NAMES.get(host, ["93.184.215.14"])


@pytest.fixture
def no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"connected to {args[1:3]}")

    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", connect)


@pytest.mark.usefixtures("no_connections")
@pytest.mark.parametrize("url", REFUSED)
async def test_what_is_not_public_is_never_connected_to(url: str) -> None:
    with pytest.raises(EgressDenied):
        await Egress(resolve=names).get(url)


def test_the_list_is_as_long_as_it_was_promised() -> None:
    assert len(set(REFUSED)) >= 60


@pytest.mark.usefixtures("no_connections")
@pytest.mark.parametrize("url", ["http://example.test/", "https://8.8.8.8/", "http://[2606:4700::1111]:8080/"])
async def test_what_is_public_is_connected_to(url: str) -> None:
    with pytest.raises(AssertionError, match="connected to"):
        await Egress(resolve=names).get(url)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"]
)
def test_public_addresses_are_known(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


# A small server of our own.


@dataclass
class Server:
    port: int = 0
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def url(self, path: str, host: str = "service.test", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    running: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(context: ssl.SSLContext | None = None) -> Server:
        state = Server()

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                state.seen.append((self.command, self.path, dict(self.headers), body))
                status, headers, data = state.answers.get(self.path, (404, {}, b"none"))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = answer

            def log_message(self, *args: Any) -> None: ...

        httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        httpd.handle_error = lambda *args: None  # type: ignore[method-assign]
        if context is not None:
            context.sni_callback = lambda sock, name, ctx: state.names.append(name)
            httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
        state.port = httpd.server_port
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((httpd, thread))
        return state

    yield start
    for httpd, thread in running:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    return serve()


def local(**options: Any) -> Egress:
    """A way out for which 127.0.0.1 is a public address, and `service.test` lives there."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"] if host == "service.test" else await names(host, port)

    return Egress(private=["127.0.0.1/32"], **({"resolve": resolve} | options))


async def test_a_page_is_fetched_with_the_name_of_its_host(server: Server) -> None:
    server.answers["/a"] = (200, {"Content-Type": "text/plain; charset=latin-1"}, "é".encode("latin-1"))

    answer = await local().get(server.url("/a"))

    assert (answer.status, answer.text(), answer.truncated, answer.url) == (200, "é", False, server.url("/a"))
    assert server.seen[0][2]["Host"] == f"service.test:{server.port}"


async def test_a_name_that_changes_its_address_gains_nothing(server: Server) -> None:
    server.answers["/"] = (200, {}, b"public")
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return answers[min(len(asked), 2) - 1]

    egress = local(resolve=rebinding)

    assert (await egress.get(server.url("/"))).body == b"public"
    assert asked == ["service.test"]
    with pytest.raises(EgressDenied):
        await egress.get(server.url("/"))


async def test_the_next_address_is_tried_when_one_does_not_answer(server: Server) -> None:
    server.answers["/"] = (200, {}, b"ok")
    with socket.create_server(("127.0.0.2", 0)) as closed:
        free = closed.getsockname()[1]

    async def two(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.1"]

    egress = Egress(private=["127.0.0.0/8"], resolve=two)

    assert (await egress.get(server.url("/"))).body == b"ok"
    with pytest.raises(Unavailable):
        await egress.get(f"http://service.test:{free}/")


async def test_redirects_are_followed_to_public_places(server: Server) -> None:
    server.answers["/1"] = (302, {"Location": "/2"}, b"")
    server.answers["/2"] = (307, {"Location": server.url("/3")}, b"")
    server.answers["/3"] = (200, {}, b"there")

    answer = await local().get(server.url("/1"))

    assert (answer.body, answer.url) == (b"there", server.url("/3"))


@pytest.mark.parametrize(
    "target",
    ["http://10.0.0.1/", "http://loop6.test/", "http://169.254.169.254/", "http://127.0.0.2/", "file:///etc/passwd",
     "http://u:p@service.test/", "//intranet.test/x", "http://0x7f.1/"],
)  # fmt: skip
async def test_a_redirect_to_a_private_place_is_refused(server: Server, target: str) -> None:
    server.answers["/"] = (302, {"Location": "/next"}, b"")
    server.answers["/next"] = (301, {"Location": target}, b"")

    with pytest.raises(EgressDenied):
        await local().get(server.url("/"))


async def test_five_redirects_are_enough(server: Server) -> None:
    for n in range(7):
        server.answers[f"/{n}"] = (302, {"Location": f"/{n + 1}"}, b"")
    server.answers["/5"] = (200, {}, b"there")

    assert (await local().get(server.url("/0"))).body == b"there"
    server.answers["/5"] = (302, {"Location": "/6"}, b"")
    server.answers["/6"] = (200, {}, b"too far")
    with pytest.raises(EgressDenied, match="redirects more than 5 times"):
        await local().get(server.url("/0"))


async def test_what_is_posted_goes_to_one_place_only(server: Server) -> None:
    server.answers["/"] = (307, {"Location": "/next"}, b"")

    answer = await local().post(server.url("/"), body=b"{}", headers={"x-api-key": "secret"})

    assert answer.status == 307
    assert [(method, path, body) for method, path, _, body in server.seen] == [("POST", "/", b"{}")]


async def test_a_body_is_cut_at_the_limit(server: Server) -> None:
    server.answers["/"] = (200, {}, b"x" * 200_000)

    answer = await local(max_bytes=1000).get(server.url("/"))

    assert (len(answer.body), answer.truncated) == (1000, True)


async def test_a_compressed_body_is_not_unpacked(server: Server) -> None:
    server.answers["/"] = (200, {"Content-Encoding": "gzip"}, gzip.compress(b"x" * 10_000_000))

    with pytest.raises(Unavailable, match="compressed"):
        await local().get(server.url("/"))


async def test_a_server_that_drips_is_given_up() -> None:
    async def drip(stream: Any) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                await stream.send(b".")
                await anyio.sleep(0.01)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, drip)
        with pytest.raises(Unavailable, match=r"did not answer within 0\.2 s"):
            await local(timeout=0.2).get(f"http://service.test:{port}/")
        group.cancel_scope.cancel()
    await listener.aclose()


async def test_only_the_hosts_on_a_list_are_reached(server: Server) -> None:
    server.answers["/"] = (302, {"Location": "http://example.test/"}, b"")
    server.answers["/ok"] = (200, {}, b"ok")
    egress = local(hosts=["*.TEST", "api.example.org"])
    narrow = local(hosts=["service.test"])

    assert (await egress.get(server.url("/ok"))).body == b"ok"
    assert (await narrow.get(server.url("/ok", host="SERVICE.test"))).body == b"ok"
    with pytest.raises(EgressDenied, match=r"'example\.test' is not among the hosts"):
        await narrow.get(server.url("/"))
    with pytest.raises(EgressDenied, match="not among"):
        await egress.get("http://service.test.evil.org/")


async def test_no_proxy_of_the_environment_is_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, server.url("", host="127.0.0.1"))

    with pytest.raises(EgressDenied):
        await local().get("http://10.0.0.1/")
    assert not server.seen


async def test_a_name_without_an_address_is_unavailable() -> None:
    async def none(host: str, port: int) -> Sequence[str]:
        return []

    async def fails(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(-2, "Name or service not known")

    for resolve in (none, fails):
        with pytest.raises(Unavailable, match=r"nowhere\.test"):
            await Egress(resolve=resolve).get("http://nowhere.test/")


async def test_the_systems_own_resolver_is_asked_by_default() -> None:
    with pytest.raises(EgressDenied, match="'localhost' is not a public address"):
        await Egress().get("http://localhost/")


async def test_the_client_for_other_libraries_is_guarded_too(server: Server) -> None:
    server.answers["/"] = (302, {"Location": "http://10.0.0.1/"}, b"")

    async with local().client(follow_redirects=True) as client:
        with pytest.raises(EgressDenied):
            await client.get(server.url("/"))
        with pytest.raises(EgressDenied):
            await client.get("http://127.0.0.2/")


def certificate(host: str, folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


async def test_tls_is_spoken_with_the_name_and_not_with_the_address(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    cert, key = certificate("service.test", tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = serve(context)
    server.answers["/"] = (200, {}, b"secure")

    async def everything_here(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    egress = local(resolve=everything_here)
    egress.ssl_context = ssl.create_default_context(cafile=str(cert))

    assert (await egress.get(server.url("/", scheme="https"))).body == b"secure"
    assert server.names == ["service.test"]
    assert server.seen[0][2]["Host"] == f"service.test:{server.port}"
    with pytest.raises(Unavailable, match="certificate"):
        await egress.get(server.url("/", host="other.test", scheme="https"))


def test_a_client_checks_certificates_and_takes_nothing_from_the_environment() -> None:
    context = Egress().ssl_context

    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert isinstance(Egress().client(), httpx2.AsyncClient)
