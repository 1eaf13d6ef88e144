from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from zoo.ops.masks import checkerboard, hidden_degrees, made_mask


def test_checkerboard_is_that_of_the_paper() -> None:
    expected = np.array([[1, 0, 1], [0, 1, 0]], bool)
    assert_array_equal(checkerboard(2, 3)[..., 0], expected)
    assert_array_equal(checkerboard(2, 3, even_first=False)[..., 0], ~expected)
    assert checkerboard(2, 3).shape == (2, 3, 1)


@pytest.mark.parametrize(("event_size", "context_size"), [(1, 0), (2, 0), (7, 0), (7, 3), (1, 2)])
def test_hidden_degrees_are_sorted_and_cover_what_is_useful(
    event_size: int, context_size: int
) -> None:
    degrees = hidden_degrees(50, event_size, context_size)
    lowest = 0 if context_size or event_size == 1 else 1
    assert_array_equal(np.unique(degrees), np.arange(lowest, max(event_size, lowest + 1)))
    assert_array_equal(degrees, np.sort(degrees))
    counts = np.bincount(degrees)[lowest:]
    assert counts.max() - counts.min() <= 1


def test_made_masks_are_equations_12_and_13() -> None:
    degrees, hidden = np.array([1, 2, 3]), np.array([1, 2, 2])
    assert_array_equal(
        made_mask(degrees, hidden, strict=False),
        [[True, True, True], [False, True, True], [False] * 3],
    )
    assert_array_equal(
        made_mask(hidden, degrees, strict=True),
        [[False, True, True], [False, False, True], [False, False, True]],
    )


@pytest.mark.parametrize("size", [1, 2, 5])
def test_products_of_masks_are_strictly_triangular(size: int) -> None:
    """Paths from input i to output d exist if and only if i < d (the paper's proof in Sec. 3)."""
    degrees, paths = np.arange(1, size + 1), np.eye(size, dtype=int)
    for units in (12, 9):
        hidden = hidden_degrees(units, size)
        paths = paths @ made_mask(degrees, hidden, strict=False)
        degrees = hidden
    paths = paths @ made_mask(degrees, np.arange(1, size + 1), strict=True)
    assert_array_equal(paths > 0, np.triu(np.ones((size, size), bool), 1))
