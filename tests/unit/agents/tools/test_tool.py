from __future__ import annotations

import enum
import functools
import threading
import time
import typing
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, Optional, Union  # noqa: F401 - named as text
from uuid import UUID

import anyio
import hypothesis.strategies as st
import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from pydantic import BaseModel, Field, TypeAdapter

from agents.core.tools.tool import Tool, as_tool, tool
from loom.context import RunContext, get_run_context, set_run_context
from loom.errors import ConfigError, InvalidArguments, ToolError

LIST: Any = Field(default_factory=list)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    street: str
    zip: int


@dataclass
class Point:
    x: int
    y: int


class Order(typing.TypedDict):
    item: str
    count: NotRequired[int]


def properties(made: Tool) -> dict[str, Any]:
    return made.input_schema["properties"]


def test_a_bare_decorator_takes_name_description_and_schema_from_the_function() -> None:
    @tool
    def add(a: int, b: float = 2.0, c: str = "x", d: bool = False) -> float:
        """Add two numbers.

        And more about it.
        """
        return a + b

    assert (add.name, add.description, add.destructive) == ("add", "Add two numbers.", False)
    assert add.input_schema == {
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            "b": {"type": "number", "default": 2.0},
            "c": {"type": "string", "default": "x"},
            "d": {"type": "boolean", "default": False},
        },
        "required": ["a"],
        "additionalProperties": False,
    }


def test_options_of_the_decorator_win_over_the_function() -> None:
    @tool(name="remove", description="Gone.", destructive=True, timeout=3, approval=False)
    def rm(path: str) -> None:
        """Delete."""

    made = rm.to_def()

    assert (made.name, made.description, made.destructive, made.approval) == ("remove", "Gone.", True, False)
    assert rm.timeout == 3


def test_a_tool_is_still_callable_like_its_function() -> None:
    @tool
    def add(a: int, b: int = 1) -> int:
        return a + b

    assert add(1) == 2
    assert add(1, b=5) == 6


