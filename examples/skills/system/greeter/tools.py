"""The tools of the skill: imported when it is loaded."""

from loom import tool


@tool
async def say_hi(name: str) -> str:
    """Greet somebody by name."""
    return f"Welcome back, {name}!"
