"""How large the page may be, and what of it comes first. What does not fit is left out and said so."""

from collections.abc import Iterable

PAGE_BYTES = 50 << 20  # of the whole page
# Shares of it, as they stand in the page; what is left is for numbers, tables and the words between.
IMAGE_BYTES = 20 << 20  # of images to be compared
MAP_BYTES = 3 << 20  # of their depths and opacities
FIGURE_BYTES = 9 << 20
FILM_BYTES = 2 << 20  # of validation pictures
ORBIT_BYTES = 6 << 20
VIDEO_BYTES = 2 << 20
PIXEL_BYTES = 1.5  # about, of a rendering as PNG
ENCODED = 4 / 3  # the size of base64 to that of its bytes


def fitting(sizes: Iterable[float], max_bytes: float) -> list[int]:
    """The indices of `sizes`, the most important first, that fit in `max_bytes`; one too large leaves others room."""
    kept, left = [], max_bytes
    for i, size in enumerate(sizes):
        if size <= left:
            kept.append(i)
            left -= size
    return kept
