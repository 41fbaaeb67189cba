"""What a server is told of an error at a site: nothing that the error says of the site's images."""

from fedrobust.data.dataset import DataError
from fedrobust.errors import FedrobustError

UNFIT = (
    "the site's images, or a file that the study names, cannot be read or do not fit the study: the log of the site's "
    "node and fedrobust deploy check there say what is wrong"
)
"""What a server is told of a `DataError`."""


class SiteError(FedrobustError, RuntimeError):
    """What a server is told in place of an error that may name values of a site's images; that error is its cause."""


def told_server(error: Exception) -> Exception:
    """Return `error` if its text may leave a site, else the `SiteError` that is told in its place.

    Sentences of this project name settings, paths and numbers of images; only a `DataError` names labels or grey
    levels. What the texts of other programs name, such as TensorFlow's, is not known.

    Example:
        >>> told_server(ValueError("label 3"))
        SiteError('ValueError: its text is in the log at the site')
        >>> told_server(DataError("train_labels go up to 3")).args == (UNFIT,)
        True
        >>> told_server(FedrobustError("round 3 is not trained"))
        FedrobustError('round 3 is not trained')
    """
    if isinstance(error, DataError):
        return SiteError(UNFIT)
    if isinstance(error, FedrobustError):
        return error
    return SiteError(f"{type(error).__name__}: its text is in the log at the site")
