import struct
import subprocess
import sys
import threading
import time
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mipnerf.datasets.images import decode_image, decode_png, image_size
from mipnerf.datasets.scene import (
    Scene,
    check_poses,
    evenly_spread,
    finite_array,
    parallel,
    pinhole_pix2cam,
    pix2cam_matrix,
    read_json,
    safe_path,
)
from mipnerf.errors import ConfigError, DataError

PATH = Path("scene/train/r_0.png")


@pytest.fixture
def scene() -> Scene:
    rng = np.random.default_rng(0)
    sizes = [(4, 8), (2, 4), (4, 8), (2, 4), (4, 8)]
    return Scene(
        images=[rng.integers(0, 256, (*size, 4), dtype=np.uint8) for size in sizes],
        camtoworlds=rng.normal(size=(5, 3, 4)),
        pix2cams=rng.normal(size=(5, 3, 3)),
        nears=np.full(5, 2.0),
        fars=np.full(5, 6.0),
        lossmults=np.array([1.0, 4, 1, 4, 1]),
        levels=np.array([0, 1, 0, 1, 0]),
        views=np.array([0, 0, 1, 1, 2]),
        names=[f"{i}.png" for i in range(5)],
    )


def png(mode: str = "RGBA", size: tuple[int, int] = (12, 9)) -> bytes:
    noise = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    stream = BytesIO()
    Image.fromarray(noise).convert(mode).save(stream, "PNG")
    return stream.getvalue()


def test_sizes_and_counts(scene):
    assert scene.num_views == 5
    assert scene.widths.tolist() == [8, 4, 8, 4, 8]
    assert scene.heights.tolist() == [4, 2, 4, 2, 4]
    assert scene.num_pixels == 3 * 32 + 2 * 8


def test_select_keeps_the_given_order_and_shares_pixels(scene):
    chosen = scene.select([3, 0])
    assert chosen.names == ["3.png", "0.png"]
    assert chosen.images[0] is scene.images[3]
    for name in ("camtoworlds", "pix2cams", "nears", "fars", "lossmults", "levels", "views"):
        np.testing.assert_array_equal(getattr(chosen, name), getattr(scene, name)[[3, 0]])


def test_bounds_can_be_given(scene):
    bounded = scene.with_bounds(1.0, None)
    assert set(bounded.nears) == {1.0}
    assert set(bounded.fars) == {6.0}
    assert set(scene.nears) == {2.0}
    with pytest.raises(ConfigError, match="near 7 must be less than far 6"):
        scene.with_bounds(7.0, None)


def test_at_level_takes_the_views_of_that_level(scene):
    assert scene.at_level(0).names == ["0.png", "2.png", "4.png"]
    assert scene.at_level(1).lossmults.tolist() == [4, 4]
    assert scene.at_level(2).num_pixels == 0


@pytest.mark.parametrize("name", ["camtoworlds", "pix2cams", "nears", "fars", "lossmults", "levels"])
def test_fingerprint_changes_with_any_camera_value(scene, name):
    values = getattr(scene, name).copy()
    values.flat[-1] = np.nextafter(values.flat[-1], 99) if values.dtype == float else values.flat[-1] + 1
    assert replace(scene, **{name: values}).fingerprint() != scene.fingerprint()


def test_fingerprint_changes_with_pixels_their_shape_and_the_order_of_views(scene):
    brighter = [image.copy() for image in scene.images]
    brighter[4][3, 7, 3] ^= 1
    reshaped = [image.reshape(image.shape[1], image.shape[0], 4) for image in scene.images]
    variants = [replace(scene, images=brighter), replace(scene, images=reshaped), scene.select([2, 1, 0, 3, 4])]
    assert len({scene.fingerprint(), *(variant.fingerprint() for variant in variants)}) == 4


