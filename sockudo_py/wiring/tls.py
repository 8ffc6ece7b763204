"""TLS on the main port, and towards the receivers of webhooks."""

import ssl
from collections.abc import Iterator

from sockudo_py.config import Config
from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import ConfigError
from sockudo_py.webhooks.targets.http.target import default_ssl_context


def server_context(config: Config) -> ssl.SSLContext:
    """Return the context for the PEM files of ``ssl``, TLS 1.2 or newer.

    Raises ConfigError with file, key and remedy.
    """
    tls = config.ssl
    passphrase = tls.passphrase.get_secret_value() if tls.passphrase else ""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    problems = []
    for key, path in (("cert_path", tls.cert_path), ("key_path", tls.key_path)):
        try:
            with open(path, "rb"):
                pass
        except OSError as problem:
            text = f"can't read {path!r}: {problem.strerror}"
            problems.append(config.problem(f"ssl.{key}", text, "give the PEM file"))
    if problems:
        raise ConfigError(problems)
    try:
        # A callable: without it OpenSSL would ask the terminal for the passphrase of an encrypted key.
        context.load_cert_chain(tls.cert_path, tls.key_path, lambda: passphrase)
    except (ssl.SSLError, ValueError) as problem:
        why = f"{tls.cert_path!r} and {tls.key_path!r} can't be used together ({problem.args[-1]})"
        remedy = "both must be PEM, belong to each other, and ssl.passphrase must fit when the key is encrypted"
        raise ConfigError([config.problem("ssl", why, remedy)]) from problem
    return context


def webhook_context(config: Config) -> ssl.SSLContext:
    """Return the context for requests to endpoints: the system's authorities and those of the CA bundle.

    Raises ConfigError with file, key and remedy.
    """
    context = default_ssl_context()
    path = config.webhooks.security.ca_bundle
    if path is None:
        return context
    key = "webhooks.security.ca_bundle"
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as problem:
        why = problem.args[-1]
        raise ConfigError(
            [config.problem(key, f"{path!r} holds no certificates ({why})", "give a PEM file")]
        ) from problem
    except OSError as problem:
        text = f"can't read {path!r}: {problem.strerror}"
        raise ConfigError([config.problem(key, text, "give the PEM file")]) from problem
    return context


def certificate_problems(endpoint: Endpoint) -> Iterator[str]:
    """Yield why the client certificate of an endpoint can't be used."""
    files = endpoint.client_cert
    if files is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(files.cert_path, files.key_path, password="")
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) and not isinstance(problem, ssl.SSLError) else None
        text = why or "the two don't belong together, or are no PEM files without passphrase"
        name = endpoint.name or endpoint.uid
        yield f"app {endpoint.app_id}: webhook {name}: client_cert_path: {files.cert_path}: {text}"
