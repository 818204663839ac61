from __future__ import annotations

import pytest

from agents.core.skills.errors import SkillError
from agents.core.skills.skill import Skill
from loom.errors import LoomError


def skill(front: str, body: str = "Do it.") -> Skill:
    return Skill.from_text(f"---\n{front}\n---\n{body}\n")


def test_a_skill_knows_its_name_description_and_body() -> None:
    found = skill("name: standup\ndescription: Format a standup.", "# Standup\n\nThree sections.")

    assert (found.name, found.description, found.load_body()) == (
        "standup",
        "Format a standup.",
        "# Standup\n\nThree sections.",
    )


def test_every_field_of_the_standard_is_read() -> None:
    found = skill(
        "name: pdf\ndescription: >\n  Read\n  PDFs.\nlicense: MIT\ncompatibility: needs poppler\n"
        "metadata:\n  author: ann\n  tags: [a, b]\nallowed-tools: Bash(git add:*) Read  Write\n"
        "requires: [base, pdf, base]"
    ).metadata

    assert found.description == "Read PDFs."
    assert (found.license, found.compatibility) == ("MIT", "needs poppler")
    assert found.extra == {"author": "ann", "tags": ["a", "b"]}
    assert found.allowed_tools == ["Bash(git add:*)", "Read", "Write"]
    assert found.requires == ["base"]


def test_allowed_tools_may_also_be_a_list() -> None:
    assert skill("name: a\ndescription: d\nallowed_tools:\n  - read\n  - grep").metadata.allowed_tools == [
        "read",
        "grep",
    ]
    assert skill("name: a\ndescription: d\nallowed_tools: []").metadata.allowed_tools == []
    assert skill("name: a\ndescription: d").metadata.allowed_tools is None


def test_a_description_with_a_colon_is_read_as_it_was_meant() -> None:
    found = skill("name: review\ndescription: Use when: code is to be reviewed\nlicense: MIT")

    assert found.description == "Use when: code is to be reviewed"
    assert found.metadata.license == "MIT"


def test_fields_that_other_programs_read_are_kept() -> None:
    assert skill("name: a\ndescription: d\nmodel: small").metadata.extra == {"model": "small"}


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm() -> None:
    found = Skill.from_text("\ufeff---\r\nname: a\r\ndescription: d\r\n---\r\nLine\r\n")

    assert found.load_body() == "Line"


def test_a_line_of_dashes_in_the_body_stays_there() -> None:
    assert skill("name: a\ndescription: d", "one\n\n---\n\ntwo").load_body() == "one\n\n---\n\ntwo"


@pytest.mark.parametrize(
    ("front", "words"),
    [
        ("description: d", "name is None"),
        ("name: a", "description is None"),
        ("name: Upper\ndescription: d", "'Upper' is not made of"),
        ("name: -a\ndescription: d", "not made of"),
        ("name: a--b\ndescription: d", "not made of"),
        ("name: 12\ndescription: d", "name is 12"),
        ("name: my-claude\ndescription: d", "reserved"),
        ("name: anthropic-x\ndescription: d", "reserved"),
        (f"name: {'a' * 65}\ndescription: d", "65 characters"),
        (f"name: a\ndescription: {'d' * 1025}", "1025 characters"),
        (f"name: a\ndescription: d\ncompatibility: {'d' * 501}", "501 characters"),
        ("name: a\ndescription: d\nrequires: base", "not a list of names"),
        ("name: a\ndescription: d\nmetadata: x", "not a mapping"),
        ("name: a\nname: b\ndescription: d", "'name' is there twice"),
        ("name: [\ndescription: d", "not valid YAML"),
        ("name: a\ndescription: d\nmetadata: {since: 2026-13-01}", "not valid YAML"),
        ("name: a\ndescription: d\nlicense: !!int ''", "not valid YAML"),
        ("name: a\ndescription: d\nlicense: !!bool x", "not valid YAML"),
        ("name: a\ndescription: d\nlicense: !!timestamp x", "not valid YAML"),
        (f"name: a\ndescription: d\nmetadata: {'[' * 5_000}", "not valid YAML"),
        ("name: a\ndescription: &x d\nlicense: *x", "aliases"),
        ("- name", "not a mapping"),
        ("name: a\ndescription: !!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_front_matter_that_is_wrong_is_refused(front: str, words: str) -> None:
    with pytest.raises(SkillError, match=words) as caught:
        skill(front)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, LoomError)


def test_a_text_without_front_matter_is_no_skill() -> None:
    with pytest.raises(SkillError, match="begins with front matter"):
        Skill.from_text("# Hello")


def test_an_inline_skill_cannot_declare_script_tools() -> None:
    with pytest.raises(SkillError, match="without a folder cannot declare tools"):
        skill("name: a\ndescription: d\ntools:\n  add: {script: add.py}")