def test_fingerprint_ignores_names_and_memory_layout(scene):
    same = replace(
        scene,
        names=list("abcde"),
        images=[np.asfortranarray(image) for image in scene.images],
        camtoworlds=np.asfortranarray(scene.camtoworlds),
    )
    assert same.fingerprint() == scene.fingerprint()


def test_scene_rejects_arrays_that_do_not_fit_together(scene):
    with pytest.raises(ValueError, match="nears of 5 views"):
        replace(scene, nears=np.ones(4))
    with pytest.raises(ValueError, match=r"camtoworlds .*\(5, 3, 4\)"):
        replace(scene, camtoworlds=np.zeros((5, 4, 4)))
    with pytest.raises(ValueError, match=r"2\.png: float64"):
        replace(scene, images=[*scene.images[:2], scene.images[2] / 255, *scene.images[3:]])


def test_pix2cam_inverts_the_pinhole_projection():
    width, height, focal = 20, 10, 7.0
    x, y, depth = 3.5, 8.5, 2.5
    camera = depth * pinhole_pix2cam(focal, width, height) @ [x, y, 1]
    assert camera[2] == -depth
    assert width / 2 + focal * camera[0] / depth == pytest.approx(x)
    assert height / 2 - focal * camera[1] / depth == pytest.approx(y)


def test_parallel_keeps_the_order():
    assert parallel(lambda i: i * i, range(50), workers=4) == [i * i for i in range(50)]


def test_parallel_really_runs_side_by_side():
    meeting = threading.Barrier(3, timeout=20)
    assert sorted(parallel(lambda _: meeting.wait(), range(3), workers=3)) == [0, 1, 2]


def test_parallel_gives_up_after_the_first_error():
    begun = []

    def work(i: int) -> None:
        begun.append(i)
        if i == 0:
            raise DataError("first")
        time.sleep(0.01)  # 20 s in all: the caller surely learns of the error meanwhile

    with pytest.raises(DataError, match="first"):
        parallel(work, range(4_000), workers=2)
    assert len(begun) < 4_000


@pytest.mark.parametrize("mode", ["RGBA", "RGB"])
def test_decode_png_returns_the_pixels(mode):
    pixels = decode_png(png(mode), PATH)
    np.testing.assert_array_equal(pixels, np.asarray(Image.open(BytesIO(png(mode)))))
    assert pixels.shape == (9, 12, len(mode))
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "I;16"])
def test_decode_png_refuses_other_pixels_naming_what_is_allowed(mode):
    with pytest.raises(DataError, match=rf"r_0\.png: pixels are {mode}, allowed is RGBA or RGB"):
        decode_png(png(mode), PATH)


def test_decode_png_notices_every_truncation():
    data = png()
    for length in range(len(data)):
        with pytest.raises(DataError, match=r"r_0\.png: not a whole, undamaged PNG"):
            decode_png(data[:length], PATH)


def test_decode_png_notices_every_flipped_bit():
    data = png(size=(5, 4))
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        with pytest.raises(DataError, match=r"r_0\.png"):
            decode_png(bytes(damaged), PATH)


def test_decode_png_refuses_another_format_under_that_name():
    stream = BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "JPEG")
    with pytest.raises(DataError, match="PNG"):
        decode_png(stream.getvalue(), PATH)


@pytest.mark.parametrize(
    "value",
    ["1", None, True, {}, [[1, 2]], [[1, 2], [3]], [[1, 2], [3, None]], [[1, 2], [3, "4"]], [[1, 2], [3, 10**400]]],
    ids=repr,
)
def test_finite_array_refuses_what_is_no_matrix_of_numbers(value):
    with pytest.raises(DataError, match=r"^here must be numbers of shape \[2, 2\], found"):
        finite_array(value, (2, 2), "here")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_finite_array_refuses_nan_and_infinity(bad):
    with pytest.raises(DataError, match=r"^here must be finite"):
        finite_array([[1, 2], [3, bad]], (2, 2), "here")