def test_the_description_is_the_first_sentence_even_when_it_runs_over_lines() -> None:
    @tool
    def find() -> None:
        """Find the order of a customer
        by its number. Slow.
        Not this line.
        """

    assert find.description == "Find the order of a customer by its number. Slow."


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        ("list[int]", {"type": "array", "items": {"type": "integer"}}),
        ("dict[str, float]", {"type": "object", "additionalProperties": {"type": "number"}}),
        ("Literal['a', 'b']", {"type": "string", "enum": ["a", "b"]}),
        ("Optional[int]", {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        ("int | None", {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        ("Union[int, str]", {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        (
            "tuple[int, str]",
            {
                "type": "array",
                "maxItems": 2,
                "minItems": 2,
                "prefixItems": [{"type": "integer"}, {"type": "string"}],
            },
        ),
        (
            "Annotated[int, Field(description='how many', ge=1)]",
            {"type": "integer", "description": "how many", "minimum": 1},
        ),
        ("datetime", {"type": "string", "format": "date-time"}),
        ("UUID", {"type": "string", "format": "uuid"}),
    ],
)
def test_type_hints_become_full_schemas_even_as_text(annotation: str, schema: dict[str, Any]) -> None:
    def fn(x: Any) -> None: ...

    fn.__annotations__["x"] = annotation

    assert properties(tool(fn))["x"] == schema


async def test_models_dataclasses_typed_dicts_and_enums_are_described_and_built() -> None:
    @tool
    def ship(to: Address, at: Point, orders: list[Order], color: Color) -> tuple[Any, ...]:
        return to, at, orders, color

    got = await ship.execute(
        {
            "to": {"street": "Main", "zip": "8000"},
            "at": {"x": 1, "y": "2"},
            "orders": [{"item": "a"}, {"item": "b", "count": 2}],
            "color": "blue",
        }
    )

    assert got == (
        Address(street="Main", zip=8000),
        Point(1, 2),
        [{"item": "a"}, {"item": "b", "count": 2}],
        Color.BLUE,
    )
    assert ship.input_schema["$defs"]["Address"]["properties"]["zip"] == {"type": "integer"}
    assert ship.input_schema["$defs"]["Order"]["required"] == ["item"]
    assert ship.input_schema["$defs"]["Color"]["enum"] == ["red", "blue"]


async def test_types_declared_inside_a_function_are_found_under_postponed_annotations() -> None:
    class Local(BaseModel):
        n: int

    @dataclass
    class Holder:
        local: Local

    @tool
    async def use(local: Local, holder: Holder) -> int:
        return local.n + holder.local.n

    def plain(local: Local) -> int:
        return local.n

    assert await use.execute({"local": {"n": 1}, "holder": {"local": {"n": "2"}}}) == 3
    assert await as_tool(plain).execute({"local": {"n": 4}}) == 4


@pytest.mark.parametrize(
    "doc",
    [
        "Weather.\n\nArgs:\n    city: Where to\n        look.\n    days (int): How far.",
        "Weather.\n\nParameters\n----------\ncity : str\n    Where to\n    look.\ndays : int\n    How far.",
        "Weather.\n\n:param city: Where to\n    look.\n:param days: How far.",
    ],
    ids=["google", "numpy", "sphinx"],
)
def test_docstring_arguments_become_descriptions(doc: str) -> None:
    def weather(city: str, days: int = 1) -> None: ...

    weather.__doc__ = doc
    made = properties(tool(weather))

    assert made["city"]["description"] == "Where to look."
    assert made["days"] == {"type": "integer", "default": 1, "description": "How far."}


def test_a_description_in_the_annotation_wins_over_the_docstring() -> None:
    @tool
    def weather(city: Annotated[str, Field(description="from the hint")]) -> None:
        """Weather.

        Args:
            city: from the docstring
        """

    assert properties(weather)["city"]["description"] == "from the hint"


async def test_a_field_as_default_describes_and_fills_in() -> None:
    @tool
    def page(size: int = Field(20, le=100, description="rows"), tags: list[str] = LIST) -> Any:
        return size, tags

    assert properties(page)["size"] == {"type": "integer", "default": 20, "maximum": 100, "description": "rows"}
    assert await page.execute({}) == (20, [])


async def test_a_default_of_none_may_be_sent_also_where_the_hint_does_not_say_so() -> None:
    @tool
    def search(query: str, tags: list[str] = None) -> str:  # type: ignore[assignment]  # noqa: RUF013
        return f"{query} {tags}"

    jsonschema.validate(
        {"query": "a", "tags": search.input_schema["properties"]["tags"]["default"]}, search.input_schema
    )
    assert await search.execute({"query": "a", "tags": None}) == "a None"
    assert await search.execute({"query": "a", "tags": ["b"]}) == "a ['b']"


async def test_a_field_whose_default_is_none_may_be_sent_none_too() -> None:
    @tool
    def search(tags: list[str] = Field(None, description="words")) -> Any:  # noqa: B008
        return tags

    assert properties(search)["tags"]["default"] is None
    assert await search.execute({"tags": None}) is None
    assert await search.execute({}) is None


def test_a_hint_that_says_none_itself_is_not_wrapped_in_another_one() -> None:
    @tool
    def search(kind: Annotated[str | None, Field(description="which")] = None) -> None: ...

    kinds = [{"type": "string"}, {"type": "null"}]
    assert properties(search)["kind"] == {"anyOf": kinds, "description": "which", "default": None}


async def test_self_and_variadic_parameters_are_not_offered() -> None:
    class Desk:
        def __init__(self, name: str) -> None:
            self.name = name

        @tool
        def find(self, q: str, *args: Any, **kw: Any) -> str:
            return f"{self.name}:{q}"

        def plain(self, q: str) -> str:
            return f"{self.name}/{q}"

    assert list(properties(Desk.find)) == ["q"]
    assert await Desk("a").find.execute({"q": "x"}) == "a:x"
    assert Desk("b").find("y") == "b:y"
    assert await as_tool(Desk("c").plain).execute({"q": "x"}) == "c/x"


async def test_parameters_may_have_any_name_and_kind() -> None:
    @tool
    def odd(copy: int, /, schema: str, *, _x: int = 0, model_config: int = 1, default: object = object()) -> Any:
        return copy, schema, _x, model_config

    assert await odd.execute({"copy": "1", "schema": "s", "_x": 2}) == (1, "s", 2, 1)
    assert "default" not in odd.input_schema["required"]


async def test_arguments_are_coerced_before_the_call() -> None:
    @tool
    def take(n: int, when: date, price: Decimal, flags: set[str], by: dict[int, bool]) -> Any:
        return n, when, price, flags, by

    got = await take.execute({"n": "5", "when": "2026-01-02", "price": "1.50", "flags": ["a"], "by": {"1": "true"}})

    assert got == (5, date(2026, 1, 2), Decimal("1.50"), {"a"}, {1: True})


def test_wrong_arguments_are_named_by_pointer_with_what_was_expected() -> None:
    @tool
    def ship(to: Address, counts: list[int], how: int | Point, q: str) -> None: ...

    with pytest.raises(InvalidArguments) as caught:
        ship.check({"to": {"street": 1}, "counts": [1, "x"], "how": {"x": 1}, "qq": "?"})

    errors = {e["pointer"]: e["detail"] for e in caught.value.errors}
    assert errors["/to/street"] == "Input should be a valid string, got 1"
    assert errors["/to/zip"] == "is required"
    assert errors["/counts/1"].startswith("Input should be a valid integer")
    assert errors["/how/y"] == "is required"
    assert errors["/q"] == "is required"
    assert errors["/qq"] == "no such argument; did you mean 'q'?"
    assert "the arguments of 'ship' do not fit: /to/street: " in str(caught.value)


def test_an_unknown_argument_is_refused_with_a_suggestion() -> None:
    @tool
    def search(query: str = "") -> None: ...

    with pytest.raises(InvalidArguments, match="/qurey: no such argument; did you mean 'query'"):
        search.check({"qurey": "x"})
    with pytest.raises(InvalidArguments, match=r"/zzz: no such argument$"):
        search.check({"zzz": "x"})


def test_arguments_that_are_no_object_are_refused() -> None:
    @tool
    def search(query: str = "") -> None: ...

    with pytest.raises(InvalidArguments):
        search.check(["x"])  # type: ignore[arg-type]


def test_a_type_that_nobody_knows_is_refused_where_the_tool_is_declared() -> None:
    def f(x: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(ConfigError, match=r"tool 'f': the type 'Nowhere' of 'x' is not known"):
        tool(f)


def test_a_type_that_json_cannot_say_is_refused_where_the_tool_is_declared() -> None:
    def lock(x: threading.Thread) -> None: ...

    def call(x: typing.Callable[[], int]) -> None: ...

    for fn in (lock, call):
        with pytest.raises(ConfigError, match="whose type JSON cannot express"):
            tool(fn)


def test_an_unknown_name_in_the_return_type_does_not_matter() -> None:
    def f(x: int) -> Nowhere: ...  # type: ignore[name-defined]  # noqa: F821

    assert list(properties(tool(f))) == ["x"]


@pytest.mark.parametrize(
    ("options", "effect"),
    [({}, "keyed"), ({"destructive": True}, "irreversible"), ({"effect": "read"}, "read")],
)
def test_the_effect_follows_destructive_unless_it_is_given(options: dict[str, Any], effect: str) -> None:
    made = tool(lambda: None, name="x", **options)

    assert made.effect == made.to_def().effect == effect


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"effect": "idempotant"}, "did you mean 'idempotent'"),
        ({"effect": "read", "destructive": True}, "cannot be destructive and only read"),
        ({"timeout": 0}, "above 0"),
        ({"timeout": float("nan")}, "above 0, not nan"),
        ({"timeout": "5"}, "above 0, not '5'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        tool(lambda: None, name="x", **options)


def test_a_lambda_needs_a_name() -> None:
    with pytest.raises(ConfigError, match="give it one"):
        tool(lambda: None)


async def test_partials_and_callable_objects_can_be_tools() -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    class Double:
        """Twice."""

        async def __call__(self, n: int) -> int:
            return 2 * n

    assert await tool(functools.partial(add, 1)).execute({"b": "2"}) == 3
    assert await tool(Double()).execute({"n": "2"}) == 4
    assert tool(Double()).name == "double"


def test_a_plain_function_is_made_a_tool_once() -> None:
    def f(x: int) -> None: ...

    @functools.wraps(f)
    def g(*args: Any) -> None: ...

    assert as_tool(f) is as_tool(f)
    assert as_tool(g).fn is g
    with pytest.raises(ConfigError, match="neither a tool nor a function"):
        as_tool(3)  # type: ignore[arg-type]


def test_the_definition_is_built_once_and_follows_changes() -> None:
    made = tool(lambda: None, name="x")
    first = made.to_def()

    assert made.to_def() is first
    made.destructive = True
    assert made.to_def().destructive


async def test_a_tool_made_by_hand_is_checked_against_its_own_schema() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    made = Tool(name="raw", description="", fn=lambda **kw: kw, input_schema=schema)

    assert await made.execute({"n": 1, "other": 2}) == {"n": 1, "other": 2}
    with pytest.raises(InvalidArguments) as caught:
        made.check({"n": "x"})
    assert caught.value.errors == [{"pointer": "/n", "detail": "'x' is not of type 'integer'"}]
    assert await Tool(name="free", description="", fn=lambda **kw: kw).execute({"a": 1}) == {"a": 1}


async def test_async_functions_run_on_the_loop_and_others_in_a_thread() -> None:
    @tool
    async def here() -> int:
        return threading.get_ident()

    @tool
    def there() -> int:
        return threading.get_ident()

    assert await here.execute({}) == threading.get_ident()
    assert await there.execute({}) != threading.get_ident()


async def test_the_run_context_is_visible_in_the_thread() -> None:
    @tool
    def who() -> str | None:
        return get_run_context().user_id

    async with set_run_context(RunContext(user_id="ann")):
        assert await who.execute({}) == "ann"


async def test_a_tool_that_takes_too_long_says_so() -> None:
    @tool(timeout=0.02)
    async def slow() -> None:
        await anyio.sleep(30)

    with pytest.raises(ToolError, match=r"^tool 'slow' did not finish within 0\.02 s$"):
        await slow.execute({})


async def test_a_timeout_leaves_the_thread_of_a_sync_tool_behind() -> None:
    release, ended = threading.Event(), threading.Event()

    @tool(timeout=0.5)  # by then the thread has begun, also on a busy machine
    def slow() -> None:
        release.wait(30)
        ended.set()

    with pytest.raises(ToolError, match="its thread was left behind"):
        await slow.execute({})
    assert not ended.is_set()
    release.set()
    assert ended.wait(5)


async def test_a_cancellation_does_not_wait_for_the_thread_of_a_sync_tool() -> None:
    release = threading.Event()
    slow = tool(lambda: release.wait(30), name="slow")

    start = time.monotonic()
    with anyio.move_on_after(0.02) as scope:
        await slow.execute({})
    took = time.monotonic() - start
    release.set()

    assert scope.cancelled_caught
    assert took < 10


async def test_an_error_of_the_tools_own_clock_is_not_taken_for_ours() -> None:
    @tool(timeout=30)
    async def slow() -> None:
        raise TimeoutError("the database")

    with pytest.raises(TimeoutError, match="the database"):
        await slow.execute({})


async def test_a_call_is_undone_with_its_arguments_and_its_output() -> None:
    undone: list[Any] = []

    @tool(compensate=lambda order, result: undone.append((order, result)))
    def pay(order: int, amount: float) -> str:
        return "receipt-1"

    output = await pay.execute({"order": "7", "amount": 2})
    await pay.undo({"order": "7", "amount": 2}, output)

    assert undone == [(7, "receipt-1")]
    with pytest.raises(ConfigError, match="cannot be undone"):
        await tool(lambda: None, name="x").undo({})


# Any nesting of the supported types: each strategy draws (type, strategy of its values).
SCALARS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers(-(2**53), 2**53)),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (bool, st.booleans()),
    (str, st.text(max_size=8)),
    (Color, st.sampled_from(Color)),
    (Literal["a", 3], st.sampled_from(["a", 3])),
    (Address, st.builds(Address, street=st.text(max_size=5), zip=st.integers(0, 9999))),
    (Point, st.builds(Point, x=st.integers(), y=st.integers())),
    (Order, st.fixed_dictionaries({"item": st.text(max_size=5)}, optional={"count": st.integers()})),
    (UUID, st.uuids()),
    (datetime, st.datetimes()),
    (Annotated[int, Field(description="n", ge=0)], st.integers(0, 10**6)),
]


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        inner.map(lambda p: (list[p[0]], st.lists(p[1], max_size=3))),
        inner.map(lambda p: (dict[str, p[0]], st.dictionaries(st.text(max_size=4), p[1], max_size=3))),
        inner.map(lambda p: (p[0] | None, st.none() | p[1])),
        st.tuples(inner, inner).map(lambda p: (tuple[p[0][0], p[1][0]], st.tuples(p[0][1], p[1][1]))),
        inner.map(lambda p: (tuple[p[0], ...], st.lists(p[1], max_size=3).map(tuple))),
        inner.map(lambda p: (list[p[0]] | bool, st.lists(p[1], max_size=2) | st.booleans())),
    )


# Not async: Hypothesis leaves `data.draw` by an exception, and an event loop prints the traceback of each. CPython
# before 3.11.8 may fail with a SystemError when it prints one (github.com/python/cpython/issues/106905).
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.recursive(st.sampled_from(SCALARS), nested, max_leaves=6), st.data())
def test_any_nesting_of_types_round_trips_and_fits_its_schema(shape: Any, data: st.DataObject) -> None:
    annotation, values = shape
    value = data.draw(values)

    def echo(x: Any) -> Any:
        return x

    echo.__annotations__["x"] = annotation
    made = tool(echo)
    sent = {"x": TypeAdapter(object).dump_python(value, mode="json")}

    jsonschema.Draft202012Validator.check_schema(made.input_schema)
    jsonschema.validate(sent, made.input_schema)
    assert made.check(sent) == {"x": value}


def test_an_async_function_cannot_be_part_of_a_transaction() -> None:
    async def book(seat: str) -> str:
        """Book a seat."""
        return seat

    with pytest.raises(ConfigError, match="tool 'book' is async, and a transaction is not: make it a plain function"):
        tool(book, effect="transactional")
