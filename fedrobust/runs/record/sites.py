"""The sites of a deployment, as ``result.json`` holds them."""

from fedrobust.runs.codec import entry, record


@record
class SiteRecord:
    """One admitted site of a deployment."""

    client: int = entry("its number in the study")
    name: str = entry("of its key at the server")
    images: int | None = entry("training images that it reported; null where it took no part", default=None)
