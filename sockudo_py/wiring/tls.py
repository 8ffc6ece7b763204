"""TLS on the main port."""

import ssl

from sockudo_py.errors import ConfigError


def server_context(cert_path: str, key_path: str, passphrase: str | None) -> ssl.SSLContext:
    """Return the context for these PEM files, TLS 1.2 or newer. Raises ConfigError with key, file and remedy."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    for key, path in (("cert_path", cert_path), ("key_path", key_path)):
        try:
            with open(path, "rb"):
                pass
        except OSError as problem:
            raise ConfigError([f"ssl.{key}: can't read {path!r}: {problem.strerror}; give the PEM file"]) from problem
    try:
        # A callable: without it OpenSSL would ask the terminal for the passphrase of an encrypted key.
        context.load_cert_chain(cert_path, key_path, lambda: passphrase or "")
    except (ssl.SSLError, ValueError) as problem:
        raise ConfigError(
            [
                f"ssl: {cert_path!r} and {key_path!r} can't be used together ({problem.args[-1]}); both must be PEM, "
                "belong to each other, and ssl.passphrase must fit when the key is encrypted"
            ]
        ) from problem
    return context
