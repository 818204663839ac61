"""The public names of Loom. `from loom import Agent, Workflow, tool`: each loads when it is first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.agent import Agent as Agent
    from agents.core.architectures.react import ReAct as ReAct
    from agents.core.llm.echo import EchoModel as EchoModel
    from agents.core.llm.scripted import ScriptedModel as ScriptedModel
    from agents.core.llm.scripted import ScriptedTurn as ScriptedTurn
    from agents.core.registry import register as register
    from agents.core.result import RunResult as RunResult
    from agents.core.tools.tool import Tool as Tool
    from agents.core.tools.tool import tool as tool
    from agents.core.workflow import END as END
    from agents.core.workflow import START as START
    from agents.core.workflow import Workflow as Workflow
    from agents.core.workflow import WorkflowResult as WorkflowResult
    from agents.core.workflow import step as step
    from loom.context import IsolationWarning as IsolationWarning
    from loom.context import LoomDeprecationWarning as LoomDeprecationWarning
    from loom.context import RunContext as RunContext
    from loom.context import get_run_context as get_run_context
    from loom.context import set_run_context as set_run_context
    from loom.errors import BudgetExceeded as BudgetExceeded
    from loom.errors import ConfigError as ConfigError
    from loom.errors import LoomError as LoomError
    from loom.errors import OutputValidationError as OutputValidationError
    from loom.events import Event as Event
    from loom.events import EventKind as EventKind
    from loom.ids import new_id as new_id
    from loom.messages import Message as Message
    from loom.messages import Role as Role
    from loom.messages import ToolCall as ToolCall
    from loom.messages import ToolDef as ToolDef
    from loom.messages import ToolResult as ToolResult
    from loom.messages import Usage as Usage

HOMES = {
    "Agent": "agents.core.agent",
    "BudgetExceeded": "loom.errors",
    "ConfigError": "loom.errors",
    "END": "agents.core.workflow",
    "EchoModel": "agents.core.llm.echo",
    "Event": "loom.events",
    "EventKind": "loom.events",
    "IsolationWarning": "loom.context",
    "LoomDeprecationWarning": "loom.context",
    "LoomError": "loom.errors",
    "Message": "loom.messages",
    "OutputValidationError": "loom.errors",
    "ReAct": "agents.core.architectures.react",
    "Role": "loom.messages",
    "RunContext": "loom.context",
    "RunResult": "agents.core.result",
    "START": "agents.core.workflow",
    "ScriptedModel": "agents.core.llm.scripted",
    "ScriptedTurn": "agents.core.llm.scripted",
    "Tool": "agents.core.tools.tool",
    "ToolCall": "loom.messages",
    "ToolDef": "loom.messages",
    "ToolResult": "loom.messages",
    "Usage": "loom.messages",
    "Workflow": "agents.core.workflow",
    "WorkflowResult": "agents.core.workflow",
    "get_run_context": "loom.context",
    "new_id": "loom.ids",
    "register": "agents.core.registry",
    "set_run_context": "loom.context",
    "step": "agents.core.workflow",
    "tool": "agents.core.tools.tool",
}

__version__ = "0.1.0"
__all__ = [
    "END",
    "START",
    "Agent",
    "BudgetExceeded",
    "ConfigError",
    "EchoModel",
    "Event",
    "EventKind",
    "IsolationWarning",
    "LoomDeprecationWarning",
    "LoomError",
    "Message",
    "OutputValidationError",
    "ReAct",
    "Role",
    "RunContext",
    "RunResult",
    "ScriptedModel",
    "ScriptedTurn",
    "Tool",
    "ToolCall",
    "ToolDef",
    "ToolResult",
    "Usage",
    "Workflow",
    "WorkflowResult",
    "__version__",
    "get_run_context",
    "new_id",
    "register",
    "set_run_context",
    "step",
    "tool",
]

__getattr__, __dir__ = door(__name__, HOMES)
