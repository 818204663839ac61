"""One line of the log, and what of it is signed."""

from __future__ import annotations

import hmac
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from audit.core.canonical import plain
from audit.core.entry import Head, Seal, link_of, link_of_line, next_entry, verify_signature
from loom.ids import canonical
from tests.unit.audit.test_canonical import ANYTHING

SECRET = "a secret of the tests"
TEXTS = st.text() | st.sampled_from(['"', "\\", ',"timestamp":"', ',"signature":"', "é", "\0"])


@given(TEXTS, st.none() | TEXTS, TEXTS, TEXTS, st.dictionaries(TEXTS, ANYTHING), st.integers(0, 2**63))
def test_a_line_is_the_canonical_json_of_its_entry(
    session_id: str, user_id: str | None, actor: str, action: str, payload: dict[str, Any], seq: int
) -> None:
    entry, line = next_entry(
        Head(seq, "0" * 64),
        seal=Seal(SECRET),
        session_id=session_id,
        user_id=user_id,
        actor=actor,
        action=action,
        payload=plain(payload),
    )

    fields = dict(entry)
    assert line.decode() == canonical(fields | {"timestamp": entry.timestamp.isoformat()})
    signed = canonical({name: plain(value) for name, value in fields.items() if name != "signature"})
    assert entry.signature == hmac.digest(SECRET.encode(), signed.encode(), "sha256").hex()
    assert verify_signature(entry, SECRET)
    assert link_of_line(line) == link_of(entry)


def test_nothing_is_signed_with_an_empty_secret() -> None:
    entry, _ = next_entry(Head(), seal=Seal(""), session_id="s", actor="a", action="x", payload={})

    assert not verify_signature(entry, "")
