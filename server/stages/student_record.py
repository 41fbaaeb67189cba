"""The record of the student, beside that of its control."""

from fedrobust.models.layout import Weights
from fedrobust.runs.record import EvaluationRecord, StudentRecord
from server.errors import UnmeasurableError
from server.soundness import weights_fault
from server.stages.distillation import Student
from server.stages.evaluation import Evaluator
from server.stages.measurable import measurable
from server.stages.predictions import predictions_of


def student_record(
    name: str, student: Student, control: tuple[Evaluator, Weights] | None, evaluator: Evaluator
) -> StudentRecord:
    """Return the record of the student, measured with its control under the same attacks.

    Args:
        name: of its network, as in the study.
        student: the student.
        control: evaluator and weights of the label-trained control; None: there is none.
        evaluator: of the student.

    Raises:
        UnmeasurableError: the student's weights, or logits of one of them, are not finite.
    """
    if fault := weights_fault(student.weights, student.classifier.layout):
        raise UnmeasurableError(f"the student diverged: {fault}; lower distillation.learning-rate")
    with measurable("the student"):
        found = EvaluationRecord.of(evaluator.test(student.weights))
    with measurable("the control of the student"):
        beside = None if control is None else EvaluationRecord.of(control[0].test(control[1]))
    return StudentRecord(
        name=name,
        parameters=student.classifier.layout.parameters,
        clean=found.clean,
        robust=found.robust,
        distillation=student.record,
        control=beside,
        predictions=predictions_of(evaluator, student.weights),
    )
