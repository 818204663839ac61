"""One line of the audit log, and the bytes that are signed."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from audit.core.canonical import plain
from loom.ids import canonical, quoted
from loom.messages import utcnow


class AuditEntry(BaseModel):
    """What somebody did. `prev` is the signature of the entry before; `payload` is in JSON form, without secrets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seq: int
    timestamp: datetime
    session_id: str
    user_id: str | None = None
    actor: str
    action: str
    payload: dict[str, Any]
    prev: str = ""
    signature: str


class Head(NamedTuple):
    """The last entry of a chain: how long the chain was, and what it ended in."""

    seq: int = 0
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """What a check needs of an entry. `content` is what was signed."""

    seq: int
    prev: str
    signature: str
    content: bytes

    @property
    def head(self) -> Head:
        return Head(self.seq, self.signature)

    def is_signed_with(self, seal: Seal) -> bool:
        return seal.has_signed(self.content, self.signature)


class Seal:
    """HMAC-SHA256 with one secret, in hex. Nothing is signed with an empty secret."""

    def __init__(self, secret: str) -> None:
        self._has_secret = bool(secret)
        # Copied for each content: to begin with the key takes longer than the content.
        self._keyed = hmac.new(secret.encode(), digestmod=hashlib.sha256)

    def __bool__(self) -> bool:
        return self._has_secret

    def sign(self, content: bytes) -> str:
        mac = self._keyed.copy()
        mac.update(content)
        return mac.hexdigest()

    def has_signed(self, content: bytes, signature: str) -> bool:
        # In bytes, since a text is refused when it has other than ASCII letters.
        return bool(self) and hmac.compare_digest(self.sign(content).encode(), signature.encode())


def next_entry(last: Head, *, seal: Seal, **said: Any) -> tuple[AuditEntry, bytes]:
    """The entry that follows the last one, and its line, of what `next_line` takes."""
    fields, line = next_line(last, seal=seal, **said)
    return AuditEntry(**fields), line


def next_line(
    last: Head,
    *,
    seal: Seal,
    session_id: str,
    actor: str,
    action: str,
    payload: dict[str, Any],
    user_id: str | None = None,
    at: datetime | None = None,
) -> tuple[dict[str, Any], bytes]:
    """What follows the last entry: its fields, and its one form in a file, without the end of the line.

    The payload must be in JSON form. `at` is when it happened, if not now.
    """
    fields = {
        "seq": last.seq + 1,
        "timestamp": at or utcnow(),
        "session_id": plain(session_id),
        "user_id": plain(user_id),
        "actor": plain(actor),
        "action": plain(action),
        "payload": payload,
        "prev": last.signature,
    }
    before, after = _content(fields)
    signature = fields["signature"] = seal.sign((before + after).encode())
    return fields, f'{before},"signature":"{signature}"{after}'.encode()


def verify_signature(entry: AuditEntry, secret: str) -> bool:
    """Whether nobody without the secret has written or changed this entry.

    Says nothing of its neighbors: `audit.core.chain.verify` does. Nothing is signed with an empty secret.
    """
    return link_of(entry).is_signed_with(Seal(secret))


def link_of(entry: AuditEntry) -> Link:
    before, after = _content(dict(entry) | {"payload": plain(entry.payload)})
    return Link(entry.seq, entry.prev, entry.signature, (before + after).encode())


_SIGNATURE = b',"signature":"'
_SIGNATURE_LENGTH = len(_SIGNATURE) + 64 + 1


def link_of_line(line: bytes) -> Link | None:
    """The link of a line in a file, or None when the line is no entry.

    The signed content is the line without its signature, byte for byte: whatever is changed in a line is an edit, even
    where a JSON parser would read the same. A quote inside a text is escaped, so the last match is the field itself.
    """
    start = line.rfind(_SIGNATURE)
    end = start + _SIGNATURE_LENGTH
    try:
        fields = json.loads(line)
        signature = line[start + len(_SIGNATURE) : end - 1].decode()
        link = Link(fields["seq"], fields["prev"], signature, line[:start] + line[end:])
        return link if start > 0 and isinstance(link.seq, int) and isinstance(link.prev, str) else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _content(of: Mapping[str, Any]) -> tuple[str, str]:
    """The canonical JSON of what is signed, in two parts: the signature stands between them in a line.

    Written out, since the keys are known; that takes half as long as to sort and join them each time.
    """
    before = (
        f'{{"action":{quoted(of["action"])},"actor":{quoted(of["actor"])},"payload":{canonical(of["payload"])}'
        f',"prev":{quoted(of["prev"])},"seq":{of["seq"]:d},"session_id":{quoted(of["session_id"])}'
    )
    return before, f',"timestamp":"{of["timestamp"].isoformat()}","user_id":{canonical(of["user_id"])}}}'
