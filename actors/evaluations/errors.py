"""What an evaluation refuses."""

from __future__ import annotations

from promptforge.core.errors import Conflict


class EvaluationOver(Conflict):
    code = "evaluation_over"
    title = "The evaluation has ended already"


class EvaluationNotFinished(Conflict):
    code = "evaluation_not_finished"
    title = "Only evaluations that are finished can be compared or shown"


class DifferentDatasets(Conflict):
    code = "different_datasets"
    title = "Only evaluations on the same revision of a dataset can be compared"
