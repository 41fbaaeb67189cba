"""The remark on BatchNorm statistics of malicious clients that the global model does not get."""

from server.model_parts import ModelParts


def statistics_remarks(parts: ModelParts) -> list[str]:
    """Return that the attack poisons BatchNorm statistics which the server measures anew on its own clean images.

    Args:
        parts: the server's.
    """
    study = parts.study
    if not study.schedule.malicious or not study.attack.poisons_statistics:
        return []
    if parts.batchnorm_policy != "recalibrate":
        return []
    return [
        f'poisoning.attack = "{study.experiment.poisoning.attack}" poisons BatchNorm statistics, too, and the global '
        "model gets none of them: they are measured anew on the server's validation images, which are clean. A server "
        'without such images is easier to attack: model.batchnorm-policy = "moments" or "average" uses those of clients'
    ]
