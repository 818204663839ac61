"""Agents with their versions, runs with their journals, schedules, and the workers that are alive."""

from agents.models.agents import Agent, AgentLabel, AgentVersion
from agents.models.runs import Blob, Run, RunEvent, excerpt
from agents.models.schedules import Firing, Schedule
from agents.models.workers import Worker

__all__ = [
    "Agent",
    "AgentLabel",
    "AgentVersion",
    "Blob",
    "Firing",
    "Run",
    "RunEvent",
    "Schedule",
    "Worker",
    "excerpt",
]
