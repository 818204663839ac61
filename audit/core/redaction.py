"""Secrets are taken out of everything that is written down: audit entries, logs, traces.

Three nets, one after the other: values under a name that says secret (`password`, `Authorization`, `cookie`), texts
that look like a known kind of key, and literal secrets that somebody has registered. What is caught reads `[REDACTED]`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from audit.core.canonical import JSON, SCALARS, plain, plain_text

MASK = "[REDACTED]"
MIN_LITERAL = 6  # a shorter "secret" would tear holes into ordinary words

# Of a mapping that is redacted in one pass: below what `plain` would cut, and cheap to begin in vain.
_LEVELS, _MEMBERS, _LENGTH = 3, 100, 1000

_SHORTEST_WORD = 14  # `whsec_` and eight more: no known kind of key is a shorter word

_SECRET_NAME = re.compile(
    r"(?:^|[_\-. ])(?:"
    r"pass(?:word|wd|phrase|code)?|pwd|secrets?|credentials?|authorization|auth|cookies?|"
    r"(?:api|access|private|secret|master|signing|encryption|shared|account|subscription)[_\-. ]?key|"
    r"(?:access|refresh|id|auth|session|bearer|csrf|api|bot)?[_\-. ]?token|sas|dsn|otp|pin"
    r")$",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# The end of a name to which a secret is assigned inside of a text.
_ASSIGNED = (
    r"(?i)((?:passw(?:or)?d|passphrase|pwd|secret|(?:api|access|private|secret)[_\-]?key|[_\-]token"
    r"|(?<![a-z])(?:token|auth))"
)

# What a text must contain, in lower case → the pattern to try then. Looking for a word is much cheaper.
# Repetitions that other matches can start in are bounded: a hostile text must not make the search quadratic.
_PATTERNS: tuple[tuple[str, re.Pattern[str], str], ...] = tuple(
    (hint, re.compile(pattern, flags), replacement)
    for hint, pattern, flags, replacement in (
        # Whole blocks first, so that no pattern below leaves half of one behind.
        (
            "-----begin",
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*-----|\Z)",
            re.S,
            MASK,
        ),
        ("eyj", r"\beyJ[\w-]{8,1000}\.[\w-]{8,}(?:\.[\w-]*){0,3}", 0, MASK),
        # Header lines, in texts and in command lines.
        ("cookie", r"(?i)\b((?:set-)?cookie[\"']?\s*[:=]\s*[\"']?)[^\r\n\"']+", 0, r"\1" + MASK),
        (
            "authorization",
            r"(?i)\b(authorization[\"']?\s*[:=]\s*+[\"']?+)(?!\[REDACTED\])[^\r\n\"',}]+",
            0,
            r"\1" + MASK,
        ),
        ("bearer", r"(?i)\b(bearer\s++)(?=[\w.~+/=\-]*\d|[\w.~+/=\-]{20})[\w.~+/=\-]{6,}", 0, r"\1" + MASK),
        ("basic", r"(?i)\b(basic\s++)(?=[a-z0-9+/]*[\d=])[A-Za-z0-9+/]{8,}={0,2}", 0, r"\1" + MASK),
        # The password of scheme://user:password@host; it may itself hold an @ or a slash.
        (
            "://",
            r"(?i)\b([a-z][a-z0-9+.\-]{0,30}://[^\s/:@\"'<>]{0,80}:)(?!\[REDACTED\])[^\s\"'<>]{1,200}(?=@)",
            0,
            r"\1" + MASK,
        ),
        # name=value and "name": "value" inside of texts, and in query strings.
        ("=", _ASSIGNED + r"\s*=\s*+[\"']?+)(?!\[REDACTED\])[^\s\"'&,;]+", 0, r"\1" + MASK),
        (":", _ASSIGNED + r"\\?[\"']?\s*:\s*+\\?+[\"']?+)(?!\[REDACTED\])[^\s\"'\\,;}]{6,}", 0, r"\1" + MASK),
        ("sig=", r"(?i)([?&](?:sig|signature|x-amz-signature|x-amz-security-token)=)[^\s&\"']+", 0, r"\1" + MASK),
        ("signature=", r"(?i)([?&](?:x-amz-|x-goog-)?signature=)[^\s&\"']+", 0, r"\1" + MASK),
        # Keys that can be told by their first letters.
        ("sk-", r"\bsk-[\w-]{10,}", 0, MASK),
        ("k_", r"\b[srp]k_(?:live|test|prod)_\w{8,}", 0, MASK),
        ("whsec_", r"\bwhsec_[\w+/=-]{8,}", 0, MASK),
        ("akia", r"\bAKIA[0-9A-Z]{12,}", 0, MASK),
        ("asia", r"\bASIA[0-9A-Z]{16}\b", 0, MASK),
        ("gh", r"\bgh[pousr]_\w{16,}", 0, MASK),
        ("github_pat_", r"\bgithub_pat_\w{16,}", 0, MASK),
        ("glpat-", r"\bglpat-[\w-]{10,}", 0, MASK),
        ("xox", r"\bxox[a-z]-[\w-]{8,}", 0, MASK),
        ("xapp-", r"\bxapp-[\w-]{8,}", 0, MASK),
        ("hooks.slack.com", r"hooks\.slack\.com/services/[\w/]+", 0, "hooks.slack.com/services/" + MASK),
        ("aiza", r"\bAIza[\w-]{30,}", 0, MASK),
        ("ya29.", r"\bya29\.[\w-]{10,}", 0, MASK),
        ("hf_", r"\bhf_[A-Za-z0-9]{16,}", 0, MASK),
        ("gsk_", r"\bgsk_\w{16,}", 0, MASK),
        ("xai-", r"\bxai-[\w-]{16,}", 0, MASK),
        ("npm_", r"\bnpm_[A-Za-z0-9]{16,}", 0, MASK),
        ("pypi-", r"\bpypi-[\w-]{16,}", 0, MASK),
        ("sg.", r"\bSG\.[\w-]{10,}\.[\w-]{10,}", 0, MASK),
        ("age-secret-key-", r"\bAGE-SECRET-KEY-1[0-9A-Z]{10,}", 0, MASK),
        ("loom_", r"\bloom_[A-Za-z0-9]{4,}_[\w-]{16,}", 0, MASK),
        ("accountkey", r"(?i)\b(accountkey=)[^;\s\"']+", 0, r"\1" + MASK),
    )
)

# The others need a sign that is in no word.
_IN_WORDS = ("k_", "whsec_", "akia", "asia", "gh", "github_pat_", "aiza", "hf_", "gsk_", "npm_", "loom_")


class Redactor:
    """Takes secrets out of values. `then` is applied to each text last, e.g. the `redact` of a `Secrets`."""

    def __init__(self, literals: Iterable[str] = (), *, then: Callable[[str], str] | None = None) -> None:
        self._literals: list[str] = []
        self._then = then
        for literal in literals:
            self.register(literal)

    def register(self, literal: str) -> None:
        """Mask this text wherever it appears, also in its URL and Base64 forms. Below 6 characters it is ignored."""
        if len(literal) < MIN_LITERAL:
            return
        forms = {literal, quote(literal, safe=""), base64.b64encode(literal.encode()).decode()}
        # The longest first, so that no form leaves the rest of a longer one behind.
        self._literals = sorted({*self._literals, *forms}, key=len, reverse=True)

    def text(self, text: str) -> str:
        """A text without secrets."""
        for literal in self._literals:
            if literal in text:
                text = text.replace(literal, MASK)
        text = _without_keys(text)
        return self._then(text) if self._then else text

    def redact(self, value: object) -> JSON:
        """The JSON form of any value, without secrets."""
        small = self._small(value) if type(value) is dict else None
        return self._redact(plain(value)) if small is None else small

    def payload(self, value: Mapping[str, Any]) -> dict[str, JSON]:
        """The same for a mapping."""
        redacted: dict[str, JSON] = self.redact(value)
        return redacted

    def _small(self, value: dict[Any, Any], levels: int = _LEVELS) -> dict[str, JSON] | None:
        """The same for a small mapping of texts to scalars and such mappings, in one pass. None for any other value."""
        if not levels or len(value) > _MEMBERS:
            return None
        form: dict[str, JSON] = {}
        is_plain = not self._literals and self._then is None
        for key, item in list(value.items()):  # of a copy, since another thread may change the mapping
            kind = type(item)
            if type(key) is not str or len(key) > _LENGTH:
                return None
            name, says_secret = _name(key)
            if item is None or kind is bool:
                clean = item
            elif kind is dict:
                clean = None if says_secret else self._small(item, levels - 1)
                if clean is None:
                    return None
            elif kind not in SCALARS or (kind is str and len(item) > _LENGTH):
                return None
            else:
                clean = SCALARS[kind](item)
                if type(clean) is str:
                    clean = _masked(clean) if says_secret else self.text(clean)
            form[name if is_plain else self.text(plain_text(key))] = clean
        return form

    def _redact(self, value: JSON) -> JSON:
        kind = type(value)  # exact, in a JSON form
        if kind is str:
            return self.text(value)
        if kind is list:
            return [self._redact(item) for item in value]
        if kind is dict:
            return {
                self.text(key): _masked(item) if names_a_secret(key) else self._redact(item)
                for key, item in value.items()
            }
        return value


def _without_keys(text: str) -> str:
    """A text without whatever looks like a known kind of key."""
    if text.isidentifier() and (len(text) < _SHORTEST_WORD or not any(map(text.lower().__contains__, _IN_WORDS))):
        return text
    lowered = text.lower()
    for hint, pattern, replacement in _PATTERNS:
        if hint in lowered:
            text = pattern.sub(replacement, text)
    return text


@lru_cache(maxsize=4096)
def _name(key: str) -> tuple[str, bool]:
    """How a name is written down, and whether it says that its value is a secret."""
    name = plain_text(key)
    return _without_keys(name), names_a_secret(name)


@lru_cache(maxsize=4096)
def names_a_secret(name: str) -> bool:
    """Whether a value under this name is a secret: `password`, `apiKey`, `X-Api-Key`, `db_password`, `Set-Cookie`."""
    return _SECRET_NAME.search(_CAMEL.sub("_", name)) is not None


def _masked(value: JSON) -> JSON:
    """The shape of a value, all of its texts masked."""
    if isinstance(value, list):
        return [_masked(item) for item in value]
    if isinstance(value, dict):
        return {key: _masked(item) for key, item in value.items()}
    return MASK if isinstance(value, str) and value else value


_DEFAULT = Redactor()


def redact(value: object) -> JSON:
    """The JSON form of any value, without whatever looks like a secret."""
    return _DEFAULT.redact(value)
