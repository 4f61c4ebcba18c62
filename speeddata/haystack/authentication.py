"""Logging in: Project Haystack's handshake, from a user's name and password to a token for its session.

Three requests on a connection of their own: HELLO, and the two messages of SCRAM (RFC 5802, RFC 7677), after
the chapter Auth of docHaystack. The password itself leaves only under TLS, for servers without SCRAM.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from speeddata.errors import DataError, PeerError, UsageError
from speeddata.haystack import zinc
from speeddata.haystack.patience import Outage
from speeddata.haystack.refusals import refusal_of
from speeddata.haystack.transport import Answer, Transport, brief

if TYPE_CHECKING:
    from scramp import ScramClient

MAX_ITERATIONS = 2_000_000  # of PBKDF2: more would only keep this machine busy
_MAX_HEADER = 8192  # characters of what a server says about logging in
_HASHES = {"SHA-512": "SCRAM-SHA-512", "SHA-256": "SCRAM-SHA-256"}  # the better one first
_SESSIONS = "MaxSessions"

_TOKEN = re.compile(r"[!-+\--~]{1,4096}")  # visible ASCII without the comma that divides parameters
_PLAIN = re.compile(r"[ -+\--<>-~]*")  # ASCII without `,` and `=`: the same before and after preparing
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110, section 5.6.2
_PIECE = re.compile(rf"(?:({_WORD})(?:\s+|$))?(?:({_WORD})=(.*))?", re.DOTALL)


class WrongPassword(PeerError):
    """The server does not know this user with this password."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to log in that a server offers: its scheme in lower case, and its parameters by such names."""

    scheme: str
    parameters: dict[str, str]


def challenges(header: str) -> list[Challenge]:
    """What `WWW-Authenticate` or, with one nameless scheme, `Authentication-Info` says.

    Values may contain `=`, which is why the first one divides; what makes no sense is left out.

    Raises:
        ValueError: it is longer than anything that makes sense.
    """
    if len(header) > _MAX_HEADER:
        raise ValueError("too long")
    found: list[Challenge] = []
    for piece in header.split(","):
        if not (match := _PIECE.fullmatch(piece.strip())):
            continue
        scheme, name, value = match.groups()
        if scheme or (name and not found):
            found.append(Challenge((scheme or "").lower(), {}))
        if name:
            found[-1].parameters[name.lower()] = value.strip().strip('"')
    return found


def login(transport: Transport, password: str) -> str:
    """A token for a new session of the transport's user.

    A broken handshake is begun anew, as `Transport.request` does with requests.

    Raises:
        WrongPassword: the server does not know this user with this password.
        PeerError: it cannot be reached, is no Haystack server, or lets nobody in now.
        UsageError: scramp is not installed.
    """
    try:
        import scramp  # noqa: F401
    except ImportError:
        raise UsageError(
            "needs scramp, which is not installed", mend="pip install 'speeddata[haystack]'"
        ) from None
    as_typed = _Handshake(transport, password, as_typed=True)
    try:
        return transport.patience.through(as_typed.token)
    except PeerError as exc:  # a server that does as RFC 5802 says may not even understand it
        prepared = _Handshake(transport, password, as_typed=False)
        if isinstance(exc, Outage) or not prepared.differs():
            raise
    return transport.patience.through(prepared.token)


