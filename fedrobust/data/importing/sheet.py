"""A picture sheet: some images of each class and site, with their names."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

COLUMNS = 8
"""Images in a row."""

ROWS = 60
"""Rows at most: a sheet of more classes and sites shows the first ones, and says so."""

SIDE = 112
"""Height and width of an image on the sheet, in pixels."""

MARGIN, CAPTION, NAME = 8, 22, 16


def sheet(
    images: NDArray[np.uint8], rows_of: Sequence[str], names: Sequence[str], title: str, seed: int = 0
) -> Image.Image:
    """Return a sheet with a row for each group of images, such as a class at a site.

    Args:
        images: uint8 (n, height, width, 1 or 3).
        rows_of: the group of every image, such as ``"healthy, Bern"``.
        names: of the images, shown below them.
        title: the first line.
        seed: draws the images of a group that has more than `COLUMNS`.
    """
    rng = np.random.default_rng(seed)
    members: dict[str, list[int]] = {}
    for place, group in enumerate(rows_of):
        members.setdefault(group, []).append(place)
    shown = sorted(members)[:ROWS]
    if len(members) > ROWS:
        title += f"; the first {ROWS} of {len(members)} classes and sites"
    step = SIDE + MARGIN
    height = MARGIN + CAPTION + len(shown) * (CAPTION + SIDE + NAME + MARGIN)
    page = Image.new("RGB", (COLUMNS * step + MARGIN, height), "white")
    pen, font, small = ImageDraw.Draw(page), ImageFont.load_default(14), ImageFont.load_default(10)
    pen.text((MARGIN, MARGIN), title, "black", font)
    top = MARGIN + CAPTION
    for group in shown:
        places = np.array(members[group])
        chosen = np.sort(rng.choice(places, min(COLUMNS, len(places)), replace=False))
        pen.text((MARGIN, top), f"{group}: {len(places)} images", "black", font)
        for column, place in enumerate(chosen.tolist()):
            left = MARGIN + column * step
            page.paste(_picture(images[place]), (left, top + CAPTION))
            pen.text((left, top + CAPTION + SIDE + 2), _short(names[place]), "dimgray", small)
        top += CAPTION + SIDE + NAME + MARGIN
    return page


def _picture(image: NDArray[np.uint8]) -> Image.Image:
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    enlarge = Image.Resampling.NEAREST if image.shape[0] < SIDE else Image.Resampling.BICUBIC
    return picture.resize((SIDE, SIDE), enlarge)


def _short(name: str) -> str:
    """Return the end of a name, as much as fits below an image.

    Example:
        >>> _short("images/healthy/patient-0001/left-breast-3.png")
        '.../left-breast-3.png'
    """
    return name if len(name) <= 18 else f"...{name[-18:]}"
