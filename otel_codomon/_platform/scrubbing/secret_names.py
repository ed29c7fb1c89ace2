"""Names of variables, keys, options and headers that promise a secret."""

from __future__ import annotations

from typing import Final

from otel_codomon._platform.scrubbing.gate import compiled, words

_PARTS: Final = r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+"
# Words that promise one wherever they are in a name, also as its end: dbpassword.
_STRONG: Final = (
    *("password", "passwords", "passwd", "passphrase", "passcode", "secret", "secrets"),
    *("token", "apikey", "accesskey", "secretkey", "privatekey", "accountkey", "authkey"),
    *("credential", "credentials", "creds", "pwd", "sessionid", "sessid", "authorization"),
)
# Words that promise one where a name ends in them.
_LAST: Final = frozenset(
    ("pass", "tokens", "auth", "cookie", "cookies", "dsn", "jwt", "bearer", "otp", "totp", "sas")
)
_NO_PASS: Final = frozenset(
    ("bypass", "compass", "surpass", "trespass", "encompass", "overpass", "underpass")
)
# Short words that promise one after another word only: DB_PW, GITHUB_PAT.
_SECOND: Final = frozenset(("pw", "pat", "pwd"))
# What a key is called that opens something.
_SECRET_KEYS: Final = words(
    "access account admin aes api app application auth client consumer crypt crypto deploy "
    "encrypt encryption functions hmac ingest jwt license master private recovery root rsa "
    "secret server service session shared sign signing ssh storage subscription user webhook "
    "wrap wrapping write"
)
# In an environment *_KEY is one, but for what these words make of it.
_PLAIN_KEYS: Final = words(
    "public primary foreign sort partition cache index row object unique composite hash range "
    "group idempotency routing message dict map json i18n host known pub item field column "
    "attribute resource metric hot shift ctrl alt enter escape arrow registry lookup current "
    "next last first join ref lock"
)
# A name that ends in one of these says something of a secret, and holds none.
_DESCRIBING: Final = words(
    "type types count counts name names id ids length len size limit limits url uri file files "
    "path dir policy method methods mode expiry expires expiration expired ttl enabled disabled "
    "version usage format status provider scheme host port user username sock age algorithm alg "
    "kind field fields ref required valid validator manager store arn index budget "
    "stdin prompt env command cmd"
)
# Exactly these are folders of a shell, and not MySQL's password.
_FOLDERS: Final = frozenset(("PWD", "OLDPWD"))
_COUNTED: Final = ("tokens", "keys", "cookies", "secrets")
_HEADERS: Final = frozenset(("authorization", "cookie"))
# In the query of an address, and in a form, these are credentials too.
_QUERY: Final = frozenset(
    ("sig", "signature", "key", "hmac", "jwt", "ticket", "assertion", "sas", "otp", "pw", "auth")
)


def is_secret_name(name: str) -> bool:
    """Whether a variable or key of this name is likely to hold a secret."""
    if name in _FOLDERS:
        return False
    parts = [part.lower() for part in compiled(_PARTS).findall(name)]
    while parts and parts[-1].isdigit():
        parts.pop()
    if not parts or parts[-1] in _DESCRIBING:
        return False
    return any(part.endswith(_STRONG) for part in parts) or _ends_secretly(parts, name)


def is_count_name(name: str) -> bool:
    """Whether a number under this name is likely to count something: ``max_tokens``."""
    return name == "pass" or name.lower().endswith(_COUNTED)


def is_header_name(name: str) -> bool:
    """Whether it is a header whose whole line is a secret."""
    return _last_part(name) in _HEADERS


def is_query_name(name: str) -> bool:
    """Whether a parameter of an address of this name is a credential."""
    return _last_part(name) in _QUERY


def _last_part(name: str) -> str:
    parts = compiled(_PARTS).findall(name)
    return parts[-1].lower() if parts else ""


def _ends_secretly(parts: list[str], name: str) -> bool:
    last, before = parts[-1], parts[-2] if len(parts) > 1 else ""
    if last in _LAST or (last in _SECOND and before):
        return True
    if last.endswith("pass"):
        return last not in _NO_PASS
    if last in ("key", "keys") and before:
        return before in _SECRET_KEYS or (name.isupper() and before not in _PLAIN_KEYS)
    # Words that are written as one: PGPASS, mastersecretkey, signingkey.
    return last.endswith("key") and last[:-3] in _SECRET_KEYS
