"""Language models: which there are, having them run, and what they help with."""

from promptforge.actors.ai.assistant.actor import AssistantActor
from promptforge.actors.ai.messages import ListModels, RunModel, SettleRun, StreamRun, SweepRuns
from promptforge.actors.ai.models.actor import ModelsActor
from promptforge.actors.ai.trials.actor import TrialsActor
from promptforge.actors.ai.usage.actor import UsageActor
from promptforge.actors.ai.usage.messages import FoldUsage

__all__ = [
    "AssistantActor",
    "FoldUsage",
    "ListModels",
    "ModelsActor",
    "RunModel",
    "SettleRun",
    "StreamRun",
    "SweepRuns",
    "TrialsActor",
    "UsageActor",
]