def test_finite_array_takes_integers_as_float64():
    array = finite_array([[1, 2], [3, 4]], (2, 2), "here")
    assert array.dtype == np.float64
    assert array.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b'{"a": 1} x', b"[" * 100_000])
def test_read_json_refuses_malformed_files_naming_them(tmp_path, content):
    path = tmp_path / "metadata.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"metadata\.json"):
        read_json(path)


@pytest.mark.parametrize("name", ["../a.png", "a/../../b.png", "/etc/passwd", "", ".", "a\0b"])
def test_safe_path_refuses_names_that_lead_outside(name):
    with pytest.raises(DataError, match="inside the scene folder"):
        safe_path(Path("scene"), name, "frame 0")


def test_safe_path_drops_the_leading_dot():
    assert safe_path(Path("scene"), "./train/r_0.png", "frame 0") == Path("scene/train/r_0.png")


def test_the_data_layer_never_imports_torch():
    modules = "scene blender multiscale convert fetching.fetch captures.poses llff load"
    code = "import sys\n" + "".join(f"import mipnerf.datasets.{name}\n" for name in modules.split())
    subprocess.run([sys.executable, "-c", code + "assert 'torch' not in sys.modules"], check=True)


def jpeg(mode: str = "RGB") -> bytes:
    stream = BytesIO()
    Image.open(BytesIO(png("RGB", (24, 16)))).convert(mode).save(stream, "JPEG")
    return stream.getvalue()


@pytest.mark.parametrize("data", [png("RGB"), jpeg()], ids=["PNG", "JPEG"])
def test_decode_image_returns_the_pixels_of_either_format(data):
    pixels = decode_image(data, PATH)
    np.testing.assert_array_equal(pixels, np.asarray(Image.open(BytesIO(data))))
    assert pixels.dtype == np.uint8


def test_decode_image_is_as_strict_with_png_as_decode_png():
    data = bytearray(png("RGB"))
    data[-20] ^= 1
    for damaged in (bytes(data), png("RGB")[:-1], png16()):
        with pytest.raises(DataError, match=r"r_0\.png"):
            decode_image(damaged, PATH)


def test_decode_image_notices_a_truncated_jpeg():
    data = jpeg()
    for length in range(len(data) - 2):
        with pytest.raises(DataError, match=r"r_0\.png: not a whole, undamaged PNG"):
            decode_image(data[:length], PATH)


