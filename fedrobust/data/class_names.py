"""Names of classes in a text, such as an option of the command line, and in messages; a name may contain a comma."""

from collections.abc import Collection, Sequence


def names_in(given: Sequence[str] | str, known: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names in a text: between semicolons if it has any, else between commas; other sequences as they are.

    Args:
        given: the text, or the names.
        known: names that may occur: a text that is one of them is that one, whatever it contains.

    Example:
        >>> names_in("benign, malignant"), names_in("normal, benign; malignant"), names_in("normal, benign;")
        (('benign', 'malignant'), ('normal, benign', 'malignant'), ('normal, benign',))
        >>> names_in("rare, very", known=["healthy", "rare, very"])
        ('rare, very',)
    """
    if not isinstance(given, str):
        return tuple(given)
    if given.strip() in known:
        return (given.strip(),)
    return tuple(name.strip() for name in given.split(";" if ";" in given else ",") if name.strip())


def as_option(names: Sequence[str]) -> str:
    """Return the text that `names_in` reads as these names.

    Example:
        >>> as_option(("benign", "malignant")), as_option(("rare", "normal, benign")), as_option(("normal, benign",))
        ('benign,malignant', 'rare;normal, benign', 'normal, benign;')
    """
    if not any("," in name for name in names):
        return ",".join(names)
    return ";".join(names) + (";" if len(names) == 1 else "")


def quoted(names: Sequence[object], most: int | None = None) -> str:
    """Return names for a message, in quotes: a comma in a name is told from one between names; numbers without.

    Args:
        names: them.
        most: number of names after which the others are counted; None: all.

    Example:
        >>> quoted(["healthy", "rare, very"]), quoted(["a", "b", "c"], most=2)
        ("'healthy', 'rare, very'", "'a', 'b' and 1 more")
    """
    shown = names[:most]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return f"{', '.join(map(repr, shown))}{more}"


def separators_told(given: Sequence[str] | str, names: Sequence[str]) -> str:
    """Return advice for a text whose names were taken apart at commas, where a name contains one.

    Example:
        >>> separators_told("rare, very, healthy", ["healthy", "rare, very"])
        '. A name contains a comma: put semicolons between names'
        >>> separators_told("rare, healthy", ["healthy", "rare"]), separators_told(["rare"], ["rare, very"])
        ('', '')
    """
    if isinstance(given, str) and any("," in name for name in names):
        return ". A name contains a comma: put semicolons between names"
    return ""
