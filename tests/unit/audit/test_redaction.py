"""Secrets do not get into what is written down."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audit.core.redaction import MASK, Redactor, names_a_secret, redact
from loom.ids import canonical

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7bq3CANARYpem0\nq2Zt\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJDQU5BUlkifQ.c2lnbmF0dXJlQ0FOQVJZ"

# The text as somebody would write it, and the part of it that must not survive.
CANARIES = [
    ("my key is sk-abcdefCANARY0123456789", "CANARY0123456789"),
    ("OPENAI sk-proj-CANARY_abc-DEF0123456789xyz!", "CANARY_abc-DEF0123456789xyz"),
    ("sk-ant-api03-CANARYabcdefghijklmnop-AA", "CANARYabcdefghijklmnop"),
    ("(AKIAIOSFODNN7CANARY)", "IOSFODNN7CANARY"),
    ("ASIAIOSFODNN7CANARYX", "IOSFODNN7CANARYX"),
    ("ghp_CANARYabcdefghijklmnopqrstuvwxyz0123", "CANARYabcdefghijklmnopqrstuvwxyz0123"),
    ("github_pat_11CANARY0123456789_abcdefghijkl", "11CANARY0123456789"),
    ("glpat-CANARY0123456789abc", "CANARY0123456789abc"),
    (JWT, "c2lnbmF0dXJlQ0FOQVJZ"),
    (f"curl -H 'Authorization: Bearer {JWT}'", "c2lnbmF0dXJlQ0FOQVJZ"),
    ("Authorization: Bearer CANARYopaque123", "CANARYopaque123"),
    ("authorization: bearer canaryOpaque.456~", "canaryOpaque.456~"),
    ("Authorization: Basic Q0FOQVJZOnB3ZA==", "Q0FOQVJZOnB3ZA"),
    ('{"Authorization": "Token CANARYtok"}', "CANARYtok"),
    (PEM, "MIIEowIBAAKCAQEA7bq3CANARYpem0"),
    (PEM.replace("RSA PRIVATE", "OPENSSH PRIVATE"), "CANARYpem0"),
    ("-----BEGIN PRIVATE KEY-----\nCANARYcutoff", "CANARYcutoff"),
    ("postgres://loom:CANARYpw@db:5432/loom", "CANARYpw"),
    ("postgresql+psycopg://loom:CANARY@pw/with@db/loom", "CANARY@pw/with"),
    ("redis://:CANARYredis@localhost:6379/0", "CANARYredis"),
    ("amqp://guest:CANARYmq@mq//", "CANARYmq"),
    ("https://ann:CANARYurl@example.org/path", "CANARYurl"),
    ("https://api.example.org/v1?api_key=CANARYquery&page=2", "CANARYquery"),
    ("https://api.example.org/v1?page=2&access_token=CANARYtoken", "CANARYtoken"),
    ("https://b.blob.core.windows.net/c?sv=1&sig=CANARYsas%3D", "CANARYsas"),
    ("https://s3.example.org/o?X-Amz-Signature=CANARYsigned", "CANARYsigned"),
    ("Cookie: sessionid=CANARYsession; csrftoken=CANARYcsrf", "CANARYsession"),
    ("Set-Cookie: sessionid=CANARYsetcookie; HttpOnly", "CANARYsetcookie"),
    ("cookie: a=1; b=CANARYb", "CANARYb"),
    ("password=CANARYpass", "CANARYpass"),
    ('--password "CANARYarg" DB_PASSWORD="CANARYenv"', "CANARYenv"),
    ("AWS_SECRET_ACCESS_KEY=CANARYaws/+abc", "CANARYaws"),
    ('{"client_secret": "CANARYclient"}', "CANARYclient"),
    ('escaped: "{\\"api_key\\": \\"CANARYescaped\\"}"', "CANARYescaped"),
    ("xoxb-CANARY-1234567890-abc", "CANARY-1234567890"),
    ("https://hooks.slack.com/services/T0/B0/CANARYhook", "CANARYhook"),
    ("AIzaCANARY0123456789abcdefghijklmnopqrs", "CANARY0123456789abcdefghijklmnopqrs"),
    ("sk_live_CANARY0123456789", "CANARY0123456789"),
    ("hf_CANARYabcdefghijklmnop", "CANARYabcdefghijklmnop"),
    ("loom_ab12cd_CANARYabcdefghijklmnop", "CANARYabcdefghijklmnop"),
]


def test_there_are_forty_canaries() -> None:
    assert len({text for text, _ in CANARIES}) == 40


@pytest.mark.parametrize(("text", "secret"), CANARIES)
def test_no_planted_secret_survives_wherever_it_stands(text: str, secret: str) -> None:
    assert secret in text
    places: list[Any] = [
        text,
        {"args": {"command": text}},
        {"result": [1, {"output": f"before\n{text}"}]},
        {"error": RuntimeError(text)},
        {text: "as a key"},
        {"url": f"{text}"},
        (text.encode().decode(), {text}),
    ]

    for place in places:
        assert secret not in json.dumps(redact(place)).replace("\\\\", "\\")


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "db_password",
        "apiKey",
        "api_key",
        "X-Api-Key",
        "Authorization",
        "Set-Cookie",
        "cookies",
        "client_secret",
        "accessToken",
        "refresh_token",
        "token",
        "private-key",
        "credentials",
        "passphrase",
    ],
)
def test_what_is_named_a_secret_is_masked_whatever_it_looks_like(name: str) -> None:
    assert redact({name: "plain words"}) == {name: MASK}
    assert redact({name: {"a": ["x", 1]}}) == {name: {"a": [MASK, 1]}}


@pytest.mark.parametrize(
    "value",
    [
        {"tokens_in": 12, "max_tokens": 100, "token": 7, "tokens": "12"},
        {"key": "value", "author": "Ann", "passenger": "Ben", "secretary": "Cem", "monkey": "x"},
        "a risk-assessment of a task-management tool, see https://example.org/a:b?page=2",
        "The basic principles: bearer instruments. Time 12:30, note: ok",
        "scikit sk-1 and key AKIA",
        {"session_id": "sess_01J", "call_id": "tcall_01J", "password": "", "api_key": None},
    ],
)
def test_ordinary_words_stay(value: Any) -> None:
    assert redact(value) == value


def test_a_registered_secret_is_masked_in_all_its_forms() -> None:
    redactor = Redactor(["p&ss w/rd"])

    masked = redactor.text("p&ss w/rd p%26ss%20w%2Frd cCZzcyB3L3Jk")

    assert masked == f"{MASK} {MASK} {MASK}"


def test_a_short_literal_does_not_tear_holes() -> None:
    assert Redactor(["abc"]).text("abcdef") == "abcdef"


def test_the_redaction_of_a_secrets_store_can_come_last() -> None:
    redactor = Redactor(then=lambda text: text.replace("falcon", MASK))

    assert redactor.redact({"said": "falcon"}) == {"said": MASK}


def test_masking_twice_changes_nothing() -> None:
    for text, _ in CANARIES:
        once = redact(text)
        assert redact(once) == once


def test_a_name_is_a_secret_only_as_a_whole_word() -> None:
    assert names_a_secret("dbPassword")
    assert not names_a_secret("password_changed_at")


TEXTS = st.text() | st.sampled_from(
    [text for text, _ in CANARIES] + ["a\0b\ud800", "correct horse", "falcon", "", PEM * 20]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.just(10**2000) | st.floats() | TEXTS
NAMES = TEXTS | st.sampled_from(["password", "apiKey", "token", "tokens_in", "auth"])


MAPPINGS = st.recursive(st.dictionaries(NAMES, SCALARS), lambda inner: st.dictionaries(NAMES, SCALARS | inner))


@given(MAPPINGS | st.dictionaries(NAMES | st.integers(), SCALARS | st.lists(SCALARS) | MAPPINGS))
@example(
    {"a\0b\ud800": "a\0b\ud800", "password": {"a": "x"}, "token": float("nan"), "deep": {"auth": "x", "falcon": 1}}
)
@example({CANARIES[0][0]: CANARIES[1][0], "large": 10**2000, "key": {"a": {"b": {"c": {"d": PEM}}}}})
def test_a_mapping_is_redacted_alone_as_it_is_inside_of_something(value: dict[Any, Any]) -> None:
    redactor = Redactor(["correct horse"], then=lambda text: text.replace("falcon", MASK))

    assert canonical(redactor.redact(value)) == canonical(redactor.redact([value])[0])
