"""Photographs in whatever form a program left them."""

import io
import logging

import numpy as np
import pytest
from capture_files import make_toy, transforms_of, write_json
from PIL import ExifTags, Image

from mipnerf.config import DataConfig
from mipnerf.datasets.images import decode_image, image_size
from mipnerf.datasets.load import load_scene
from mipnerf.errors import DataError

RNG = np.random.default_rng(3)
COLOURS = Image.fromarray(RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8))
CLEAR = Image.fromarray(RNG.integers(0, 256, (6, 8, 4), dtype=np.uint8))
GREY = COLOURS.convert("L")
GREY_AND_ALPHA = Image.merge("LA", (GREY, CLEAR.getchannel("A")))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def see_through_palette() -> Image.Image:
    image = Image.new("P", (8, 6))
    image.putpalette([9, 8, 7, 200, 100, 50])
    image.paste(1, (0, 0, 4, 6))
    return image


@pytest.mark.parametrize(
    ("image", "kind", "options"),
    [
        (GREY, "PNG", {}),
        (GREY, "JPEG", {"quality": 95}),
        (GREY, "TIFF", {}),
        (GREY_AND_ALPHA, "PNG", {}),
        (COLOURS.convert("1"), "PNG", {}),
        (COLOURS.quantize(16), "PNG", {}),
        (COLOURS.quantize(4), "PNG", {"bits": 2}),
        (see_through_palette(), "PNG", {"transparency": 0}),
        (COLOURS.convert("CMYK"), "JPEG", {"quality": 95}),
        (COLOURS.convert("CMYK"), "TIFF", {}),
        (COLOURS, "WEBP", {"lossless": True}),
        (CLEAR, "WEBP", {"lossless": True, "exact": True}),
        (COLOURS, "TIFF", {"compression": "tiff_lzw"}),
        (CLEAR, "TIFF", {}),
        (COLOURS, "PNG", {}),
        (CLEAR, "PNG", {}),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else str(value) if value else "",
)
def test_every_kind_of_photograph_has_the_colours_of_its_pixels(image, kind, options, tmp_path):
    data = encoded(image, kind, **options)
    pixels = decode_image(data, tmp_path / "x", ("RGB", "RGBA"))
    with Image.open(io.BytesIO(data)) as stored:
        expected = stored.convert("RGBA" if image.mode in ("LA", "RGBA") or "transparency" in options else "RGB")
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, np.array(expected))
    (tmp_path / "x").write_bytes(data)
    assert image_size(tmp_path / "x") == (8, 6)


def test_grey_is_the_same_in_all_channels():
    pixels = decode_image(encoded(GREY, "PNG"), "x")
    assert (pixels == np.array(GREY)[..., None]).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (encoded(Image.fromarray(RNG.random((6, 8), dtype=np.float32)), "TIFF"), "TIFF file whose pixels are F"),
        (encoded(COLOURS, "TIFF", save_all=True, append_images=[COLOURS] * 2), "a TIFF file of 3 pictures"),
        (encoded(COLOURS, "WEBP", save_all=True, append_images=[CLEAR.convert("RGB")]), "a WEBP file of 2 pictures"),
        (encoded(COLOURS, "GIF"), "not a whole, undamaged PNG, JPEG, WebP or TIFF image, but a GIF file; fetch"),
        (encoded(COLOURS, "TIFF")[:100], "but a TIFF file with damage"),
        (encoded(COLOURS, "WEBP")[:60], "but a WebP file with damage"),
        (encoded(COLOURS, "PNG")[:-20], r"but a PNG file with damage \(the end is missing\)"),
        (encoded(COLOURS.resize((99, 99)), "JPEG")[:-2000], r"but a JPEG file with damage \("),
        (encoded(COLOURS, "BMP"), "but a BMP file"),
        (b"", "but an empty file"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "but a HEIC file, as phones write them"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "but an AVIF file"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "but a video"),
        (b"%PDF-1.7\n", "but a PDF document"),
        ("zwölf Bilder\n".encode(), "but a text"),
        (b"<!DOCTYPE html><title>Log in</title>", "but an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "but a pointer of Git LFS"),
        (b"PK\x03\x04\0\0", "but a ZIP archive"),
        (b"RIFF\0\0\0\0AVI LIST", "but a RIFF file"),
        (bytes(range(1, 33)) * 9, "but 288 bytes of no known kind"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_what_it_is(data, message):
    with pytest.raises(DataError, match=message):
        decode_image(data, "desk/1", ("RGB", "RGBA"))


def test_alpha_is_refused_where_none_is_taken():
    with pytest.raises(DataError, match=r"a PNG file whose pixels are RGBA; allowed are RGB, grey"):
        decode_image(encoded(CLEAR, "PNG"), "x")


def test_a_capture_of_all_kinds_is_read_and_notes_of_cameras_are_told_once(tmp_path, caplog):
    toy = make_toy(views=8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    kinds = [("WEBP", ".webp"), ("TIFF", ".tif"), ("JPEG", ".jpg"), ("PNG", ".png")]
    names = []
    (tmp_path / "images").mkdir()
    for i, image in enumerate(toy.images):
        kind, suffix = kinds[i % 4]
        names.append(f"{i:03d}{suffix}")
        picture = Image.fromarray(image)
        picture = picture.convert("L") if i < 4 else picture
        picture.save(tmp_path / "images" / names[i], kind, **({"exif": exif} if kind == "JPEG" else {}))
    write_json(tmp_path, transforms_of(toy, names))
    with caplog.at_level(logging.WARNING):
        scene = load_scene(tmp_path, "train", 1, DataConfig())
    assert [image.shape for image in scene.images] == [(13, 22, 3)] * 7
    assert [record.message.count("are to be turned") for record in caplog.records] == [1]
    assert (scene.images[0][..., 0] == scene.images[0][..., 1]).all()
    assert np.array_equal(scene.images[-1], toy.images[7])
