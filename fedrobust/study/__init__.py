"""The composition root: `Study` builds every part of a study from its settings, once, and hands it down.

`fedrobust.study.local_training`, which runs a client's round, is imported by name: it starts TensorFlow.
"""

from fedrobust.study.study import Study

__all__ = ["Study"]
