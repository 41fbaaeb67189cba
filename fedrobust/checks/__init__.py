"""Everything that a study names, checked against everything else and against its data, before its first round.

`check_data` needs no TensorFlow, which is imported inside of functions, and comes first; `check_models` looks at what
the networks see. Both tell everything that is wrong at once. Server, doctor, sweeps and the Python interface call them;
what a family's members demand of the data is their own business: they may have a method ``require``, which raises
ValueError in words.
"""

from fedrobust.checks.check import check, check_data, check_models, check_protection
from fedrobust.checks.reach import check_reach

__all__ = ["check", "check_data", "check_models", "check_protection", "check_reach"]
