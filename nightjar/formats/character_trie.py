"""A table of characters as SentencePiece's precompiled map, which Hugging Face's tokenizers read.

The map is the size of a double-array trie (darts-clone), the trie, and the replacements, each with
a zero byte at its end. A unit of the trie has the label of the byte that leads to it in bits 0 to
7, bit 8 if a key ends there, and from bit 10 on the offset to its children, by exclusive or. The
child by the byte 0 holds the place of the replacement.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

_BLOCK = 256
_HAS_LEAF = 1 << 8
_IS_VALUE = 1 << 31
_OFFSET_BIT = 10


def precompiled_characters(table: Mapping[str, str]) -> bytes:
    """The map that replaces each key of ``table``, a character, with its value."""
    replacements = bytearray()
    root: dict[int, Any] = {}
    for character, text in sorted(table.items()):
        *path, last = character.encode()
        node = root
        for byte in path:
            node = node.setdefault(byte, {})
        node[last] = len(replacements)
        replacements += text.encode() + b"\0"
    units = _Units()
    units.add(root, 0)
    trie = struct.pack(f"<{len(units.units)}I", *units.units)
    return struct.pack("<I", len(trie)) + trie + bytes(replacements)


class _Units:
    """The trie. Each branching node has a block of 256; values share blocks."""

    def __init__(self) -> None:
        self.units = [0] * _BLOCK
        self._free = range(0)

    def add(self, node: Mapping[int, Any], place: int) -> None:
        """Add the children of the node whose unit is at ``place``."""
        base = self._block()
        self.units[place] |= (place ^ base) << _OFFSET_BIT
        for byte, child in node.items():
            here = base ^ byte
            self.units[here] = byte
            if isinstance(child, int):
                leaf = self._slot()
                self.units[leaf] = _IS_VALUE | child
                self.units[here] |= _HAS_LEAF | (here ^ leaf) << _OFFSET_BIT
            else:
                self.add(child, here)

    def _block(self) -> int:
        self.units += [0] * _BLOCK
        return len(self.units) - _BLOCK

    def _slot(self) -> int:
        if not self._free:
            first = self._block()
            self._free = range(first, first + _BLOCK)
        slot, self._free = self._free[0], self._free[1:]
        return slot