@pytest.mark.parametrize("data", [png("RGB", (24, 16)), jpeg()], ids=["PNG", "JPEG"])
def test_image_size_reads_the_header_only(tmp_path, data):
    path = tmp_path / "image"
    path.write_bytes(data[: len(data) * 3 // 4])
    assert image_size(path) == (24, 16)
    path.write_bytes(b"no image")
    with pytest.raises(DataError, match="image: not a whole, undamaged PNG, JPEG, WebP or TIFF image, but a text"):
        image_size(path)


@pytest.mark.parametrize("factor", [2, 4])
def test_downsampled_pixels_are_sums_and_look_through_the_middle(scene, factor):
    fine = scene.select([0, 2])
    coarse = fine.downsampled(factor)
    for image, whole in zip(coarse.images, fine.images, strict=True):
        blocks = whole.reshape(4 // factor, factor, 8 // factor, factor, 4)
        assert image.tolist() == blocks.sum((1, 3), dtype=int).tolist()
        assert image.dtype == np.uint16
    assert coarse.max_value == 255 * factor**2
    middle = fine.pix2cams[0] @ [1.5 * factor, 0.5 * factor, 1]
    np.testing.assert_allclose(coarse.pix2cams[0] @ [1.5, 0.5, 1], middle)
    assert coarse.fingerprint() != fine.fingerprint()
    assert coarse.downsampled(1) is coarse is coarse.downsampled(0)


def test_downsampling_that_does_not_go_is_refused(scene):
    with pytest.raises(ConfigError, match=r"data\.factor 4 leaves nothing of the 4 x 2 pixels of 1\.png"):
        scene.downsampled(4)
    with pytest.raises(ConfigError, match=r"data\.factor 17 is too large"):
        scene.downsampled(17)


def test_a_size_that_does_not_divide_loses_pixels_at_the_right_and_the_bottom(scene):
    fine = scene.select([0, 2])
    coarse = fine.downsampled(3)
    assert (coarse.widths.tolist(), coarse.heights.tolist()) == ([2, 2], [1, 1])
    blocks = fine.images[1][:3, :6].reshape(1, 3, 2, 3, 4)
    assert coarse.images[1].tolist() == blocks.sum((1, 3), dtype=int).tolist()
    np.testing.assert_allclose(coarse.pix2cams[1] @ [1.5, 0.5, 1], fine.pix2cams[1] @ [4.5, 1.5, 1])


BAD_POSES = {
    "NaN": (np.full((4, 4), np.nan), "must be finite in 32 bits"),
    "too large": (np.diag([1e39, 1, 1, 1]), "must be finite in 32 bits"),
    "singular": (np.diag([1.0, 1, 0, 1]), "must be an invertible transform"),
    "projective": (np.diag([1.0, 1, 1, 2]), "must be an invertible transform"),
    "left-handed": (np.diag([1.0, -1, 1, 1]), "must be a rotation, not a reflection"),
}


@pytest.mark.parametrize(("matrix", "message"), BAD_POSES.values(), ids=BAD_POSES)
def test_a_bad_pose_is_named(matrix, message):
    with pytest.raises(DataError, match=f"pose 1 {message}"):
        check_poses(np.stack([np.eye(4), matrix]), lambda i: f"pose {i}")


def test_only_rigid_poses_need_axes_of_unit_length():
    matrices = np.stack([np.eye(4) + 0.005, np.diag([1.1, 1, 1, 1])])
    matrices[:, 3] = [0, 0, 0, 1]
    check_poses(matrices, str)
    with pytest.raises(DataError, match="1 must have perpendicular axes of unit length"):
        check_poses(matrices, str, rigid=True)


def test_a_general_pinhole_is_inverse_to_its_projection():
    fx, fy, cx, cy = 30.0, 40.0, 7.0, 5.0
    x, y = 3.5, 8.5
    np.testing.assert_allclose(pix2cam_matrix(fx, fy, cx, cy) @ [x, y, 1], [(x - cx) / fx, (cy - y) / fy, -1])
    for focal, width, height in ((1 / 3, 7, 5), (np.float64(555.1), 800, 801)):
        central = np.array([[1 / focal, 0, -0.5 * width / focal], [0, -1 / focal, 0.5 * height / focal], [0, 0, -1]])
        np.testing.assert_array_equal(pinhole_pix2cam(focal, width, height), central)


def test_the_largest_sum_fits(scene):
    white = np.full((16, 16, 4), 255, dtype=np.uint8)
    largest = replace(scene.select([0]), images=[white]).downsampled(16)
    assert largest.images[0].tolist() == [[[largest.max_value] * 4]]


def test_evenly_spread_views():
    assert evenly_spread(7).tolist() == list(range(7))
    assert evenly_spread(7, 3).tolist() == [0, 2, 4]
    assert evenly_spread(7, 99).tolist() == list(range(7))
    assert evenly_spread(7, 3, view=5).tolist() == [5]


def test_sixteen_bits_a_channel_are_refused_not_cut():
    data = png16()
    with pytest.raises(DataError, match=r"r_0\.png: pixels have 16 bits a channel, allowed is 8"):
        decode_png(data, PATH)


def png16() -> bytes:
    """A 1x1 RGBA PNG with 16 bits a channel, chunk by chunk."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", 1, 1, 16, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(9))), chunk(b"IEND", b"")]
    )
