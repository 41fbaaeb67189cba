"""What a run's record says before the first round."""

from fedrobust.engines.grid import SimulatedGrid
from fedrobust.models.classifier import Classifier
from fedrobust.runs.environment import environment, occasion
from fedrobust.runs.promised import told
from fedrobust.runs.record import ModelRecord
from fedrobust.study.file_digests import file_digests
from server.parts import ServerParts
from server.promises import privacy_record
from server.recorder import Recorder, described
from server.sites import sites_record
from server.stages.heterogeneity import heterogeneity_record
from server.unused_statistics import statistics_remarks


def note_beginning(recorder: Recorder, parts: ServerParts, classifier: Classifier) -> None:
    """Note promise, tolerance, machine, data, model, remarks and the division of the images.

    Args:
        recorder: of the run.
        parts: the server's.
        classifier: the global model.
    """
    study, model = parts.study, parts.study.experiment.model
    recorder.note(
        privacy=privacy_record(parts),
        tolerance=parts.tolerance,
        # From the first checkpoint on a run of a deployment is known as one: it is not resumed as a simulation.
        sites=sites_record(),
        environment=environment(parts.workers) | occasion(),
        dataset=described(study.dataset),
        file_digests=file_digests(study) or None,
        model=ModelRecord(
            name=model.name,
            network_digest=study.network_digest or None,
            parameters=classifier.parameters,
            weights=model.weights,
            image_size=model.image_size,
            batchnorm=parts.batchnorm_policy,
        ),
    )
    record = recorder.run
    said = *statistics_remarks(parts), *parts.network_remarks(), *told(record.privacy)
    recorder.note(remarks=(*record.remarks, *said))
    if isinstance(parts.grid, SimulatedGrid) and parts.class_counts is not None:
        recorder.note(heterogeneity=heterogeneity_record(study, parts.class_counts))
