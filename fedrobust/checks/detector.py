"""Checks of the detector against the data and the prediction-time defence."""

from collections.abc import Iterator
from typing import Any

from fedrobust.config.sections import Model
from fedrobust.defences.contract import is_vote
from fedrobust.detectors.contract import FEWEST, needs_features


def detector_fits(model: Model, detector: Any, defence: Any, images: int) -> Iterator[str]:
    """A detector has enough images to be fitted to, and the features that it looks at.

    Args:
        model: names detector and defence.
        detector: the study's; None: there is none.
        defence: the study's prediction-time defence; None: there is none.
        images: of the validation split.
    """
    if detector is None:
        return
    named = f'model.detector = "{model.detector}"'
    if images < FEWEST:
        yield (
            f"{named}: detector and threshold are fitted to {FEWEST} validation images or more, the data have "
            f'{images}; give more, or set it to "none"'
        )
    if needs_features(detector) and is_vote(defence):
        yield (
            f'{named} with model.defence = "{model.defence}": the detector takes the inputs of a last Dense layer, and '
            'the model ends in a vote; choose "feature-squeezing", or a defence that does not vote, such as "median"'
        )
