"""The student of a study as a function of its weights."""

from typing import TYPE_CHECKING, Any

from fedrobust.defences.contract import is_learned
from fedrobust.study.study import Study
from fedrobust.training.distillation_methods.contract import trait

if TYPE_CHECKING:
    from fedrobust.models.classifier import Classifier


def student_of(study: Study) -> "Classifier":
    """Return the student with random weights of its own, behind the study's prediction-time defence.

    It has BatchNorm and the pixel range of its architecture, whatever the settings of the global model are; of a method
    that needs the teacher's network (``same_network``) it has what replaces BatchNorm, and the pixel range, from them.

    Raises:
        ModelError: the student cannot be built as asked.
    """
    # Starts TensorFlow.
    from fedrobust.models.remembered import remembered_classifier

    settings, model, problem = study.experiment.distillation, study.experiment.model, study.problem
    same = trait(study.distillation_method, "same_network")
    as_teacher: dict[str, Any] = {"normalization": model.normalization, "scaling": model.scaling}
    return remembered_classifier(
        study.network_name(settings.student),
        problem.image_shape,
        problem.classes,
        multilabel=problem.multilabel,
        image_size=settings.image_size,
        momentum=model.batchnorm_momentum,
        seed=study.weights_seed(model=1),
        defence=None if is_learned(study.prediction_defence) else study.prediction_defence,
        **(as_teacher if same else {}),
    )
