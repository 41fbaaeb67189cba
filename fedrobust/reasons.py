"""The reason of a failure in one line."""

import re
from collections import Counter
from collections.abc import Iterable

from fedrobust.plain import plain_text

NO_REASON = "it does not say why"

MOST_LINES = 400

_FRAMES = re.compile(r"^Traceback\b.*$", re.MULTILINE)

# TensorFlow's text around the reason: headings, names of graph nodes, and counts.
_AROUND = re.compile(
    r"^(?:"
    r"\[\[.*"
    r"|detected at node .*"
    r"|node: .*"
    r"|<stack traces unavailable>"
    r"|original stack trace .*"
    r"|\d+ root error\(s\) found\.?"
    r"|\d+ successful operations\..*"
    r"|graph execution error:?"
    r"|stack trace for op definition.*"
    r'|file ".*", line \d+.*'
    r")$",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"^\(\d+\)\s*")
_OPERATION = re.compile(r"\s*\[Op:[^\]]*\]")
_FUNCTION_NODE = re.compile(r"\{\{(?:function_node|node) [^}]*\}\}\s*")
# Flower's text around the exception of a ClientApp: <class 'fedrobust.data.dataset.DataError'>:<'no such file'>
_WRAPPED = re.compile(r"\s*<class '(?:\w+\.)*(?P<kind>\w+)'>:<'(?P<text>.*)'>\s*", re.DOTALL)
_MODULE = re.compile(r"^(?:[A-Za-z_]\w*\.)+(?=[A-Z]\w*:)")


def first_reason(text: str) -> str:
    r"""Return the reason of a failure in one line: of a traceback, the first line of its last error.

    TensorFlow begins its errors with headings and ends them with the names of a graph's nodes: the first line that says
    something is told, behind the kind of the error.

    Args:
        text: an error's message or a traceback, of any origin: terminal sequences and line ends are taken out of it.

    Example:
        >>> first_reason("Traceback (most recent call last):\n  File ...\nOSError: the disk is full\nsince noon")
        'OSError: the disk is full'
        >>> first_reason("InvalidArgumentError: Graph execution error:\n\nDetected at node while/GatherV2_2 defined at "
        ...     "(most recent call last):\n<stack traces unavailable>\nindices[3] = 7 is not in [0, 2)\n"
        ...     "\t [[{{node while/GatherV2_2}}]] [Op:__inference_2]")
        'InvalidArgumentError: indices[3] = 7 is not in [0, 2)'
    """
    if wrapped := _WRAPPED.fullmatch(text):
        text = f"{wrapped['kind']}: {wrapped['text']}"
    *_, last = _FRAMES.split(text)
    # The work is bounded: of very many lines, or of a long one, the beginning is looked at.
    lines = [line for line in last.splitlines()[:MOST_LINES] if plain_text(line, most=40)]
    if len(last) < len(text):  # in a traceback the lines of frames are indented, those of the error are not
        start = next((place for place, line in enumerate(lines) if not line[0].isspace()), len(lines))
        lines = lines[start:]
    heading = ""
    for line in lines:
        said = plain_text(_NUMBERED.sub("", _OPERATION.sub("", _FUNCTION_NODE.sub("", line.strip()))))
        said = _MODULE.sub("", said)
        if not said or _AROUND.match(said):
            continue
        if said.endswith(":"):
            # "InvalidArgumentError: Graph execution error:" and the like: the kind stays, what follows is the reason.
            heading = heading or said
            continue
        kind, colon, _ = heading.partition(":")
        return plain_text(f"{kind}{colon} {said}" if heading else said)
    return plain_text(heading) or (NO_REASON if lines else plain_text(text) or NO_REASON)


def counted(reasons: Iterable[str]) -> list[tuple[str, int]]:
    """Return each reason once with its frequency, the most frequent first.

    Example:
        >>> counted(["disk full", "no data", "no data"])
        [('no data', 2), ('disk full', 1)]
    """
    return Counter(reasons).most_common()
