"""Run the reverse proxies of Debian with the very files of ``deploy/proxies``, on ports and certificates of a test."""

import csv
import http.client
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import trustme

from tests.support.debian import packages
from tests.support.ports import free_port

SNIPPETS = Path(__file__).parents[3] / "deploy" / "proxies"
START_SECONDS = 60.0  # a loaded machine
STOP_SECONDS = 30.0
HOST = "ws.example.com"  # of the snippets
STRANGER = "127.0.0.2"  # where a client connects from whom the proxy must not be mistaken for


# Where docs/proxies.md says that the lines for a prefix go: before these.
BEFORE = {
    "nginx.conf": "    location / {",
    "Caddyfile": "\thandle {",
    "haproxy.cfg": "    # Clients, the HTTP API",
    "apache.conf": "    ProxyPass /app/",
}


def adapted(snippet: str, changes: Mapping[str, str], prefixed: bool = False) -> str:
    """Return a file of ``deploy/proxies`` with texts replaced, each of which must be there."""
    text = (SNIPPETS / snippet).read_text()
    if prefixed:
        before = BEFORE[snippet]
        changes = {before: (SNIPPETS / "prefix" / snippet).read_text() + before, **changes}
    for old, new in changes.items():
        assert old in text, f"deploy/proxies/{snippet} has no {old!r} for the test to replace"
        text = text.replace(old, new)
    return text


@dataclass(frozen=True, slots=True)
class Stage:
    """What a proxy is to do in a test."""

    folder: Path
    port: int
    upstream: str
    certificate: Path  # with the intermediate ones
    key: Path
    both: Path  # one file, as HAProxy wants it
    patience: int  # seconds of silence that the proxy bears
    prefixed: bool = False  # with the lines of deploy/proxies/prefix


@dataclass(frozen=True, slots=True)
class Command:
    """How a proxy is started in the foreground."""

    arguments: list[str]
    env: Mapping[str, str]


Adapter = Callable[[Stage], Command]


