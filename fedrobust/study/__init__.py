"""The composition root: `Study` builds every part of a study once from its settings.

`fedrobust.study.local_training`, which runs a client's round, is not imported here: it starts TensorFlow.
"""

from fedrobust.study.study import Study

__all__ = ["Study"]
