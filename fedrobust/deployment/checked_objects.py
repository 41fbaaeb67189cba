"""The SuperLink's store of objects, in which an object has the parts that its content names.

A message is a tree of objects, each with the SHA-256 of its content as its id. Flower's store takes the parts of an
object from whoever names its id first. Ids of objects that are still to come can be computed, such as those of the
settings of the next round: a node could name them with parts that are never sent, and whoever is to receive them would
wait for these.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import (
    get_object_children_ids_from_object_content,
    iterate_object_tree,
)
from flwr.supercore.object_store import object_store_factory
from flwr.supercore.object_store.in_memory_object_store import InMemoryObjectStore

from fedrobust.deployment.app import replace

_names_for_node: ContextVar[bool] = ContextVar("names objects for a node", default=False)


@contextmanager
def named_by_node() -> Iterator[None]:
    """Store objects in the block as those of a node: what it says of the server's objects is ignored."""
    token = _names_for_node.set(True)
    try:
        yield
    finally:
        _names_for_node.reset(token)


def use_checked_objects() -> None:
    """Let Flower keep objects in a `CheckedObjectStore` where it keeps them in memory.

    Raises:
        RuntimeError: this version of Flower has no such store.
    """
    replace(object_store_factory, "InMemoryObjectStore", CheckedObjectStore)


class CheckedObjectStore(InMemoryObjectStore):
    """Flower's store in memory, with another answer to which parts an object has.

    Those that its content names, once it is there; before, those that the server named; else those that a node named
    last.
    """

    def __init__(self, verify: bool = True) -> None:
        super().__init__(verify)
        self._of_server: set[str] = set()

    def preregister(self, run_id: int, object_tree: ObjectTree) -> list[str]:
        """Return the ids of the tree's objects whose content is missing, and store who is part of whom.

        Raises:
            ValueError: an id is no SHA-256, or an object would be part of itself.
        """
        by_node = _names_for_node.get()
        with self.lock_store:
            missing = super().preregister(run_id, object_tree)
            for node in iterate_object_tree(object_tree):
                name = node.object_id
                if not self.store[name].is_available and not (by_node and name in self._of_server):
                    self._set_parts(name, [part.object_id for part in node.children])
                if not by_node:
                    self._of_server.add(name)
        return missing

    def put(self, object_id: str, object_content: bytes) -> None:
        """Store the content of an object, whose parts are then those that the content names.

        Raises:
            ValueError: the content has another id, or names parts that are not in the store.
        """
        with self.lock_store:
            entry = self.store.get(object_id)
            if entry is not None and not entry.is_available:
                parts = get_object_children_ids_from_object_content(object_content)
                unknown = [part for part in parts if part not in self.store]
                if unknown:
                    raise ValueError(
                        f"object {object_id} names the part {unknown[0]}, which nobody announced"
                    )
                super().put(object_id, object_content)
                self._break_cycles(object_id, parts)
                self._set_parts(object_id, parts)
            else:
                super().put(object_id, object_content)

    def delete(self, object_id: str) -> None:
        """Delete an object that is part of no other, and its parts that are then part of none."""
        with self.lock_store:
            super().delete(object_id)
            if object_id not in self.store:
                self._of_server.discard(object_id)

    def _set_parts(self, name: str, parts: list[str]) -> None:
        entry = self.store[name]
        if entry.child_object_ids == parts:
            return
        if any(name in self._below(part) for part in parts):
            raise ValueError(f"object {name} is announced as part of itself")
        for part in entry.child_object_ids:
            if part in self.store:
                self.store[part].ref_count -= 1
        for part in parts:
            self.store[part].ref_count += 1
        entry.child_object_ids = list(parts)

    def _break_cycles(self, name: str, parts: list[str]) -> None:
        """Forget announced parts by which `name` would be below its true `parts`: no content can name them."""
        for part in parts:
            for below in self._below(part):
                entry = self.store[below]
                if name in entry.child_object_ids and not entry.is_available:
                    self._set_parts(below, [one for one in entry.child_object_ids if one != name])

    def _below(self, name: str) -> set[str]:
        """Return an object and all objects below it."""
        found, waiting = set[str](), [name]
        while waiting:
            one = waiting.pop()
            if one not in found and one in self.store:
                found.add(one)
                waiting += self.store[one].child_object_ids
        return found