def nginx(stage: Stage, changes: Mapping[str, str] = MappingProxyType({})) -> Command:
    site = adapted(
        "nginx.conf",
        {
            **(changes or {"127.0.0.1:6001": stage.upstream}),
            "listen 443 ssl": f"listen 127.0.0.1:{stage.port} ssl",
            f"/etc/letsencrypt/live/{HOST}/fullchain.pem": str(stage.certificate),
            f"/etc/letsencrypt/live/{HOST}/privkey.pem": str(stage.key),
            "proxy_read_timeout 60s": f"proxy_read_timeout {stage.patience}s",
        },
        stage.prefixed,
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {stage.folder}/{kind};\n" for kind in kinds)
    path = stage.folder / "nginx.conf"
    path.write_text(
        f"daemon off;\nmaster_process off;\npid {stage.folder}/pid;\nerror_log stderr;\n"
        f"events {{ worker_connections 256; }}\nhttp {{\naccess_log off;\n{places}{site}}}\n"
    )
    found = packages("nginx")
    return Command([str(found.file("usr/sbin/nginx")), "-p", str(stage.folder), "-c", str(path)], found.env)


def nginx_of_several(nodes: Sequence[str]) -> Adapter:
    """Return nginx with ``several/nginx.conf`` in place of its upstream, as docs/proxies.md says."""
    text = (SNIPPETS / "several" / "nginx.conf").read_text()
    named = re.findall(r"10\.0\.0\.\d+:6001", text)
    assert len(named) == len(nodes)
    for old, node in zip(named, nodes, strict=True):
        text = text.replace(old, node)
    one = "upstream sockudo {\n    server 127.0.0.1:6001;\n    keepalive 32;\n}\n"
    return lambda stage: nginx(stage, {one: text})


def caddy(stage: Stage) -> Command:
    site = adapted(
        "Caddyfile",
        {
            "127.0.0.1:6001": stage.upstream,
            f"{HOST} {{": f"https://{HOST}:{stage.port} {{\n\tbind 127.0.0.1\n\ttls {stage.certificate} {stage.key}\n",
        },
        stage.prefixed,
    )
    path = stage.folder / "Caddyfile"
    path.write_text(f"{{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}}\n{site}")
    found = packages("caddy")
    arguments = [str(found.file("usr/bin/caddy")), "run", "--config", str(path), "--adapter", "caddyfile"]
    return Command(arguments, {**found.env, "HOME": str(stage.folder), "XDG_DATA_HOME": str(stage.folder)})


def haproxy(stage: Stage, changes: Mapping[str, str] = MappingProxyType({})) -> Command:
    path = stage.folder / "haproxy.cfg"
    path.write_text(
        adapted(
            "haproxy.cfg",
            {
                **changes,
                "127.0.0.1:6001": stage.upstream,
                "bind :443": f"bind 127.0.0.1:{stage.port}",
                f"/etc/haproxy/{HOST}.pem": str(stage.both),
                "maxconn 20000": f"maxconn 200\n    stats socket {stage.folder}/stats",
                "timeout tunnel 60s": f"timeout tunnel {stage.patience}s",
                "inter 2s": "inter 200ms",
            },
            stage.prefixed,
        )
    )
    found = packages("haproxy")
    return Command([str(found.file("usr/sbin/haproxy")), "-db", "-f", str(path)], found.env)


def apache(stage: Stage) -> Command:
    site = adapted(
        "apache.conf",
        {
            "127.0.0.1:6001": stage.upstream,
            "*:443": f"127.0.0.1:{stage.port}",
            f"/etc/letsencrypt/live/{HOST}/fullchain.pem": str(stage.certificate),
            f"/etc/letsencrypt/live/{HOST}/privkey.pem": str(stage.key),
        },
        stage.prefixed,
    )
    found = packages("apache2")
    modules = found.file("usr/lib/apache2/modules")
    enabled = site.partition("a2enmod ")[2].partition(" &&")[0].split()
    assert enabled, "the snippet doesn't say which modules it needs"
    loaded = ["mpm_event", "authz_core", "alias", *enabled]  # the first three are on in Debian's own configuration
    lines = [f"LoadModule {name}_module {modules}/mod_{name}.so" for name in loaded]
    lines += [f"ServerName {HOST}", f"PidFile {stage.folder}/pid", f"ErrorLog {stage.folder}/error.log"]
    lines += [f"DefaultRuntimeDir {stage.folder}", f"Mutex file:{stage.folder}", f"Listen 127.0.0.1:{stage.port}"]
    lines += ["User nobody", "Group nogroup", f"Timeout {stage.patience}"]
    path = stage.folder / "apache.conf"
    path.write_text("\n".join(lines) + "\n" + site)
    return Command([str(found.file("usr/sbin/apache2")), "-D", "FOREGROUND", "-f", str(path)], found.env)


PROXIES: dict[str, Adapter] = {"nginx": nginx, "caddy": caddy, "haproxy": haproxy, "apache": apache}


@dataclass(slots=True)
class Front:
    """A running proxy."""

    stage: Stage
    authority: trustme.CA
    process: subprocess.Popen[bytes]

    @property
    def client_tls(self) -> ssl.SSLContext:
        """A context of clients that trust the test's authority."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    def url(self, path: str) -> str:
        """Return the WebSocket URL of a path, as clients of the snippet's host see it."""
        return f"wss://{HOST}:{self.stage.port}{path}"

    def connect(self) -> socket.socket:
        """Return a TCP connection from the address STRANGER."""
        return socket.create_connection(("127.0.0.1", self.stage.port), START_SECONDS, (STRANGER, 0))

    def https(self) -> "HttpsConnection":
        """Return a connection for HTTP requests, from the address STRANGER."""
        return HttpsConnection(self)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Return status and body of an unsigned GET."""
        connection = self.https()
        try:
            connection.request("GET", path, headers=dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def log(self) -> str:
        """Return what the proxy wrote."""
        names = [name for name in ("output", "error.log") if (self.stage.folder / name).exists()]
        return "\n".join((self.stage.folder / name).read_text(errors="replace") for name in names)


class HttpsConnection(http.client.HTTPConnection):
    """HTTP over TLS to the proxy, for the host name of the snippet."""

    def __init__(self, front: Front) -> None:
        super().__init__(HOST, front.stage.port, timeout=START_SECONDS)
        self._front = front

    def connect(self) -> None:
        self.sock = self._front.client_tls.wrap_socket(self._front.connect(), server_hostname=HOST)


def stage_for(folder: Path, upstream: str, patience: int = 60, prefixed: bool = False) -> tuple[Stage, trustme.CA]:
    """Return a stage in ``folder`` with a certificate of a new authority."""
    authority = trustme.CA()
    leaf = authority.issue_cert(HOST, "localhost")
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key, both = (folder / name for name in ("chain.pem", "key.pem", "both.pem"))
    for pem in leaf.cert_chain_pems:
        pem.write_to_path(certificate, append=True)
    leaf.private_key_pem.write_to_path(key)
    leaf.private_key_and_cert_chain_pem.write_to_path(both)
    return Stage(folder, free_port(), upstream, certificate, key, both, patience, prefixed), authority


@contextmanager
def proxied(make: Adapter, folder: Path, upstream: str, patience: int = 60, prefixed: bool = False) -> Iterator[Front]:
    """Run a proxy for the block."""
    stage, authority = stage_for(folder, upstream, patience, prefixed)
    command = make(stage)
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command.arguments, stdout=output, stderr=output, env=dict(command.env))
    front = Front(stage, authority, process)
    try:
        _wait(front)
        yield front
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(front: Front) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if front.process.poll() is not None:
            break
        try:
            front.connect().close()
        except OSError:
            time.sleep(0.02)  # polls a condition, with a deadline
        else:
            return
    raise AssertionError(f"the proxy is not up (exit code {front.process.poll()}):\n{front.log()}")


def wait_for_state(front: Front, wanted: str) -> None:
    """Wait until HAProxy's own statistics say of the server that it is ``UP`` or ``DOWN``."""
    deadline = time.monotonic() + 30
    state = ""
    while state != wanted:
        assert time.monotonic() < deadline, f"the server is {state}: {front.log()}"
        time.sleep(0.05)  # polls a condition, with a deadline
        with socket.socket(socket.AF_UNIX) as stats:
            stats.connect(str(front.stage.folder / "stats"))
            stats.sendall(b"show stat\n")
            rows = list(csv.DictReader(stats.makefile(encoding="ascii").read().removeprefix("# ").splitlines()))
        (row,) = [row for row in rows if row["svname"] == "node1"]
        passed = row["check_status"] == "L7OK"  # before the third failed check a server counts as up
        state = row["status"].split()[0] if passed or row["status"].startswith("DOWN") else ""
