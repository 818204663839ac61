"""The two doors to the outside: asking a model, and running the tool calls it answers with.

Every architecture goes through here, so the gate, the journal, the audit log and the telemetry see everything:

    reply   = await call_model(session, deps, messages, step="turn:1/model")
    results = await call_tools(session, deps, reply.tool_calls, step="turn:1")

Both skip what is not wired. A step's name is its structural path within the run; the loop puts the worker's path
before it.
"""

from agents.core.loop.models import OnChunk, Reply, Request, ask, call_model
from agents.core.loop.telling import is_recorded
from agents.core.loop.tools import MAY_HAVE_HAPPENED, Permitted, call_tools, tool_messages

__all__ = [
    "MAY_HAVE_HAPPENED",
    "OnChunk",
    "Permitted",
    "Reply",
    "Request",
    "ask",
    "call_model",
    "call_tools",
    "is_recorded",
    "tool_messages",
]