class _AsTyped:
    """A name or password for scramp as it was typed, neither prepared (SASLprep) nor escaped.

    RFC 5802 asks for both, and Haxall for neither: there `a,b` logs in by that spelling alone, and letters
    such as `µ` would not be the ones that the password was set with.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def escape(self) -> str:
        return self._text

    def __bytes__(self) -> bytes:
        return self._text.encode()


class _Handshake:
    """One login, with name and password as typed or as RFC 5802 has them."""

    def __init__(self, transport: Transport, password: str, *, as_typed: bool) -> None:
        self._transport, self._password, self._as_typed = transport, password, as_typed
        self._user, self._where = transport.target.user, transport.target.origin
        self._is_plain = bool(_PLAIN.fullmatch(self._user) and _PLAIN.fullmatch(password))

    def differs(self) -> bool:
        """Whether preparing and escaping change the name or the password."""
        from scramp import ScramException

        if self._is_plain:
            return False
        try:
            client = self._scram("SHA-256")
        except ScramException:  # characters that SASLprep forbids
            return False
        return client.username.escape() != self._user or bytes(client.password) != self._password.encode()

    def token(self) -> str:
        with self._transport.fresh():
            hello = self._get(f"HELLO username={_encoded(self._user)}")
            offers = self._offers(hello)
            scram = {
                offer.parameters.get("hash", "SHA-256").upper(): offer.parameters
                for offer in offers
                if offer.scheme == "scram"
            }
            for hash_name in _HASHES:
                if hash_name in scram:
                    return self._by_scram(hash_name, scram[hash_name])
            if not scram and any(offer.scheme == "plaintext" for offer in offers):
                return self._by_plaintext()
        hashes = [f"scram with {name}" for name in scram]
        names = ", ".join(hashes + [each.scheme for each in offers if each.scheme != "scram"]) or "nothing"
        raise self._problem(f"offers no way to log in that is known here, but {brief(names, 80)}")

    def _offers(self, hello: Answer) -> list[Challenge]:
        if hello.status == 403:
            self._refuse()
        if hello.status == 401:
            return self._said(hello, "WWW-Authenticate")
        if 300 <= hello.status < 400:
            what = "sends on to another address, which is not followed with a password"
        elif hello.status == 200:
            what = "lets in without asking who it is"
        else:
            what = f"answers {hello.status} {brief(hello.reason, 80)}".rstrip()
        raise self._problem(
            f"no login of a Haystack server at {self._transport.target.path}: {what}",
            mend="give the whole base address, such as https://host/api/demo",
        )

    def _by_plaintext(self) -> str:
        if not self._transport.target.secure:
            raise self._problem(
                "wants the password in clear text, which leaves only under TLS", mend="use https://"
            )
        name, password = _encoded(self._user), _encoded(self._password)
        return self._token_of(self._get(f"PLAINTEXT username={name}, password={password}"))[0]

    def _by_scram(self, hash_name: str, parameters: Mapping[str, str]) -> str:
        from scramp import ScramException

        try:
            client = self._scram(hash_name)
            first = self._get(_scram_message(client.get_client_first(), parameters))
            if first.status == 403:
                self._refuse()
            if first.status != 401:
                self._reject(first)
            said = next(
                (s.parameters for s in self._said(first, "WWW-Authenticate") if s.scheme == "scram"), {}
            )
            client.set_server_first(_decoded(said.get("data", "")))
            if int(client.iterations) > MAX_ITERATIONS:
                raise self._problem(f"asks for {client.iterations} rounds of hashing, beyond any use")
            final = self._get(_scram_message(client.get_client_final(), {**parameters, **said}))
            token, data = self._token_of(final)
        except (ScramException, ValueError) as exc:
            raise self._problem(f"its part of the login is wrong ({brief(str(exc), 120)})") from exc
        try:
            client.set_server_final(_decoded(data))
        except (ScramException, ValueError) as exc:
            raise self._problem(
                "does not prove that it knows the password", mend="is it the right server?"
            ) from exc
        return token

    def _scram(self, hash_name: str) -> ScramClient:
        from scramp import ScramClient

        mechanisms = [_HASHES[hash_name]]
        if self._is_plain or not self._as_typed:
            return ScramClient(mechanisms, self._user, self._password)
        client = ScramClient(mechanisms, "user", "password")
        client.username, client.password = _AsTyped(self._user), _AsTyped(self._password)
        return client

    def _get(self, authorization: str) -> Answer:
        headers = {"Authorization": authorization, "Accept": "text/zinc"}
        return self._transport.once("GET", "about", headers=headers)

    def _token_of(self, answer: Answer) -> tuple[str, str]:
        """The token, and the server's proof that goes with it or an empty text."""
        if answer.status in (401, 403):
            self._refuse()
        said = [each.parameters for each in self._said(answer, "Authentication-Info")]
        found = next((each for each in said if "authtoken" in each), {})
        token = found.get("authtoken", "")
        if answer.status != 200 or not token:
            self._reject(answer)
        if not _TOKEN.fullmatch(token):
            raise self._problem("gives a token that cannot be one")
        return token, found.get("data", "")

    def _said(self, answer: Answer, header: str) -> list[Challenge]:
        try:
            return challenges(answer.headers.get(header, ""))
        except ValueError as exc:
            raise self._problem(f"its header {header} is {exc}") from None

    def _refuse(self) -> NoReturn:
        raise WrongPassword(
            f"refuses user '{self._user}' with this password",
            where=self._where,
            mend="check --user and the password",
        )

    def _reject(self, answer: Answer) -> NoReturn:
        """Say why *answer* is not the next step; an error may come as a grid, with status 200."""
        try:
            refusal = refusal_of(zinc.read(answer.text)) if answer.status == 200 else None
        except DataError:
            refusal = None
        if refusal is None:
            status = f"{answer.status} {brief(answer.reason, 80)}".rstrip()
            raise self._problem(f"breaks off the login with {status}")
        if _SESSIONS in refusal.kind or _SESSIONS in refusal.text:
            raise self._problem(
                f"user '{self._user}' has no more sessions there",
                mend="close some on the server, or wait until unused ones end there (hours); "
                "programs that do not close theirs use them up",
            )
        raise self._problem(f"lets nobody in now: {brief(refusal.text)}")

    def _problem(self, what: str, mend: str = "") -> PeerError:
        return PeerError(what, where=self._where, mend=mend)


def _scram_message(data: str, parameters: Mapping[str, str]) -> str:
    token = parameters.get("handshaketoken", "")
    if token and not _TOKEN.fullmatch(token):
        raise ValueError("a handshakeToken that cannot be one")
    return f"SCRAM {f'handshakeToken={token}, ' if token else ''}data={_encoded(data)}"


def _encoded(text: str) -> str:
    """*text* in base64url (RFC 4648, section 5) without padding."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decoded(text: str) -> str:
    """The text in *text*, base64 or base64url, padded or not.

    Raises:
        ValueError: it is neither.
    """
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError("data that is no base64 of text") from None
