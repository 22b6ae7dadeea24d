"""Every format of photographs through every layout of captures, up to the colours that are learnt."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from capture_files import make_toy, transforms_of, write_colmap, write_json
from PIL import Image
from scene_files import write_llff_scene

from mipnerf.config import DataConfig
from mipnerf.datasets.captures.pictures import make_pictures
from mipnerf.datasets.captures.pyramids import DEEP
from mipnerf.datasets.images import decode_image
from mipnerf.datasets.load import load_scene
from mipnerf.errors import DataError
from mipnerf.pixels import true_rgb

RNG = np.random.default_rng(5)
WIDTH, HEIGHT = 22, 14
VIEWS = 5
GREY, COLOUR, GREY_AND_ALPHA, COLOUR_AND_ALPHA = 0, 2, 4, 6  # types of PNG


def noise(channels: int, values: int) -> np.ndarray:
    dtype = np.uint8 if values == 256 else np.uint16
    return RNG.integers(0, values, (HEIGHT, WIDTH, channels), dtype=dtype)


def deep_png(pixels: np.ndarray, kind: int) -> bytes:
    """The PNG of uint16 pixels [H, W, C], each row after another of the five filters, by the letter of the standard."""
    height, width, channels = pixels.shape
    step = 2 * channels
    rows = np.frombuffer(pixels.astype(">u2").tobytes(), np.uint8).reshape(height, -1).astype(int)
    data = b""
    for i, row in enumerate(rows):
        up = rows[i - 1] if i else np.zeros_like(row)
        left, corner = (np.concatenate([np.zeros(step, int), line[:-step]]) for line in (row, up))
        guess = left + up - corner
        distances = np.abs(guess - np.stack([left, up, corner]))
        paeth = np.choose(distances.argmin(axis=0), [left, up, corner])  # the first of the least
        predicted = [0, left, up, (left + up) // 2, paeth][i % 5]
        data += bytes([i % 5]) + ((row - predicted) % 256).astype(np.uint8).tobytes()

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def deep_tiff(pixels: np.ndarray, order: str) -> bytes:
    """The TIFF of uint16 pixels [H, W, C], not compressed, in the byte order `<` or `>`."""
    height, width, channels = pixels.shape
    content = pixels.astype(f"{order}u2").tobytes()
    bits = struct.pack(f"{order}{channels}H", *[16] * channels)
    start = 8 + len(content)
    places = start if channels > 1 else 16 << (16 if order == ">" else 0)
    tags = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, places), (259, 3, 1, 1),
        (262, 3, 1, 2 if channels > 1 else 1), (273, 4, 1, 8), (277, 3, 1, channels), (278, 4, 1, height),
        (279, 4, 1, len(content)),
    ]  # fmt: skip
    entries = b""
    for tag, kind, count, value in tags:
        short = kind == 3 and count == 1 and tag != 258
        entries += struct.pack(f"{order}HHI", tag, kind, count)
        entries += struct.pack(f"{order}HH", value, 0) if short else struct.pack(f"{order}I", value)
    directory = struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", 0)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}I", start + len(bits)) + content + bits + directory


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def shallow(mode: str, kind: str, **options) -> tuple[bytes, np.ndarray]:
    """A file of 8 bits, and its colours by Pillow."""
    image = Image.fromarray(noise(4 if "A" in mode else 3, 256))
    image = image.quantize(16) if mode == "P" else image.convert(mode)
    data = encoded(image, kind, **options)
    return data, np.array(Image.open(io.BytesIO(data)).convert("RGBA" if "A" in mode else "RGB"))


def deep(channels: int, write, *options) -> tuple[bytes, np.ndarray]:
    """A file of 16 bits, and its colours."""
    pixels = noise(channels, 1 << 16)
    colours = pixels if channels > 2 else np.concatenate([pixels[..., :1]] * 3 + [pixels[..., 1:]], axis=-1)
    return write(pixels, *options), colours


FORMATS = {
    "grey": (".png", *shallow("L", "PNG")),
    "grey JPEG": (".jpg", *shallow("L", "JPEG")),
    "palette": (".png", *shallow("P", "PNG")),
    "CMYK": (".jpg", *shallow("CMYK", "JPEG")),
    "WebP": (".webp", *shallow("RGB", "WEBP", lossless=True)),
    "TIFF": (".tif", *shallow("RGB", "TIFF", compression="tiff_lzw")),
    "16-bit grey": (".png", *deep(1, deep_png, GREY)),
    "16-bit grey TIFF": (".tif", *deep(1, deep_tiff, "<")),
    "16-bit colours": (".png", *deep(3, deep_png, COLOUR)),
    "16-bit TIFF": (".tif", *deep(3, deep_tiff, "<")),
    "16-bit TIFF, big endian": (".tif", *deep(3, deep_tiff, ">")),
}
WITH_ALPHA = {
    "grey and alpha": (".png", *shallow("LA", "PNG")),
    "WebP with alpha": (".webp", *shallow("RGBA", "WEBP", lossless=True, exact=True)),
    "16-bit grey and alpha": (".png", *deep(2, deep_png, GREY_AND_ALPHA)),
    "16-bit colours and alpha": (".png", *deep(4, deep_png, COLOUR_AND_ALPHA)),
}


def write_photographs(folder: Path, suffix: str, data: bytes) -> list[str]:
    (folder / "images").mkdir(parents=True)
    names = [f"{i:03d}{suffix}" for i in range(VIEWS)]
    for name in names:
        (folder / "images" / name).write_bytes(data)
    return names


def write_capture(layout: str, folder: Path, suffix: str, data: bytes) -> Path:
    """A capture whose photographs all are `data`."""
    toy = make_toy(views=VIEWS, width=WIDTH, height=HEIGHT, suffix=suffix)
    if layout == "llff":
        write_llff_scene(folder, VIEWS, WIDTH, HEIGHT, factors=())
    elif layout == "colmap":
        write_colmap(toy, folder)
    write_photographs(folder, suffix, data)
    return write_json(folder, transforms_of(toy)) if layout == "transforms" else folder


CASES = [(layout, name) for layout in ("transforms", "colmap", "llff") for name in FORMATS]
CASES += [(layout, name) for layout in ("transforms", "colmap") for name in WITH_ALPHA]  # the layout llff has no alpha


@pytest.mark.parametrize(("layout", "name"), CASES)
def test_every_format_is_learnt_as_it_is_in_every_layout(layout, name, tmp_path):
    suffix, data, colours = (FORMATS | WITH_ALPHA)[name]
    folder = write_capture(layout, tmp_path / "desk", suffix, data)
    scene = load_scene(folder, "train", 1, DataConfig())
    assert scene.max_value == np.iinfo(colours.dtype).max
    assert all(image.dtype == colours.dtype and np.array_equal(image, colours) for image in scene.images)
    learnt = true_rgb(scene, 0, False, torch.device("cpu")).double()
    assert (learnt - torch.as_tensor(colours[..., :3] / scene.max_value)).abs().max() < 1e-7


@pytest.mark.parametrize("name", [name for name in FORMATS | WITH_ALPHA])
def test_every_format_is_taken_where_there_are_no_cameras(name, tmp_path):
    suffix, data, colours = (FORMATS | WITH_ALPHA)[name]
    write_photographs(tmp_path / "desk", suffix, data)
    (tmp_path / "work").mkdir()
    pictures = make_pictures(tmp_path / "desk", tmp_path / "work" / "images", 10, workers=1)
    assert set(pictures.sizes.values()) == {(WIDTH, HEIGHT)}
    for picture in pictures.sizes:
        path = tmp_path / "work" / "images" / picture
        assert np.array_equal(decode_image(path.read_bytes(), path, ("RGB", "RGBA")), colours)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
def test_compressed_files_of_16_bits_are_read(compression):
    pixels = RNG.integers(0, 1 << 16, (HEIGHT, WIDTH), dtype=np.uint16)
    actual = decode_image(encoded(Image.fromarray(pixels), "TIFF", compression=compression), Path("x"))
    assert np.array_equal(actual, np.repeat(pixels[..., None], 3, axis=-1))


def test_what_cannot_be_kept_in_16_bits_is_refused():
    see_through = b"tRNS" + bytes(6)
    data = deep_png(noise(3, 1 << 16), COLOUR)
    chunk = struct.pack(">I", 6) + see_through + struct.pack(">I", zlib.crc32(see_through))
    with pytest.raises(DataError, match="a PNG file whose pixels are RGB of 16 bits; allowed"):
        decode_image(data[:33] + chunk + data[33:], Path("x"), ("RGB", "RGBA"))
    signed = encoded(Image.fromarray(noise(1, 256)[..., 0].astype(np.int32)), "TIFF")
    with pytest.raises(DataError, match="a TIFF file whose pixels are I; allowed"):
        decode_image(signed, Path("x"))


def test_levels_and_factors_of_16_bits_are_means_in_16_bits(tmp_path):
    suffix, data, colours = FORMATS["16-bit colours"]
    folder = write_capture("transforms", tmp_path / "desk", suffix, data)
    scene = load_scene(folder, "train", 2, DataConfig(factor=2, train_levels=2))
    kept = colours[:12, :20].astype(float)
    for level, box in ((0, 2), (1, 4)):
        means = kept.reshape(12 // box, box, 20 // box, box, 3).mean(axis=(1, 3))
        assert np.abs(scene.images[level] - means).max() <= 0.5
    assert scene.max_value == DEEP


def test_beside_images_of_16_bits_others_keep_their_values(tmp_path):
    suffix, data, colours = FORMATS["16-bit colours"]
    folder = write_capture("transforms", tmp_path / "desk", suffix, data)
    pixels = noise(3, 256)
    Image.fromarray(pixels).save(folder / "images" / "001.png")
    scene = load_scene(folder, "train", 1, DataConfig())
    assert scene.max_value == DEEP
    by_name = dict(zip(scene.names, scene.images, strict=True))
    assert np.array_equal(by_name["images/001.png"], pixels.astype(np.uint16) * 257)
    assert np.array_equal(by_name["images/002.png"], colours)
