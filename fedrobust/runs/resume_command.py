"""The command that resumes a run."""

import shlex
from pathlib import Path


def resume_command(folder: str | Path, deployed: bool) -> str:
    """Return the command that resumes the run in `folder`.

    Args:
        folder: of the run.
        deployed: whether it ran at the sites of a deployment. It is resumed there: a simulation would train on the
            server's own images in place of theirs. SERVER stands for the server's folder.

    Example:
        >>> resume_command("runs/quickstart", deployed=False)
        'fedrobust run --resume runs/quickstart'
        >>> resume_command("runs/my study", deployed=False)
        "fedrobust run --resume 'runs/my study'"
        >>> resume_command("runs/hospitals", deployed=True)
        'fedrobust deploy run SERVER --set output.resume=true --set output.dir=runs/hospitals'
    """
    if deployed:
        return f"fedrobust deploy run SERVER --set output.resume=true --set {shlex.quote(f'output.dir={folder}')}"
    return f"fedrobust run --resume {shlex.quote(str(folder))}"
