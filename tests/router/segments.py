"""The same bytes, cut as a network might cut them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st


def segmented(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """Return lists of non-empty pieces that join to `data`."""
    cuts = st.lists(st.integers(1, max(1, len(data) - 1)), max_size=12, unique=True).map(sorted)
    return cuts.map(lambda places: cut(data, places))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *places, len(data)]
    return [data[start:end] for start, end in pairwise(edges) if end > start]


def dribble(data: bytes) -> list[bytes]:
    """Return `data` byte by byte."""
    return [data[at : at + 1] for at in range(len(data))]
