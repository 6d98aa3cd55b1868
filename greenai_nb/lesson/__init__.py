"""What a notebook imports to be a lesson: parameters, records, claims, exercises, predictions."""

from greenai_nb.lesson.exercises import exercise
from greenai_nb.lesson.notebook import check, claim, receipt, record
from greenai_nb.lesson.predictions import predict, settle

__all__ = ["check", "claim", "exercise", "predict", "receipt", "record", "settle"]
