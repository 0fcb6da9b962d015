"""URLs of sources: the supported schemes, and keeping secrets out of messages."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import parse_qsl, unquote, urlsplit

from nightjar.files.listening import is_loopback

FILE_SCHEME = "file"
HTTP_SCHEMES = frozenset(("http", "https"))
FAMILIES = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gs",
    "gcs": "gs",
    "az": "az",
    "abfs": "az",
    "abfss": "az",
    "http": "http",
    "https": "http",
}
"""The kind of storage for each scheme."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/]*)")
_SECRET_NAME = re.compile(
    r"(^|[^a-z])(sig|auth|key|pwd|jwt)([^a-z]|$)"
    r"|signature|authorization|secret|passw|credential|token([^a-z]|$)|apikey|accesskey"
)
# A password may hold a slash that should have been escaped; a port is none.
_USER = re.compile(r"://(?:[^\s/?#]*@|[^\s/?#@:]*:(?!\d+/)[^\s@'\"]*@)")
_LOGIN = re.compile(r"(?:[a-z][a-z0-9+.-]*)://(?:[^\s/?#@:]*:(?!\d+/)[^\s@'\"]*@)", re.IGNORECASE)
_WEB_USER = re.compile(r"https?://[^\s/?#]*@", re.IGNORECASE)
_PARAMETER = re.compile(r"[?&;]([^\s=&;?]+)=")
_QUERY = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>?]+)\?[^\s'\"<>]*")
_PLAIN_HOST = re.compile(r"(?!.*xn--)(?=.*[a-z])[a-z0-9._-]+")
_INDEX_NAME = "index.html"
_MAX_NAME_BYTES = 200


def scheme_of(pattern: str) -> str:
    """The scheme of a URL, in lower case; "" for a path."""
    found = _SCHEME.match(pattern)
    return found[1].lower() if found else ""


def is_remote(pattern: str) -> bool:
    """Whether it has to be fetched."""
    return scheme_of(pattern) in FAMILIES


def local_path(pattern: str) -> str:
    """The path in a ``file://`` URL; anything else unchanged."""
    if scheme_of(pattern) != FILE_SCHEME:
        return pattern
    return unquote(_SCHEME.sub("", pattern, count=1).removeprefix("localhost"))


def is_secret_name(name: str) -> bool:
    """Whether a value with that name is likely to be a credential."""
    return _SECRET_NAME.search(name.lower()) is not None


def check_url(url: str) -> None:
    """Raise ValueError for an unknown scheme, a credential in the URL, or a missing name.

    The message quotes no part of the URL that may be secret.
    """
    scheme = scheme_of(url)
    if scheme and scheme != FILE_SCHEME and scheme not in FAMILIES:
        known = ", ".join(f"{name}://" for name in ("file", *FAMILIES))
        raise ValueError(f"{scheme}:// is not supported; there are {known}")
    found = _AUTHORITY.match(url)
    authority = found[1] if found else ""
    # A secret may contain a slash; then what looks like the bucket contains a colon.
    is_plain = "@" not in authority or FAMILIES.get(scheme) == "az"
    if not is_plain or (scheme not in HTTP_SCHEMES and ":" in authority):
        raise ValueError(
            "a user or password in a URL would end up in logs; keep it out of the config: "
            + credentials_hint(scheme)
        )
    if scheme == FILE_SCHEME and authority not in ("", "localhost"):
        raise ValueError("a file:// URL has three slashes, as in file:///data/a.txt")
    if scheme in HTTP_SCHEMES:
        _check_http_url(url)
    elif scheme in FAMILIES and not authority:
        raise ValueError(f"{scheme}:// is followed by a bucket or container")


def has_place(url: str) -> bool:
    """Whether after the scheme of ``url`` come a possible host and perhaps a port."""
    try:
        parts = urlsplit(url)
        return _is_host(parts.hostname or "") and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def is_on_loopback(url: str) -> bool:
    """Whether only this machine has the server of ``url``."""
    return has_place(url) and is_loopback(urlsplit(url).hostname or "")


def _check_http_url(url: str) -> None:
    if not has_place(url):
        raise ValueError("this is no URL: after the scheme come a host and perhaps a port")
    parts = urlsplit(url)
    for name, _value in parse_qsl(parts.query, keep_blank_values=True):
        if is_secret_name(name):
            raise ValueError(
                f"the query parameter {name!r} looks like a credential, which would end up in "
                f"logs; keep it out of the config: {credentials_hint(parts.scheme)}"
            )


def _is_host(host: str) -> bool:
    """Whether a host may have this name or address, so that a client does not stumble over it."""
    if host == "" or ":" in host:
        return host != ""  # urlsplit has looked at an IPv6 address
    try:
        name = host if _PLAIN_HOST.fullmatch(host) else _ascii_host(host)
        name.encode("idna")  # no empty and no long label
    except ValueError:
        return False
    return True


def _ascii_host(host: str) -> str:
    """A name in another script, or an IPv4 address, as it is asked for. Raises ValueError."""
    import httpx  # noqa: PLC0415 (rarely needed, and slow)

    try:
        parsed = httpx.URL(f"http://{host}/")
        _ = parsed.host  # decodes the name
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from None
    return parsed.raw_host.decode("ascii")


def checked_database_url(url: str) -> str:
    """A database's ``url``. Raises ValueError, without quoting it, when it has a secret."""
    found = _AUTHORITY.match(url)
    if found is None:
        raise ValueError("is a URL, as in postgresql://reader@host/base or sqlite:///file.db")
    user, at, _host = found[1].rpartition("@")
    names = [name for name, _value in parse_qsl(url.partition("?")[2], keep_blank_values=True)]
    if (at and ":" in user) or any(map(is_secret_name, names)):
        raise ValueError(
            "a password in a URL would end up in logs; keep it out of the config: set PGPASSWORD "
            "(or ~/.pgpass) for PostgreSQL, or put the whole URL into an environment variable "
            "and name that in url_env"
        )
    return url


def credentials_hint(scheme: str) -> str:
    """Where the credentials for URLs of ``scheme`` belong."""
    return {
        "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile of "
        "~/.aws in storage.profile",
        "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or log in with gcloud",
        "az": "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME and "
        "AZURE_STORAGE_ACCOUNT_KEY",
    }.get(
        FAMILIES.get(scheme, ""),
        "set an environment variable and name it in storage.headers_env, or use ~/.netrc",
    )


def redacted(text: str) -> str:
    """``text`` with users, passwords and queries removed from its URLs."""
    return _QUERY.sub(r"\1?...", _USER.sub("://", text))


def has_secret(text: str) -> bool:
    """Whether a URL in ``text`` has a password, a token as its user, or a parameter like those."""
    if _LOGIN.search(text) or _WEB_USER.search(text):
        return True
    return "://" in text and any(is_secret_name(name) for name in _PARAMETER.findall(text))


def http_place(url: str) -> PurePosixPath:
    """Host, folders and name in an http URL, with its query as one more folder."""
    parts = urlsplit(url)
    *folders, name = (unquote(part) for part in parts.path.removeprefix("/").split("/"))
    folders = [file_name(folder) for folder in folders]
    query = [file_name(f"?{parts.query}")] if parts.query else []
    return PurePosixPath(parts.hostname or "", *folders, *query, file_name(name or _INDEX_NAME))


def file_name(name: str) -> str:
    """``name`` as a valid file name: no slash, neither empty nor too long, with the end kept."""
    if name in ("", ".", ".."):
        return name.replace(".", "_") or "_"
    safe = name.replace("/", "_").replace("\0", "_")
    if len(safe.encode("utf-8", "surrogateescape")) <= _MAX_NAME_BYTES:
        return safe
    return safe.encode("utf-8", "replace")[-_MAX_NAME_BYTES:].decode("utf-8", "ignore")
