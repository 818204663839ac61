import pytest

from agents.core.tone import RESPONSE_TONES, append_tone_directive, resolve_response_tone


def test_the_presets_are_there() -> None:
    assert set(RESPONSE_TONES) == {
        "casual",
        "professional",
        "technical",
        "legal",
        "finance",
        "executive",
        "academic",
    }


@pytest.mark.parametrize("name", ["legal", "LEGAL", " Legal "])
def test_a_preset_is_found_in_any_case(name: str) -> None:
    assert resolve_response_tone(name) == RESPONSE_TONES["legal"]


def test_any_other_text_is_a_directive_itself_and_blank_is_none() -> None:
    assert resolve_response_tone("like a pirate") == "like a pirate"
    assert resolve_response_tone("  ") is None
    assert resolve_response_tone(None) is None


def test_the_directive_stands_at_the_end_of_the_instructions() -> None:
    assert append_tone_directive("Help.", "Short.") == "Help.\n\n---\nResponse style: Short."
    assert append_tone_directive("Help.", None) == "Help."
