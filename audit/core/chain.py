"""Whether a log is as it was written.

Each entry is signed together with the signature of the one before, so no entry can be changed, moved, left out or
repeated without breaking the chain. What a chain cannot show by itself is that its end is missing: for that, keep its
`Head` where the writer of the log cannot reach it, and hand it to `verify`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from audit.core.entry import AuditEntry, Head, Link, Seal, link_of

Kind = Literal["edit", "delete", "reorder", "duplicate", "insert", "truncate", "rewrite"]


@dataclass(frozen=True, slots=True)
class Break:
    """The first place where a chain does not hold. `position` counts from 0; `seq` is what was expected there.

    `edit`: an entry is not what was signed, or signed with another key. `delete`: entries are missing before this one.
    `reorder`: this one stands too early. `duplicate`: it has stood there before. `insert`: it is signed and does not
    follow its neighbor. `truncate`: the end is missing. `rewrite`: the chain holds and is not the one of the head.
    """

    kind: Kind
    position: int
    seq: int
    detail: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What a check found. `head` ends the part that holds: keep it, to notice a missing end the next time."""

    checked: int
    head: Head
    broken: Break | None = None

    @property
    def ok(self) -> bool:
        return self.broken is None

    def __bool__(self) -> bool:
        return self.ok


def verify(
    entries: Iterable[AuditEntry], secret: str, head: Head | None = None, *, after: Head | None = None
) -> Verification:
    """Check a log from its first entry, or from the one that follows `after`, up to and beyond `head`."""
    heads = () if head is None else (head,)
    return verify_links((link_of(entry) for entry in entries), Seal(secret), heads, after=after)


def verify_links(
    links: Iterable[Link | None], seal: Seal, heads: Iterable[Head] = (), *, after: Head | None = None
) -> Verification:
    """The same on what a check needs of the entries. None stands for something that is no entry.

    One pass in constant memory but 8 bytes an entry; what follows the first break is only read to name it.
    """
    check = _Check(seal, after or Head(), iter(links), {head.seq: head for head in heads})
    broken = check.run()
    return Verification(check.position, check.last, broken)


@dataclass(slots=True)
class _Check:
    seal: Seal
    last: Head
    links: Iterator[Link | None]
    heads: dict[int, Head]
    position: int = 0
    seen: array[int] = field(default_factory=lambda: array("Q"))
    start: int = 0

    def run(self) -> Break | None:
        self.start = self.last.seq
        if broken := self._head_broken():
            return broken
        for link in self.links:
            if broken := self._link_broken(link):
                return broken
            assert link is not None
            self.last = link.head
            self.seen.append(_short(link))
            if broken := self._head_broken():
                return broken
            self.position += 1
        furthest = max(self.heads, default=0)
        if furthest > self.last.seq:
            return self._break("truncate", f"the log ends at entry {self.last.seq} and had reached {furthest}")
        return None

    def _head_broken(self) -> Break | None:
        """Whether the log has come to a head, and to another entry than the head's."""
        head = self.heads.get(self.last.seq)
        if head is None or head == self.last:
            return None
        return Break(
            "rewrite", self.position, head.seq, f"entry {head.seq} is not the one that the head was taken from"
        )

    def _link_broken(self, link: Link | None) -> Break | None:
        expected = self.last.seq + 1
        if link is None:
            return self._break("edit", f"line {self.position + 1} is no entry")
        if not link.is_signed_with(self.seal):
            return self._break("edit", f"entry {link.seq} is not what was signed with this key")
        if link.seq == expected and link.prev == self.last.signature:
            return None
        if link.seq > expected:
            return self._gap(link)
        if self.start < link.seq < expected and self.seen[link.seq - self.start - 1] == _short(link):
            return self._break("duplicate", f"entry {link.seq} stands there a second time")
        return self._break("insert", f"entry {link.seq} does not follow the one before it")

    def _gap(self, link: Link) -> Break:
        """Entries before this one are missing here: moved to a later place, or gone."""
        expected = self.last.seq + 1
        for later in self.links:
            if later and (later.seq, later.prev) == (expected, self.last.signature):
                return self._break("reorder", f"entry {link.seq} stands before entry {expected}")
        return self._break("delete", f"entries {expected} to {link.seq - 1} are missing")

    def _break(self, kind: Kind, detail: str) -> Break:
        return Break(kind, self.position, self.last.seq + 1, detail)


def _short(link: Link) -> int:
    return int(link.signature[:16], 16)
