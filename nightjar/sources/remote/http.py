"""Objects on web servers. fsspec is not used: it has no conditional requests and no If-Range.

HTTP semantics follow RFC 9110: validators in 8.8, conditions in 13, ranges in 14.
"""

from __future__ import annotations

import fnmatch
import glob
import html
import netrc
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from email.utils import parsedate_to_datetime
from functools import partial
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import httpx

from nightjar.config import StorageConfig
from nightjar.errors import SourceError
from nightjar.files import urls
from nightjar.files.asking import ask_within, web_client
from nightjar.sources.remote import silence
from nightjar.sources.remote.object_storage import (
    Body,
    Interrupted,
    ObjectChanged,
    ObjectVersion,
    RemoteObject,
    Rest,
)

_SILENT_SECONDS = 60.0
"""After this long without a byte, the connection counts as broken."""
_MAX_REDIRECTS = 10
_MAX_LISTING_BYTES = 64 << 20
_BUSY = frozenset((408, 421, 425, 429, 500, 502, 503, 504))
_GONE = frozenset((404, 410))
_REFUSED = frozenset((401, 403, 407))
_UPGRADED = ("http", None, "https", 443)
_ETAG = "etag"
_MODIFIED = "last-modified"
_LINK = re.compile(r"<a\s[^>]*?href\s*=\s*[\"']?([^\"'\s>]+)", re.IGNORECASE)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class HttpStorage:
    """Storage for ``http://`` and ``https://`` URLs."""

    def __init__(self, config: StorageConfig) -> None:
        self._headers = _headers_of(config.headers_env)
        self._redirect_hosts = frozenset(host.lower() for host in config.redirect_hosts)
        has_own = any(name.lower() == "authorization" for name in self._headers)
        try:
            self._client = web_client(_SILENT_SECONDS, None if has_own else _netrc())
        except ValueError as error:
            raise SourceError(str(error)) from None

    def find(self, url: str) -> list[RemoteObject]:
        """The object at ``url``, without a request; or those that match a glob in its last part."""
        parts = urlsplit(url)
        if not glob.has_magic(parts.path.replace("?", "")):
            return [_object(urlunsplit(parts._replace(fragment="")))]
        folder, _, pattern = parts.path.rpartition("/")
        if glob.has_magic(folder) or "**" in pattern or parts.query:
            raise SourceError(
                f"{url}: over http only the last part of a path may be a glob; name the URLs"
            )
        listing = urlunsplit(parts._replace(path=f"{folder}/", query="", fragment=""))
        found = [
            link
            for link in _links(self._page(listing, url), listing)
            if fnmatch.fnmatchcase(unquote(link.rpartition("/")[2]), unquote(pattern))
            and (pattern.startswith(".") or not link.rpartition("/")[2].startswith("."))
        ]
        if not found:
            raise SourceError(
                f"{url}: the page {listing} links to no such file; servers list folders as they "
                f"please: check the page, or name the URLs one by one"
            )
        return [_object(link) for link in found]

    @contextmanager
    def open(
        self, found: RemoteObject, known: ObjectVersion | None, rest: Rest | None
    ) -> Iterator[Body | None]:
        """See :class:`.object_storage.Storage`."""
        headers = {**_unless(known), **_range_of(rest)}
        with self._response(found.url, headers) as response:
            if response.status_code == httpx.codes.NOT_MODIFIED and known is not None:
                yield None
                return
            body = _body(found.url, response, rest)
            yield None if known is not None and known.is_of(body.version) else body

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _page(self, listing: str, url: str) -> str:
        content, pace = bytearray(), silence.Pace()
        try:
            with self._response(listing, {}) as response:
                for piece in _pieces(listing, response):
                    content += piece
                    pace.count(len(piece))
                    if len(content) > _MAX_LISTING_BYTES:
                        raise SourceError(f"{listing}: is too long for a list of files")
        except SourceError as error:
            raise SourceError(
                f"{url}: its folder cannot be listed ({error}); name the URLs one by one"
            ) from None
        return content.decode("utf-8", "replace")

    @contextmanager
    def _response(self, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """The response after redirects, which lead to another server only if it is allowed.

        Credentials are only sent to the server of ``url``.
        """
        first = target = _parsed(url)
        for _ in range(_MAX_REDIRECTS + 1):
            own = self._headers if _origin(target) == _origin(first) else {}
            with closing(self._sent(url, target, {**own, **headers})) as response:
                if not response.has_redirect_location:
                    _check_status(url, response)
                    yield response
                    return
                target = _redirected(url, target, response.headers["location"])
                self._check_redirect(url, first, target)
        raise SourceError(f"{url}: is redirected more than {_MAX_REDIRECTS} times; check the URL")

    def _sent(self, url: str, target: httpx.URL, headers: Mapping[str, str]) -> httpx.Response:
        """The beginning of the answer of ``target``; its body is still to be read."""
        seconds = silence.SLOW_SECONDS
        with _translated(url):
            request = self._client.build_request("GET", target, headers=headers)
            send = partial(self._client.send, request, stream=True)
            try:
                return ask_within(seconds, send, httpx.Response.close)
            except TimeoutError:
                raise Interrupted(f"its answer did not begin in {seconds:.0f} s") from None

    def _check_redirect(self, url: str, own: httpx.URL, target: httpx.URL) -> None:
        """Raise SourceError unless ``target`` is on the server of ``url`` or an allowed one.

        Otherwise a web server could have us read what only this machine or its network reaches:
        a service on loopback, the credentials of a cloud machine (169.254.169.254).
        """
        scheme, host, port = _origin(target)
        is_own = host == own.host and (
            port == _origin(own)[2] or (own.scheme, own.port, scheme, port) == _UPGRADED
        )
        shown = f"[{host}]" if ":" in host else host
        if not is_own and not {shown, f"{shown}:{port}"} & self._redirect_hosts:
            raise SourceError(
                f"{url}: is redirected to {shown}:{port}, another server, which is not followed; "
                f"if you trust it, name it: storage: {{redirect_hosts: [{shown!r}]}}"
            )


def _netrc() -> httpx.NetRCAuth | None:
    """The users and passwords of ``~/.netrc``, if there is one."""
    path = os.environ.get("NETRC")
    try:
        return httpx.NetRCAuth(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = error.strerror
    except netrc.NetrcParseError as error:
        # Without its message, which may quote a password in the place of a keyword.
        reason = f"something near line {error.lineno} does not belong there"
    raise SourceError(f"{path or '~/.netrc'}: cannot be read ({reason}); mend it")


def _headers_of(variables: Mapping[str, str]) -> dict[str, str]:
    missing = sorted({name for name in variables.values() if not os.environ.get(name)})
    if missing:
        raise SourceError(
            f"the environment variable {missing[0]}, which storage.headers_env names, is not set"
        )
    headers = {header: os.environ[variable].strip() for header, variable in variables.items()}
    for header, value in headers.items():
        if not value.isascii() or not value.isprintable():
            raise SourceError(
                f"the environment variable {variables[header]} holds characters that no header has"
            )
    return headers


def _object(url: str) -> RemoteObject:
    return RemoteObject(url, urls.http_place(url))


def _links(page: str, listing: str) -> Iterator[str]:
    """URLs of files directly below ``listing``, without repetition."""
    seen = set()
    base = urlsplit(listing)
    for found in _LINK.finditer(page):
        try:
            parts = urlsplit(urljoin(listing, html.unescape(found[1])))
        except ValueError:
            continue  # not a URL
        folder, _, name = parts.path.rpartition("/")
        is_below = (parts.scheme, parts.netloc, f"{folder}/") == base[:3]
        if is_below and name and not parts.query and name not in seen:
            seen.add(name)
            yield urlunsplit(parts._replace(fragment=""))


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, port


def _parsed(url: str) -> httpx.URL:
    """Raises SourceError for a URL whose host no name can be."""
    with _translated(url):
        parsed = httpx.URL(url)
        _ = parsed.host  # decodes a name in another script
        return parsed


def _redirected(url: str, current: httpx.URL, location: str) -> httpx.URL:
    try:
        target = current.join(location)
        host = target.host  # decodes a name in another script
    except (httpx.InvalidURL, ValueError):
        raise SourceError(
            f"{url}: is redirected to something that is no URL; check the URL in a browser"
        ) from None
    if target.scheme not in urls.HTTP_SCHEMES or (current.scheme, target.scheme) == (
        "https",
        "http",
    ):
        raise SourceError(
            f"{url}: is redirected to {target.scheme}://{host}, which is not followed"
        )
    return target


def _check_status(url: str, response: httpx.Response) -> None:
    code = response.status_code
    if code in _BUSY:
        asked = response.headers.get("retry-after", "")
        raise Interrupted(
            f"the server answers {code} {response.reason_phrase}".rstrip(),
            float(asked) if asked.isdecimal() and len(asked) < 6 else 0.0,
        )
    if code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise ObjectChanged("the object is shorter than what was fetched of it")
    if code in _GONE:
        raise SourceError(f"{url}: there is no such object ({code}); check the URL")
    if code in _REFUSED:
        scheme = urls.scheme_of(url)
        raise SourceError(
            f"{url}: the server refuses access ({code}); {urls.credentials_hint(scheme)}"
        )
    if code not in (200, 206, 304):
        raise SourceError(f"{url}: the server answers {code}; check the URL in a browser")


def _body(url: str, response: httpx.Response, rest: Rest | None) -> Body:
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise SourceError(f"{url}: the server encodes what it sends as {encoding!r}")
    if "gzip" in encoding and not response.url.path.endswith((".gz", ".tgz")):
        raise SourceError(
            f"{url}: the server compresses what it sends, although it was asked not to; have it "
            f"send the file as it is, or name it .gz"
        )
    version = _version(response)
    if response.status_code == httpx.codes.PARTIAL_CONTENT:
        rest = _checked_range(response, version, rest)
        return Body(rest.version, rest.start, _pieces(url, response))
    return Body(version, 0, _pieces(url, response))


def _checked_range(response: httpx.Response, version: ObjectVersion, rest: Rest | None) -> Rest:
    """Return ``rest``. Raises ObjectChanged if the response has another range or version."""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    if rest is None or found is None or int(found[1]) != rest.start:
        raise ObjectChanged("the server sends another part than it was asked for")
    n_bytes = rest.version.n_bytes
    is_same_size = n_bytes is None or found[2] == "*" or int(found[2]) == n_bytes
    if version.marks != rest.version.marks or not is_same_size:
        raise ObjectChanged("the object changed while it was fetched")
    return rest


def _version(response: httpx.Response) -> ObjectVersion:
    length = response.headers.get("content-length", "")
    n_bytes = int(length) if length.isdecimal() and response.status_code == 200 else None
    etag = response.headers.get(_ETAG, "")
    if _can_be_sent(etag):
        return ObjectVersion({_ETAG: etag}, n_bytes, is_exact=not etag.startswith("W/"))
    modified = response.headers.get(_MODIFIED, "")
    if _can_be_sent(modified) and _is_past(modified, response.headers.get("date", "")):
        return ObjectVersion({_MODIFIED: modified}, n_bytes)
    return ObjectVersion({}, n_bytes, is_exact=False)


def _can_be_sent(mark: str) -> bool:
    """Whether a later request can carry the mark; servers may send any bytes as one."""
    return mark != "" and mark.isascii() and mark.isprintable()


def _is_past(modified: str, date: str) -> bool:
    """Whether the object cannot have changed again within that second (RFC 9110, 8.8.2.2)."""
    try:
        return (parsedate_to_datetime(date) - parsedate_to_datetime(modified)).total_seconds() >= 1
    except (TypeError, ValueError):
        return False


def _unless(known: ObjectVersion | None) -> dict[str, str]:
    marks = {} if known is None else known.marks
    names = {_ETAG: "If-None-Match", _MODIFIED: "If-Modified-Since"}
    return {
        names[name]: value for name, value in marks.items() if name in names and _can_be_sent(value)
    }


def _range_of(rest: Rest | None) -> dict[str, str]:
    if rest is None:
        return {}
    (mark,) = rest.version.marks.values()
    if not _can_be_sent(mark):
        return {}  # from the beginning: what changed meanwhile would not be noticed
    return {"Range": f"bytes={rest.start}-", "If-Range": mark}


def _pieces(url: str, response: httpx.Response) -> Iterator[bytes]:
    connection = response.extensions["network_stream"].get_extra_info("socket")
    with _translated(url):
        # As they arrive: with a fixed size, data before an interruption would be lost.
        yield from silence.Stall(connection).each(response.iter_raw())


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Translate errors of the library to ours, unchained: their text may contain secrets."""
    try:
        yield
    except httpx.RequestError as error:
        reason = urls.redacted(str(error)) or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            raise SourceError(
                f"{url}: the server's certificate is not trusted ({reason}); name the file of "
                f"your own authority in the environment variable SSL_CERT_FILE"
            ) from None
        raise Interrupted(reason) from None
    except (httpx.InvalidURL, UnicodeError) as error:  # a host that cannot be a name
        raise SourceError(
            f"{url}: is no URL, or is redirected to what is none ({urls.redacted(str(error))}); "
            f"check the URL in a browser"
        ) from None
