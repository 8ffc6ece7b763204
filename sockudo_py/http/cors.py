"""Cross-origin rules of the HTTP API for browsers."""

from dataclasses import dataclass, field

from sockudo_py.protocol.readers.opening import origin_allowed

Headers = tuple[tuple[str, str], ...]
_VARY = ("Vary", "Origin")
_MAX_AGE = "600"  # seconds that a browser may remember a preflight


@dataclass(frozen=True, slots=True)
class Cors:
    """The rules, and the headers that follow from them.

    ``"*"`` among ``origins`` is any origin; credentials are never allowed with it, whatever ``credentials`` says: every
    page on the web could then act in the name of its visitor.
    """

    origins: tuple[str, ...] = ("*",)
    methods: tuple[str, ...] = ("GET", "POST", "OPTIONS")
    allowed_headers: tuple[str, ...] = ("Origin", "Content-Type", "X-Requested-With", "Accept", "Authorization")
    credentials: bool = False
    _by_origin: dict[str, Headers] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        credentials = (("Access-Control-Allow-Credentials", "true"),) if self.credentials else ()
        by_origin = {
            origin: (("Access-Control-Allow-Origin", origin), *credentials, _VARY)
            for origin in self.origins
            if origin != "*"
        }
        object.__setattr__(self, "_by_origin", by_origin)

    def headers(self, origin: str | None) -> Headers:
        """Return the headers to add to the response of a request with this ``Origin`` (None: it has none)."""
        if origin is None:
            return () if "*" in self.origins else (_VARY,)
        if origin in self._by_origin:
            return self._by_origin[origin]
        if "*" not in self.origins and origin_allowed(self.origins, origin):  # *.example.com, or a host alone
            credentials = (("Access-Control-Allow-Credentials", "true"),) if self.credentials else ()
            return (("Access-Control-Allow-Origin", origin), *credentials, _VARY)
        return (("Access-Control-Allow-Origin", "*"),) if "*" in self.origins else (_VARY,)

    def preflight(self, origin: str) -> Headers:
        """Return the headers of the answer to a preflight; those of ``headers`` only when the origin is not allowed."""
        headers = self.headers(origin)
        if headers[0] == _VARY:
            return headers
        return (
            *headers,
            ("Access-Control-Allow-Methods", ", ".join(self.methods)),
            ("Access-Control-Allow-Headers", ", ".join(self.allowed_headers)),
            ("Access-Control-Max-Age", _MAX_AGE),
        )
