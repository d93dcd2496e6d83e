"""Secrets in evidence, replaced by placeholders that say their kind.

Command lines, headers and requests in logs hold passwords, tokens, cookies and keys of the victims, and so do the
arguments that a scanned artefact would call with.  Whatever leaves passes here: the secret becomes ``[masked:KIND]``,
the rest of the text stays as it is.  The evidence itself is never changed; ``casemate record`` prints the original.

Every pattern begins at a fixed word or prefix and its repetitions are possessive or bounded, so
time grows with the length of the text and no hostile record can make it grow faster.  A secret
without any sign of one (a password typed as a user name) cannot be told from other text.

Forms of tokens: RFC 6750 and 7617 (Authorization), RFC 7519 (JWT), RFC 7468 (PEM), and the prefixes
that the providers document for secret scanning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

KINDS: dict[str, str] = {
    "authorization": "value of an Authorization header",
    "aws_secret_key": "secret access key of AWS",
    "cookie": "value of a Cookie or Set-Cookie header",
    "jwt": "signed token (JSON Web Token)",
    "key": "key of an interface, account or signature",
    "password": "password or passphrase",
    "private_key": "private key in PEM form",
    "token": "access, session or refresh token",
}

NAMES: dict[str, str] = {
    # in the order of trying: the longer and the more telling first
    r"aws[_-]?secret[_-]?(?:access[_-]?)?key|secret[_-]?access[_-]?key": "aws_secret_key",
    r"private[_-]?key(?:[_-]?data)?|client[_-]?key[_-]?data": "private_key",
    r"pass(?:word|wd|phrase|code)s?|pwd|pswd|sshpass|pgpassword|requirepass|masterauth": "password",
    r"(?:access|refresh|session|security|auth|id|api|bearer|csrf|xsrf|personal|bot|sas)[_-]?tokens?"
    r"|sessionid|jsessionid|phpsessid|tokens?": "token",
    r"(?:api|account|shared|encryption|signing|storage|subscription|license|service)[_-]?(?:access[_-]?)?key"
    r"|shared[_-]?secret|client[_-]?secret|app[_-]?secret|webhook[_-]?secret|consumer[_-]?secret|secrets?"
    r"|x-amz-signature|signature|credentials?": "key",
}
"""Names that are followed by a secret (``name=value``, ``"name": "value"``, ``--name value``), and its kind."""

FIELDS: dict[str, str] = {
    "cookie": "cookie",
    "cookies": "cookie",
    "set_cookie": "cookie",
    "authorization": "authorization",
    "proxy_authorization": "authorization",
}
"""Columns and keys that are a secret as a whole, besides :data:`NAMES`."""

PREFIXES: tuple[str, ...] = (
    r"gh[pousr]_[A-Za-z0-9]{20,255}+",
    r"github_pat_[A-Za-z0-9_]{20,255}+",
    r"glpat-[A-Za-z0-9_.-]{16,255}+",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,255}+",
    r"sk-(?:ant-|proj-|or-|svcacct-)?[A-Za-z0-9_-]{20,255}+",
    r"sk_(?:live|test)_[A-Za-z0-9]{16,255}+",
    r"hf_[A-Za-z0-9]{20,255}+",
    r"npm_[A-Za-z0-9]{30,255}+",
    r"pypi-[A-Za-z0-9_-]{30,512}+",
    r"dckr_pat_[A-Za-z0-9_-]{20,255}+",
    r"hv[sb]\.[A-Za-z0-9_-]{20,512}+",
    r"AIza[A-Za-z0-9_-]{30,64}+",
    r"ya29\.[A-Za-z0-9_-]{20,2048}+",
    r"SG\.[A-Za-z0-9_-]{16,64}+\.[A-Za-z0-9_-]{16,128}+",
    r"(?:FwoGZXIvYXdz|IQoJb3JpZ2lu)[A-Za-z0-9/+=%]{40,4096}+",
)
"""Tokens known by how they begin."""

PRIVATE_KEY_CHARACTERS = 20_000
"""A private key whose end is missing is masked for at most so many characters."""

_Q = r"""(?:\\{0,4}["'`]|%22|&quot;)"""  # a quotation mark, escaped or not
_START = r"(?:(?<![A-Za-z0-9_\-])|(?<=%20)|(?<=%22)|(?<=%3[dD]))"
_MASKED = r"(?!\[masked:[a-z_]{1,20}\])"
_VALUE = (
    rf"(?:(?P<quote>\\{{0,4}}[\"'`]){_MASKED}(?P<quoted>(?:(?!(?P=quote))(?:\\[^\r\n]|[^\r\n\\])){{1,4096}}+)"
    rf"|{_MASKED}(?P<bare>[^\s\"'`\\&;,|<>(){{}}\[\]%][^\s\"'`\\&;,|<>(){{}}\[\]]{{0,4095}}+))"
)
_NAMED = [(re.compile(rf"(?:{names})\Z", re.IGNORECASE), kind) for names, kind in NAMES.items()]
_ANY_NAME = "|".join(NAMES)


_NAME_HINTS = ("pass", "pwd", "pswd", "auth", "tok", "sess", "key", "secret", "signature", "credential")
"""One of them is part of every name of :data:`NAMES`."""
REMEMBERED_CHARACTERS = 400


def _placeholder(kind: str) -> str:
    return f"[masked:{kind}]"


def _kind_of(name: str) -> str:
    return next(kind for pattern, kind in _NAMED if pattern.match(name))


def _private_keys(text: str) -> str:
    """Everything from a BEGIN line to its END line, or what can still be its body."""
    parts, at = [], 0
    for found in _BEGIN.finditer(text):
        if found.start() < at:
            continue
        end = _END.search(text, found.end(), found.end() + PRIVATE_KEY_CHARACTERS)
        body = _BODY.match(text, found.end(), found.end() + PRIVATE_KEY_CHARACTERS)
        stop = end.end() if end else body.end() if body else found.end()
        parts += [text[at : found.start()], _placeholder("private_key")]
        at = stop
    return "".join([*parts, text[at:]])


_BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(r"-----END (?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?-----")
_BODY = re.compile(r"(?:[A-Za-z0-9+/=\s]|\\[rn]|#012)*+")


def _named(found: re.Match[str]) -> str:
    secret = "quoted" if found["quoted"] is not None else "bare"
    whole = found.group(0)
    begin, end = found.start(secret) - found.start(), found.end(secret) - found.start()
    return whole[:begin] + _placeholder(_kind_of(found["name"])) + whole[end:]


def _after(kind: str) -> Callable[[re.Match[str]], str]:
    """Keep the group ``head``, mask what follows it."""
    return lambda found: found["head"] + _placeholder(kind)


def _flagged(found: re.Match[str]) -> str:
    secret = next(name for name in ("quoted", "bare") if found[name] is not None)
    return (
        found.group(0)[: found.start(secret) - found.start()]
        + _placeholder("password")
        + (found.group(0)[found.end(secret) - found.start() :])
    )


def _aws_like(found: re.Match[str]) -> str:
    """40 characters of base64 that are no hash, no path and no word."""
    text = found.group(0)
    mixed = (
        sum(map(str.isupper, text)) >= 5
        and sum(map(str.islower, text)) >= 5
        and any(map(str.isdigit, text))
        and text.count("/") <= 3
    )
    return _placeholder("aws_secret_key") if mixed else text


# Each: the words one of which must occur (lower case) for the pattern to be tried, the pattern, what it becomes.
_RULES: tuple[tuple[tuple[str, ...], re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (  # Authorization: SCHEME CREDENTIALS, in a header, JSON or a command line
        ("authorization", "x-api-key", "x-auth-token"),
        re.compile(
            rf"(?P<head>(?:proxy-)?(?:authorization|x-api-key|x-auth-token){_Q}?+\s{{0,4}}+(?:[:=]|%3[aA])(?:\s|%20){{0,4}}+{_Q}?+"
            rf"(?:(?:Bearer|Basic|Digest|Negotiate|NTLM|Token|ApiKey|AWS4-HMAC-SHA256)(?:\s|%20|\+){{1,4}}+)?+)"
            rf"{_MASKED}[^\r\n\"'`\\]{{1,8192}}+",
            re.IGNORECASE,
        ),
        _after("authorization"),
    ),
    (
        ("cookie",),
        re.compile(
            rf"(?P<head>(?<![A-Za-z0-9])(?:set-)?cookie2?s?{_Q}?+\s{{0,4}}+(?::|=|%3[aA])(?:\s|%20){{0,4}}+{_Q}?+)"
            rf"{_MASKED}[^\r\n\"'`\\]{{1,8192}}+",
            re.IGNORECASE,
        ),
        _after("cookie"),
    ),
    (
        ("bearer",),
        re.compile(
            rf"(?P<head>{_START}Bearer(?:\s|%20|\+){{1,4}}+){_MASKED}(?=[A-Za-z._~+/=-]{{0,64}}[0-9._~+/=])"
            r"[A-Za-z0-9._~+/=-]{8,}+",
            re.IGNORECASE,
        ),
        _after("token"),
    ),
    (
        ("eyj",),
        re.compile(rf"{_START}eyJ[A-Za-z0-9_-]{{5,}}+\.[A-Za-z0-9_-]{{4,}}+(?:\.[A-Za-z0-9_-]*+){{0,3}}"),
        lambda found: _placeholder("jwt"),
    ),
    (
        (
            "gh",
            "glpat-",
            "xox",
            "sk-",
            "sk_",
            "hf_",
            "npm_",
            "pypi-",
            "dckr_pat_",
            "hvs.",
            "hvb.",
            "aiza",
            "ya29.",
            "sg.",
            "fwogzxivyxdz",
            "iqojb3jpz2lu",
        ),
        re.compile(rf"{_START}(?:{'|'.join(PREFIXES)})"),
        lambda found: _placeholder("token"),
    ),
    (  # name=value, name: value, "name": "value", also escaped once more
        _NAME_HINTS,
        re.compile(
            rf"(?P<name>{_ANY_NAME}){_Q}?+\s{{0,4}}+(?:=|:|%3[dD])\s{{0,4}}+(?:=|>)?+\s{{0,2}}+{_VALUE}", re.IGNORECASE
        ),
        _named,
    ),
    (  # --name value, -Name value, /name value
        _NAME_HINTS,
        re.compile(
            rf"(?<![A-Za-z0-9])(?:--?|/)(?:[A-Za-z0-9]{{1,20}}-){{0,3}}(?P<name>{_ANY_NAME})\s{{1,4}}(?![-/]){_VALUE}",
            re.IGNORECASE,
        ),
        _named,
    ),
    (  # scheme://user:password@host
        ("://",),
        re.compile(r"(?P<head>://[^\s/:@\"'<>]{0,256}+:)(?!\[masked:)[^\s/@\"'<>]{1,1024}+(?=@)"),
        _after("password"),
    ),
    (  # openssl -pass pass:x, -passin pass:x
        ("pass:",),
        re.compile(r"(?P<head>(?<![A-Za-z0-9])pass:)(?!\[masked:)[^\s\"'`]{1,1024}+"),
        _after("password"),
    ),
    (  # curl -u user:password, wget and others
        ("-u", "--user"),
        re.compile(
            r"(?P<head>(?<![\w-])(?:-u|--(?:proxy-)?user)(?:\s{1,4}|=)[\"']?[^\s:\"']{1,256}+:)(?!\[masked:)[^\s\"'`]{1,1024}+"
        ),
        _after("password"),
    ),
    (  # sshpass -p, mysql -pX, psexec -p X, smbclient ... -p X: only after a program that takes a password so
        (
            "sshpass",
            "mysql",
            "mariadb",
            "psexec",
            "paexec",
            "xfreerdp",
            "rdesktop",
            "plink",
            "pscp",
            "redis-cli",
            "crackmapexec",
            "netexec",
            "nxc ",
            "evil-winrm",
            "mongo",
            "7z",
        ),
        re.compile(
            r"(?P<head>\b(?:sshpass|mysql\w{0,12}|mariadb\w{0,12}|psexec(?:64)?|paexec|xfreerdp|rdesktop|plink|pscp|redis-cli"
            r"|crackmapexec|netexec|nxc|evil-winrm|mongo\w{0,8}|7za?|7zr|7zz)(?:\.exe)?[\"']?\s[^\r\n|;&]{0,200}?"
            r"(?<=[\s\"'])(?:-pw(?=\s)|-p|/p:|-a|-hp)(?:\s{0,4}))"
            rf"(?![-\s]){_VALUE}",
            re.IGNORECASE,
        ),
        _flagged,
    ),
    (  # net user NAME PASSWORD, net use \\host\share PASSWORD /user:x, New-Object ... ConvertTo-SecureString "x"
        ("net ", "net.exe", "net1", "convertto-securestring"),
        re.compile(
            r"(?P<head>(?:\bnet1?(?:\.exe)?[\"']?\s{1,4}user\s{1,4}(?![/-])\S{1,128}+\s{1,4}(?![/-])"
            r"|\bnet1?(?:\.exe)?[\"']?\s{1,4}use\s{1,4}(?:[A-Za-z*]:?\s{1,4})?\\\\\S{1,256}+\s{1,4}(?![/-])"
            r"|ConvertTo-SecureString\s{1,4}(?:-String\s{1,4})?(?![-$(])))" + _VALUE,
            re.IGNORECASE,
        ),
        _flagged,
    ),
    (
        ("",),
        re.compile(r"(?<![A-Za-z0-9/+_])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=_-])"),
        _aws_like,
    ),
)


def mask(text: str) -> str:
    """`text` with every secret that can be recognised replaced; masking twice changes nothing more."""
    # titles, patterns and most values come again and again
    return _remembered(text) if len(text) <= REMEMBERED_CHARACTERS else _masked(text)


def mask_quoted(text: str) -> str:
    """Like :func:`mask`, for text that was cut short: a token that begins at its very end is masked too."""
    return _CUT_TOKEN.sub(_placeholder("token"), mask(text))


_CUT_TOKEN = re.compile(
    rf"{_START}(?:(?:gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|sk[-_]|hf_|npm_|pypi-|dckr_pat_|hv[sb]\.|ya29\.)"
    r"(?=[A-Za-z_.-]{0,64}[0-9])[A-Za-z0-9_.-]{4,}+|AIza[A-Za-z0-9_-]{6,}+|eyJ[A-Za-z0-9_-]{8,}+)"
    r"(?=[\"'.)\]]{0,6}+\Z)"
)


@lru_cache(maxsize=8_192)
def _remembered(text: str) -> str:
    return _masked(text)


def _masked(text: str) -> str:
    lowered = text.lower()
    if "private key" in lowered:
        text = _private_keys(text)
    for words, pattern, becomes in _RULES:
        if any(word in lowered for word in words):
            text = pattern.sub(becomes, text)
    return text


@lru_cache(maxsize=8_192)
def secret_field(name: str) -> str | None:
    """The kind of secret a column or key of that name holds as a whole, None if it does not."""
    last = re.split(r"[.\[\]/]", name.strip().lower())[-1]
    plain = last.replace("-", "_")
    if plain in FIELDS:
        return FIELDS[plain]
    for pattern, kind in _NAMED:
        if pattern.match(last):
            return kind
    return next((kind for ending, kind in _ENDINGS if plain.endswith(ending)), None)


_ENDINGS = (("_password", "password"), ("_passwd", "password"), ("_secret", "key"), ("_api_key", "key"))


def mask_value(value: Any, name: str | None = None) -> Any:
    """JSON values with every text masked; the value of a key that names a secret is masked as a whole.

    A reason for a match that speaks of a field (``{"field": "password", "value": ...}``) is one about
    that field.
    """
    if isinstance(value, str):
        kind = secret_field(name) if name is not None else None
        return _placeholder(kind) if kind is not None and value else mask(value)
    if isinstance(value, Mapping):
        about = value.get("field")
        about = about if isinstance(about, str) and secret_field(about) else None
        return {
            mask(str(key)): mask_value(item, about if about and key in ("value", "pattern") else str(key))
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [mask_value(item, name) for item in value]
    return value
