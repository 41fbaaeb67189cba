"""The store of objects: a node's announcement changes nothing of what the server or another node sends."""

import hashlib

import pytest
from flwr.app import ConfigRecord, RecordDict
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
)
from flwr.supercore.object_store.in_memory_object_store import InMemoryObjectStore

from fedrobust.deployment.checked_objects import CheckedObjectStore, named_by_node

RUN = 1


def records(number: int) -> RecordDict:
    """Return what the server sends in a round, of which a node can compute the ids before."""
    return RecordDict({"config": ConfigRecord({"round": number}), "more": ConfigRecord({"classes": 2})})


def name(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def tree(of: str, *parts: ObjectTree) -> ObjectTree:
    return ObjectTree(object_id=of, children=parts)


def names(store, of: str) -> set[str]:
    return {node.object_id for node in iterate_object_tree(store.get_object_tree(of))}


def put(store, sent: RecordDict) -> None:
    for key, one in get_all_nested_objects(sent).items():
        store.put(key, one.deflate())


def poison(store, sent: RecordDict) -> None:
    """Announce a part of `sent` as a node, with a part that is never sent."""
    part = ConfigRecord(dict(sent["config"])).object_id
    with named_by_node():
        store.preregister(RUN, tree(name("reply"), tree(part, tree(name("never sent")))))


@pytest.mark.parametrize("when", ["before", "after", "both"])
def test_what_a_node_announces_of_the_servers_objects_is_ignored(when):
    store, sent = CheckedObjectStore(), records(2)
    true = set(get_all_nested_objects(sent))
    if when != "after":
        poison(store, sent)
    missing = store.preregister(RUN, get_object_tree(sent))
    if when != "before":
        poison(store, sent)
    assert set(missing) >= true, "the server is asked for all of its objects"
    assert names(store, sent.object_id) == true, "nobody waits for what is never sent"
    put(store, sent)
    poison(store, sent)
    assert names(store, sent.object_id) == true
    store.delete(sent.object_id)
    assert sent.object_id not in store


def test_flowers_own_store_lets_whoever_comes_first_name_the_parts():
    """The fault that `CheckedObjectStore` mends, so that it can go once Flower has mended it."""
    store, sent = InMemoryObjectStore(), records(2)
    poison(store, sent)
    store.preregister(RUN, get_object_tree(sent))
    assert name("never sent") in names(store, sent.object_id)


def test_parts_are_those_that_the_content_names():
    store, sent = CheckedObjectStore(), records(1)
    true = set(get_all_nested_objects(sent))
    with named_by_node():
        store.preregister(RUN, get_object_tree(sent))
    poison(store, sent)
    assert name("never sent") in names(store, sent.object_id), "as long as no content is there"
    put(store, sent)
    assert names(store, sent.object_id) == true
    unannounced = records(3)
    store.preregister(RUN, tree(unannounced.object_id))
    with pytest.raises(ValueError, match="which nobody announced"):
        store.put(unannounced.object_id, unannounced.deflate())


def test_no_object_is_part_of_itself():
    store = CheckedObjectStore()
    first, second = name("first"), name("second")
    with named_by_node():
        store.preregister(RUN, tree(name("root"), tree(first, tree(second))))
        with pytest.raises(ValueError, match="part of itself"):
            store.preregister(RUN, tree(name("other root"), tree(second, tree(first, tree(second)))))
    assert names(store, first) == {first, second}
    sent = records(5)
    part = ConfigRecord(dict(sent["config"])).object_id
    with named_by_node():
        store.preregister(RUN, tree(name("third root"), tree(part, tree(sent.object_id))))
    store.preregister(RUN, get_object_tree(sent))
    assert names(store, sent.object_id) == set(get_all_nested_objects(sent)), "the server's word counts"


def test_content_counts_against_announced_cycles():
    store, sent = CheckedObjectStore(), records(7)
    part = ConfigRecord(dict(sent["config"]))
    with named_by_node():
        store.preregister(RUN, tree(sent.object_id, tree(name("else"))))
        store.preregister(RUN, tree(name("reply"), tree(part.object_id, tree(sent.object_id))))
        store.preregister(RUN, get_object_tree(sent["more"]))
    store.put(sent.object_id, sent.deflate())
    assert names(store, sent.object_id) == {sent.object_id, *(one.object_id for one in sent.values())}
