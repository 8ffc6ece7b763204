"""The types of configuration keys. Each one words the error for a value that breaks its rule."""

import ipaddress
import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

MAX_COUNT = 2**31 - 1
AUTO: Final = "auto"
MOST_WORKERS: Final = 256
MAX_SECONDS = 10 * 365 * 86400.0  # ten years: beyond it a number is a mistake


PresetName = Literal["sockudo", "irisx", "pulse", "realcast", "remotedevai", "pusher", "standard", "svix"]
ProfileName = Literal["pusher", "sockudo", "pulse", "realcast", "remotedevai", "irisx", "standard", "custom"]
EnvelopeName = Literal["pusher", "pulse", "realcast", "remotedevai", "irisx", "standard"]
RetryOn = Literal["non_2xx", "5xx", "transient"]


class Section(BaseModel):
    """A JSON object of the configuration: unknown keys are errors, values don't change, messages don't show input."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, protected_namespaces=())


def _no_flag(value: Any) -> Any:
    if isinstance(value, bool):  # Python's True is a 1, an operator's isn't
        raise ValueError("must be a number")
    return value


def _no_limit(value: Any) -> Any:
    if not isinstance(value, bool) and value in (0, -1, "0", "-1"):
        return None
    return value


def _workers(value: Any) -> Any:
    if isinstance(value, str) and value.strip().lower() == AUTO:
        return AUTO
    digits = isinstance(value, str) and re.fullmatch(r"[0-9]{1,4}", value.strip())
    number = int(value) if digits or (isinstance(value, int) and not isinstance(value, bool)) else 0
    if not 1 <= number <= MOST_WORKERS:
        raise ValueError(f'must be a number from 1 to {MOST_WORKERS}, or "{AUTO}"')
    return number


def _octal(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str) or not re.fullmatch(r"0?[0-7]{3}", value):
        raise ValueError('must be an octal mode in quotes, such as "660"')
    return value


def _compression(value: Any) -> Any:
    word = value.strip().lower() if isinstance(value, str) else value
    if word in (False, "disabled", "false", "off", "no", "0"):
        return "disabled"
    windows = re.fullmatch(r"window(256b|(1|2|4|8|16|32)kb)", str(word))
    if windows or word in (True, "shared", "dedicated", "true", "on", "yes", "1"):
        return "shared"
    raise ValueError('must be "disabled" or "shared"')


def _digits(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _path_prefix(value: str) -> str:
    if value == "":
        return "/"
    if not value.startswith("/"):
        raise ValueError('must begin with "/"')
    if re.search(r"[\s?#%]|//", value):
        raise ValueError("must be a plain path, without spaces, '?', '#', '%' or '//'")
    return value.rstrip("/") or "/"


_ENCODE = "write special characters of the password as %40 for @, %2F for /, %23 for #, %3F for ?, %3A for :, %25 for %"


def _redis_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and parts.port != 0
        usable = usable or (parts.scheme == "unix" and bool(parts.path))
        database = parts.scheme == "unix" or re.fullmatch(r"/?|/[0-9]{1,9}", parts.path) is not None
    except ValueError:
        usable = False
    if not usable or not database or not _unambiguous(url):
        raise ValueError(f"must be redis://[user:password@]host[:port][/db], rediss://... or unix:///path; {_ENCODE}")
    return value


def _redis_host(value: str) -> str:
    if re.search(r"[/@\s]", value):
        raise ValueError("must be a host name or an address; give a URL as database.redis.url (REDIS_URL)")
    return value


def _database_host(value: str) -> str:
    if re.search(r"[@\s]|://", value):
        raise ValueError("must be a host name or an address; user and password have keys of their own")
    return value


def _unambiguous(url: str) -> bool:
    """Return whether no special character of a password can have ended the host, or begun it, too early."""
    rest = url.partition("://")[2]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return "#" not in rest and "@" not in rest[len(authority) :] and " " not in rest


def _cidr(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        raise ValueError('must be an address or a network, such as "10.0.0.0/8"') from None


def _http_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("must be an http:// or https:// URL with a host")
    return value


def _proxy_url(value: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(value.get_secret_value())
        usable = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0 and parts.path in ("", "/")
        usable = usable and not parts.query and _unambiguous(value.get_secret_value())
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"must be http://[user:password@]host:port; {_ENCODE}")
    return value


def _time(value: str) -> str:
    try:
        aware = datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        aware = False
    if not aware:
        raise ValueError('must be a time with its zone, such as "2026-12-31T12:00:00Z"')
    return value


def _pattern(value: str) -> str:
    if len(value) > 256:
        raise ValueError("must not be longer than 256 characters")
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError) as error:
        place = getattr(error, "pos", None)
        where = "" if place is None else f" (see character {place + 1})"
        raise ValueError(f"is not a valid regular expression{where}") from None
    return value


def _sha256(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[0-9a-f]{64}", value.get_secret_value()):
        raise ValueError("must be the SHA-256 of the key as 64 lower-case hex digits")
    return value


UNSHOWN = "messages don't show the value"  # metadata
HIDDEN_PATH = "the path is a secret"  # metadata of a URL that messages and pages show without its path

# Bounds stand before validators: JSON Schema knows them only so.
Count = Annotated[int, Field(ge=0, le=MAX_COUNT), BeforeValidator(_no_flag)]
Positive = Annotated[int, Field(ge=1, le=MAX_COUNT), BeforeValidator(_no_flag)]
Workers = Annotated[int | Literal["auto"], BeforeValidator(_workers)]
Port = Annotated[int, Field(ge=0, le=65535), BeforeValidator(_no_flag)]
Milliseconds = Annotated[int, Field(ge=0, le=int(MAX_SECONDS * 1000)), BeforeValidator(_no_flag)]
PositiveMilliseconds = Annotated[int, Field(ge=1, le=int(MAX_SECONDS * 1000)), BeforeValidator(_no_flag)]
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS, allow_inf_nan=False), BeforeValidator(_no_flag)]
PositiveSeconds = Annotated[float, Field(gt=0, le=MAX_SECONDS, allow_inf_nan=False), BeforeValidator(_no_flag)]
Kilobytes = Annotated[float, Field(gt=0, le=1024 * 1024, allow_inf_nan=False), BeforeValidator(_no_flag)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(_no_flag)]
Percent = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False), BeforeValidator(_no_flag)]
Factor = Annotated[float, Field(ge=1, le=100, allow_inf_nan=False), BeforeValidator(_no_flag)]
Limit = Annotated[Positive | None, BeforeValidator(_no_limit)]  # null, 0 and -1: no limit
Text = Annotated[str, Field(min_length=1, max_length=4096)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Digits = BeforeValidator(_digits)  # a number is taken as its digits
Secret = Annotated[SecretStr, Digits, Field(min_length=1, max_length=4096)]
CompressionMode = Annotated[Literal["disabled", "shared"], BeforeValidator(_compression)]
OctalMode = Annotated[str, BeforeValidator(_octal)]
PathPrefix = Annotated[str, AfterValidator(_path_prefix)]
RedisHost = Annotated[Text, AfterValidator(_redis_host), UNSHOWN]  # may be a URL by mistake, with a password
DatabaseHost = Annotated[Text, AfterValidator(_database_host), UNSHOWN]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
Cidr = Annotated[str, AfterValidator(_cidr)]
HttpUrl = Annotated[str, AfterValidator(_http_url), Field(json_schema_extra={"format": "uri"})]
ProxyUrl = Annotated[SecretStr, AfterValidator(_proxy_url)]
Time = Annotated[str, Field(max_length=64), AfterValidator(_time)]
Pattern = Annotated[str, AfterValidator(_pattern), Field(json_schema_extra={"format": "regex"})]
Sha256 = Annotated[SecretStr, AfterValidator(_sha256)]
