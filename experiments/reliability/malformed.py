"""Replies that no honest client sends, drawn from a seed: as objects of a process, and as the bytes of Flower's wire.

Three generators: mutations of an honest reply's structure (types, names, counts, sizes, numbers, lies about arrays),
headers of NumPy's format that follow its grammar only roughly, and flips, cuts and insertions in encoded bytes.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.proto.message_pb2 import ObjectTree

from fedrobust.flower.records import LiveArray, weights_record
from fedrobust.models.layout import Entry, Layout, Weights

LAYOUT = Layout((Entry("kernel", (300,), "trainable"), Entry("mean", (20,), "statistic")))
Draw = np.random.Generator


def honest_content(value: float, round: int) -> RecordDict:
    """Return what an honest client answers, all its weights being `value`."""
    sizes = LAYOUT.parameters, LAYOUT.statistics
    weights = Weights(*(np.full(size, value, np.float32) for size in sizes))
    metrics = MetricRecord({"num-examples": 10, "loss": 0.5, "seconds": 1.0, "round": round})
    return RecordDict({"weights": weights_record(weights), "metrics": metrics})


# -- Objects -----------------------------------------------------------------------------------------------------------


def one(draw: Draw, *choices: Any) -> Any:
    """Return one of `choices`."""
    return choices[draw.integers(len(choices))]


NUMBERS: tuple[object, ...] = (
    0, -1, 1, 2**31, 2**53, 2**63, 2**64, -(2**63) - 1, 10**400, -(10**5000), True, 1.0, 0.5, -0.0, 1e-320, 1.7e308,
    -1.7e308, math.nan, math.inf, -math.inf, "7", b"7", None, [], [1], [1.5] * 3, list(range(20_000)), np.float32(1),
    np.int64(3), 1j,
)  # fmt: skip
LONG_TEXT, LONG_BYTES = "y" * 2_000_000, b"z" * 2_000_000


def numbers(draw: Draw) -> object:
    """Return a number, or what stands where a number should."""
    return one(draw, *NUMBERS)


def texts(draw: Draw) -> str:
    """Return a text that is no name."""
    return str(
        one(
            draw, "", "weights", "x" * 100_000, "\x00", "\x1b[2J\x1b]0;owned\x07", "\ud800", "\u202eabc", "a\nb",
            "../..",
            "[/bold]", "<script>", "{{x}}", "\U0010ffff", "round\u0301",
        )
    )  # fmt: skip


class SlyError(BaseException):
    """What an object of a client's own class raises when it is looked at; not even an Exception."""


def _raise(*_: object) -> object:
    raise SlyError


SLY = type(
    "Sly", (), dict.fromkeys(("__str__", "__len__", "__iter__", "__eq__", "__getattr__", "__bool__"), _raise)
)
SLY_DICT: type[dict[Any, Any]] = type(
    "SlyDict", (dict,), dict.fromkeys(("items", "keys", "values", "__iter__", "__len__", "get"), _raise)
)
SLY_FLOAT = type(
    "SlyFloat", (float,), dict.fromkeys(("__float__", "__le__", "__ge__", "__str__", "__abs__"), _raise)
)
SLY_TEXT = type(
    "SlyText",
    (str,),
    dict.fromkeys(("__str__", "__eq__", "__len__", "__getitem__"), _raise) | {"__hash__": str.__hash__},
)
SLY_ARRAY = type("SlyArray", (LiveArray,), {"numpy": _raise, "data": property(_raise), "deflate": _raise})
SLY_MESSAGE = type("SlyMessage", (Message,), {"content": property(_raise), "metadata": property(_raise)})


def force(record: object, key: object, value: object) -> None:
    """Put a value into one of Flower's dictionaries without its checks."""
    record.__dict__["_data"][key] = value


