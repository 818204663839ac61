"""The strategies of agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.architectures.actor_critic import ActorCritic as ActorCritic
    from agents.core.architectures.base import AgentSession as AgentSession
    from agents.core.architectures.base import Architecture as Architecture
    from agents.core.architectures.base import Dependencies as Dependencies
    from agents.core.architectures.blackboard import Blackboard as Blackboard
    from agents.core.architectures.blackboard import BlackboardArchitecture as BlackboardArchitecture
    from agents.core.architectures.blackboard import BlackboardEntry as BlackboardEntry
    from agents.core.architectures.debate import MultiAgentDebate as MultiAgentDebate
    from agents.core.architectures.plan_and_execute import Plan as Plan
    from agents.core.architectures.plan_and_execute import PlanAndExecute as PlanAndExecute
    from agents.core.architectures.plan_and_execute import PlanStep as PlanStep
    from agents.core.architectures.plan_and_execute import StepResult as StepResult
    from agents.core.architectures.react import ReAct as ReAct
    from agents.core.architectures.reflexion import Reflexion as Reflexion
    from agents.core.architectures.resolver import resolve_architecture as resolve_architecture
    from agents.core.architectures.rewoo import ReWOO as ReWOO
    from agents.core.architectures.rewoo import ReWOOPlan as ReWOOPlan
    from agents.core.architectures.rewoo import ReWOOStep as ReWOOStep
    from agents.core.architectures.rewoo import ReWOOStepResult as ReWOOStepResult
    from agents.core.architectures.router import Router as Router
    from agents.core.architectures.router import RouterRoute as RouterRoute
    from agents.core.architectures.self_refine import SelfRefine as SelfRefine
    from agents.core.architectures.supervisor import Supervisor as Supervisor
    from agents.core.architectures.swarm import Handoff as Handoff
    from agents.core.architectures.swarm import Swarm as Swarm
    from agents.core.architectures.tree_of_thoughts import ThoughtNode as ThoughtNode
    from agents.core.architectures.tree_of_thoughts import TreeOfThoughts as TreeOfThoughts

HOMES = {
    "ActorCritic": "agents.core.architectures.actor_critic",
    "AgentSession": "agents.core.architectures.base",
    "Architecture": "agents.core.architectures.base",
    "Blackboard": "agents.core.architectures.blackboard",
    "BlackboardArchitecture": "agents.core.architectures.blackboard",
    "BlackboardEntry": "agents.core.architectures.blackboard",
    "Dependencies": "agents.core.architectures.base",
    "Handoff": "agents.core.architectures.swarm",
    "MultiAgentDebate": "agents.core.architectures.debate",
    "Plan": "agents.core.architectures.plan_and_execute",
    "PlanAndExecute": "agents.core.architectures.plan_and_execute",
    "PlanStep": "agents.core.architectures.plan_and_execute",
    "ReAct": "agents.core.architectures.react",
    "ReWOO": "agents.core.architectures.rewoo",
    "ReWOOPlan": "agents.core.architectures.rewoo",
    "ReWOOStep": "agents.core.architectures.rewoo",
    "ReWOOStepResult": "agents.core.architectures.rewoo",
    "Reflexion": "agents.core.architectures.reflexion",
    "Router": "agents.core.architectures.router",
    "RouterRoute": "agents.core.architectures.router",
    "SelfRefine": "agents.core.architectures.self_refine",
    "StepResult": "agents.core.architectures.plan_and_execute",
    "Supervisor": "agents.core.architectures.supervisor",
    "Swarm": "agents.core.architectures.swarm",
    "ThoughtNode": "agents.core.architectures.tree_of_thoughts",
    "TreeOfThoughts": "agents.core.architectures.tree_of_thoughts",
    "resolve_architecture": "agents.core.architectures.resolver",
}

__all__ = [
    "ActorCritic",
    "AgentSession",
    "Architecture",
    "Blackboard",
    "BlackboardArchitecture",
    "BlackboardEntry",
    "Dependencies",
    "Handoff",
    "MultiAgentDebate",
    "Plan",
    "PlanAndExecute",
    "PlanStep",
    "ReAct",
    "ReWOO",
    "ReWOOPlan",
    "ReWOOStep",
    "ReWOOStepResult",
    "Reflexion",
    "Router",
    "RouterRoute",
    "SelfRefine",
    "StepResult",
    "Supervisor",
    "Swarm",
    "ThoughtNode",
    "TreeOfThoughts",
    "resolve_architecture",
]

__getattr__, __dir__ = door(__name__, HOMES)