def headers(draw: Draw) -> bytes:
    """Return an array's bytes whose header follows NumPy's grammar roughly."""
    shapes = (
        "()", "(300,)", "(20,)", "(-1,)", "(300)", f"({2**63},)", f"({2**64}, 0)", f"({10**30},)", "(1.0,)", "(True,)",
        "(300,,)", "(" * 2000, "(" + "1," * 2000 + ")", "[300]", "None", "('a',)", "(0x12c,)", "(3_0_0,)", "(1e3,)",
        "(0, " + str(2**47) + ", " + str(2**47) + ")", "(" + "1, " * 40 + ")", "(٣٠٠,)", "(lambda: 0)()", "(9" * 500,
    )  # fmt: skip
    descrs = (
        "'<f4'", "'>f4'", "'|O'", "'<U4'", "'|V0'", "'|S0'", "'<f3'", "'<f99'", "[('a', '<f4')]", "None", "''",
        "'<M8[s]'",
        "'f4'", "'<f4' * 9", "'<' 'f4'", "b'<f4'", "'\\x00'", "{'descr': '<f4'}", "'f4,f4'", "'(2,)f4'", "'object'",
    )  # fmt: skip
    orders = ("False", "True", "0", "None", "not 1", "'False'", "(")
    descr, order, shape = one(draw, *descrs), one(draw, *orders), one(draw, *shapes)
    text = str(
        one(
            draw,
            f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}",
            f"{{'descr': '<f4', 'fortran_order': False, 'shape': {one(draw, *shapes)}, }}",
            f"{{'descr': {one(draw, *descrs)}, 'fortran_order': False, 'shape': (300,), }}",
            "((((",
            "{" * 3000,
            "'''",
            "\\",
            "{'a': " * 200,
            "#",
            "\x00" * 9,
            "é" * 100,
            "__import__('os').abort()",
            "{'shape': (300,), 'descr': '<f4', 'fortran_order': False, }",
            "1" * 4000,
            "-" * 3000 + "1",
            "\t\n \x0c{",
        )
    )
    raw = text.encode("utf-8", "surrogatepass")[:60_000]
    raw += b" " * int(one(draw, 0, 1, 55, 3000)) + bytes(one(draw, b"\n", b"", b"\r"))
    length = int(one(draw, len(raw), len(raw), len(raw), 0, 65535, len(raw) + 1))
    version = bytes(one(draw, b"\x01\x00", b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\xff\xff"))
    magic = bytes(one(draw, b"\x93NUMPY", b"\x93NUMPY", b"\x93NUMPZ", b""))
    return (
        magic
        + version
        + (length % 65536).to_bytes(2, "little")
        + raw
        + bytes(int(one(draw, 0, 80, 1200, 1199)))
    )


def arrays(draw: Draw) -> object:
    """Return an array that is not the one asked for."""
    size = LAYOUT.parameters
    data = Array(np.ones(size, np.float32)).data
    lie = Array("float32", (size,), "numpy.ndarray", data)
    match draw.integers(8):
        case 0:
            return Array("float32", (size,), "numpy.ndarray", headers(draw))
        case 1:
            return Array("float32", (size,), "numpy.ndarray", flipped(draw, data))
        case 2:
            lie.__dict__[str(one(draw, "dtype", "shape", "stype", "data"))] = one(
                draw, SLY(), None, 3, "", b"", (size, 1), [size], (2**70,), (SLY(),), bytearray(data), texts(draw),
                (-1,),
            )  # fmt: skip
            return lie
        case 3:
            shape = one(draw, (0,), (size + 1,), (1, size), (size, 1), (1,) * 30)
            return LiveArray(np.zeros(shape, one(draw, np.float32, np.float64, np.int8, bool, np.complex64)))
        case 4:
            values = np.ones(size, np.float32)
            values[draw.integers(size)] = one(draw, np.nan, np.inf, -np.inf)
            return LiveArray(values)
        case 5:
            values = np.empty(2, object)
            values[0] = SLY()
            return LiveArray(values)
        case 6:
            sly = SLY_ARRAY(np.full(size, np.nan, np.float32))
            sly.__dict__["shape"] = one(draw, SLY(), (size,), None)
            return sly
        case _:
            live = LiveArray(np.ones(size, np.float32))
            live.__dict__["values"] = one(
                draw, SLY(), None, [1.0] * size, np.ma.masked_all(size), np.array("x"), b""
            )
            return live


def record(draw: Draw) -> object:
    """Return a record, or what stands where one should."""
    found: ArrayRecord | MetricRecord
    match draw.integers(6):
        case 0:
            return ArrayRecord()
        case 1:
            found = MetricRecord()
            for place in range(int(one(draw, 1, 3, 11_000))):
                force(found, f"{texts(draw)}{place}" if place < 10 else str(place), one(draw, *NUMBERS))
            return found
        case 2:
            return ConfigRecord({"x": one(draw, LONG_TEXT, LONG_BYTES, True, [True], "")})
        case 3:
            return one(draw, SLY(), None, {}, [], 7, RecordDict())
        case 4:
            found = ArrayRecord()
            force(found, one(draw, 3, None, SLY_TEXT("trainable"), "trainable"), arrays(draw))
            return found
        case _:
            found = MetricRecord({"round": 1})
            found.__dict__["_data"] = one(draw, SLY(), None, [], SLY_DICT({"round": 1}), {1: 2})
            return found


def mutate(draw: Draw, content: RecordDict) -> None:
    """Make one thing of an honest reply's content something else."""
    weights, metrics = content["weights"], content["metrics"]
    array = str(one(draw, "trainable", "statistics"))
    match draw.integers(10):
        case 0 | 1:
            force(weights, array, arrays(draw))
        case 2:
            force(weights, one(draw, texts(draw), 3, None, SLY_TEXT("more")), arrays(draw))
        case 3 | 4:
            name = str(one(draw, "num-examples", "round", "more", "steps", texts(draw)))
            force(
                metrics,
                name,
                one(draw, -1, 10**400, "1", None, SLY_FLOAT(1), 1.5, True, [1], math.nan, SLY()),
            )
        case 5:
            force(metrics, one(draw, 3, None, SLY_TEXT("x"), texts(draw)), numbers(draw))
        case 6:
            force(content, one(draw, "weights", "metrics", texts(draw), SLY_TEXT("w"), 9), record(draw))
        case 7:
            weights.__dict__["_data"].pop(array)
        case 8:
            content.__dict__["_data"].pop(str(one(draw, "weights", "metrics")))
        case _:
            content.__dict__["_data"] = one(
                draw, SLY(), {}, SLY_DICT(content.__dict__["_data"]), {"x": 1}, None
            )
            force_many = content.__dict__["_data"]
            if isinstance(force_many, SLY_DICT):
                dict.__setitem__(force_many, "more", MetricRecord())


def hostile_object(draw: Draw, asked: Message) -> object:
    """Return what a hostile client's app returns; an exception is to be raised."""
    kind = draw.integers(20)
    content = honest_content(1.0, 1)
    if kind == 0:
        return one(draw, None, "weights", 7, SLY(), SLY, content, [asked], b"", Message)
    if kind == 1:
        return one(
            draw, SlyError(), SystemExit(1), KeyboardInterrupt(), GeneratorExit(), MemoryError(), RecursionError(),
            StopIteration(), OSError(texts(draw)), ValueError(LONG_TEXT), OSError("\x1b[2J"), SyntaxError("("),
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, texts(draw)), ExceptionGroup("g", [OSError("a")]),
        )  # fmt: skip
    if kind == 2:
        reply = Message(Error(7, "x"), reply_to=asked)
        reply.error.__dict__["_reason"] = one(draw, SLY(), None, 3, texts(draw), LONG_TEXT, "\x1b[2J", [])
        return reply
    reply = Message(content, reply_to=asked)
    if kind == 3:
        name = str(one(draw, "_reply_to_message_id", "_reply_to_message_id", "_reply_to_message_id"))
        reply.metadata.__dict__[name] = one(draw, "", "message-00000001", SLY(), None, 3, SLY_TEXT("x"))
        return reply
    if kind in (6, 7, 8):
        size = LAYOUT.parameters
        content.array_records["weights"]["trainable"] = Array(
            "float32", (size,), "numpy.ndarray", headers(draw)
        )
        return reply
    if kind == 4:
        reply.__dict__[str(one(draw, "_metadata", "_content", "_error"))] = one(draw, SLY(), 3, "", [])
        return reply
    for _ in range(draw.integers(1, 4)):
        try:
            mutate(draw, content)
        except (TypeError, KeyError, AttributeError, SlyError):  # an earlier mutation left nothing to mutate
            break
    if kind == 5:
        return SLY_MESSAGE(content, reply_to=asked)
    return reply


# -- Bytes -------------------------------------------------------------------------------------------------------------


def flipped(draw: Draw, data: bytes) -> bytes:
    """Return `data` with some bits, bytes or stretches changed."""
    found = bytearray(data)
    for _ in range(draw.integers(1, 5)):
        place = int(draw.integers(len(found) + 1))
        match draw.integers(5):
            case 0 if found:
                found[place - 1] ^= 1 << int(draw.integers(8))
            case 1:
                del found[place : place + int(draw.integers(1, 40))]
            case 2:
                found[place:place] = draw.bytes(int(draw.integers(1, 40)))
            case 3:
                del found[place:]
            case _:
                found[place:place] = found[place : place + int(draw.integers(1, 200))]
    return bytes(found)


@dataclass(frozen=True)
class Deflated:
    """A message as the wire carries it.

    Attributes:
        name: of the message.
        objects: name -> bytes, of the message and everything in it.
        tree: of the names.
    """

    name: str
    objects: dict[str, bytes]
    tree: ObjectTree


Change = Callable[[str, bytes, list[str]], bytes]


def deflated(message: Message, change: Change = lambda kind, body, children: body) -> Deflated:
    """Return `message` deflated, with the body of each object as `change` makes it, and names that fit.

    Args:
        message: a reply.
        change: called with an object's kind, its body and the names of its children; what it does to the names is
            what the object says of its children.
    """
    objects: dict[str, bytes] = {}

    def store(kind: str, body: bytes, children: list[str], trees: list[ObjectTree]) -> ObjectTree:
        names = list(children)
        body = change(kind, body, names)
        content = f"{kind} {','.join(names)} {len(body)}".encode("utf-8", "replace") + b"\x00" + body
        name = hashlib.sha256(content).hexdigest()
        objects[name] = content
        return ObjectTree(object_id=name, children=trees)

    def array_tree(array: Array) -> ObjectTree:
        chunk = store("ArrayChunk", array.data, [], [])
        head = {"dtype": array.dtype, "shape": array.shape, "stype": array.stype, "arraychunk_ids": [0]}
        return store("Array", json.dumps(head).encode(), [chunk.object_id], [chunk])

    def record_tree(item: ArrayRecord | MetricRecord | ConfigRecord) -> ObjectTree:
        if not isinstance(item, ArrayRecord):
            return store(type(item).__name__, item.deflate().partition(b"\x00")[2], [], [])
        trees = {name: array_tree(array) for name, array in item.items()}
        body = json.dumps({name: tree.object_id for name, tree in trees.items()}).encode()
        return store("ArrayRecord", body, [tree.object_id for tree in trees.values()], list(trees.values()))

    trees: list[ObjectTree] = []
    if message.has_content():
        records = {name: record_tree(item) for name, item in message.content.items()}
        body = json.dumps({name: tree.object_id for name, tree in records.items()}).encode()
        names = [tree.object_id for tree in records.values()]
        trees = [store("RecordDict", body, names, list(records.values()))]
    body = message.deflate().partition(b"\x00")[2]
    tree = store("Message", body, [child.object_id for child in trees], trees)
    return Deflated(tree.object_id, objects, tree)


def json_bodies(draw: Draw, body: bytes) -> bytes:
    """Return a body of JSON that is not the one expected."""
    return bytes(
        one(
            draw, b"", b"null", b"[]", b"{}", b"7", b"NaN", b'"x"', b"[" * 50_000, b"\xff\xfe", b'{"a": 1}', b"{" * 900,
            b'{"weights": []}', body.replace(b"weights", b"metrics"), body.replace(b"[0]", b"[" + b"0," * 9 + b"0]"),
            body.replace(b"[0]", b"[" + b"0," * 200_000 + b"0]"), body.replace(b"[0]", b"[-1]"), body + body,
            body.replace(b"[0]", b"[]"), body.replace(b"[0]", b"[9]"), body.replace(b"[0]", b"null"),
            body.replace(b"[300]", b"[1e400]"), body.replace(b"[300]", b"[" + b"9" * 5000 + b"]"),
            body[: len(body) // 2],
            body.replace(b"[300]", b'["a"]'), body.replace(b"float32", b"\\ud800"), body.replace(b'"', b"'"),
        )
    )  # fmt: skip


def hostile_wire(draw: Draw, asked: Message) -> Deflated:
    """Return what a hostile node pushes as its reply to `asked`."""
    target = str(one(draw, "Message", "RecordDict", "ArrayRecord", "MetricRecord", "Array", "ArrayChunk"))
    kind = int(draw.integers(7))

    def change(name: str, body: bytes, children: list[str]) -> bytes:
        if name != target:
            return body
        if kind == 0:
            return flipped(draw, body)
        if kind == 1:
            return (
                json_bodies(draw, body)
                if name in ("RecordDict", "ArrayRecord", "Array")
                else flipped(draw, body)
            )
        if kind == 2:
            children[:] = list(one(draw, [], children * 2, ["0" * 64], ["x,y z"], children[:1], ["\u00e9"]))
            return body
        return headers(draw) if name == "ArrayChunk" else flipped(draw, body)

    content = honest_content(1.0, 1)
    if kind in (3, 4):
        # What Flower's own classes would send of a hostile client's records.
        try:
            mutate(draw, content)
            return deflated(Message(content, reply_to=asked))
        except BaseException:  # its own classes cannot send this one: nor can a client that uses them
            content = honest_content(1.0, 1)
    if kind == 5:
        reply = Message(
            Error(7, one(draw, texts(draw).replace("\ud800", "?"), LONG_TEXT, "")), reply_to=asked
        )
        return deflated(reply)
    if kind == 6:
        found = deflated(Message(content, reply_to=asked))
        name = list(found.objects)[draw.integers(len(found.objects))]
        # Objects that are not what their name says, that are missing, or of another kind.
        found.objects[name] = flipped(draw, found.objects[name])
        if draw.random() < 0.3:
            del found.objects[name]
        elif draw.random() < 0.3:
            kinds = b"Array", b"RecordDict", b"Message", b"CustomDataClass", b"ConfigRecord", b""
            found.objects[name] = bytes(one(draw, *kinds)) + found.objects[name]
        return found
    return deflated(Message(content, reply_to=asked), change)


def truths(round: int) -> Iterator[float]:
    """Yield values for honest replies that tell them apart."""
    value = 1.0
    while True:
        yield value + round / 1024
        value += 1.0
