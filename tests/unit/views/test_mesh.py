"""Meshes of a density that is known, and of a trained network by hand."""

import sys

import numpy as np
import pytest
import torch
from scene_files import write_llff_scene, write_scene

from mipnerf import cli
from mipnerf.cameras import Cameras, convert_to_ndc, image_rays
from mipnerf.config import ModelConfig, OperationConfig, RunConfig
from mipnerf.datasets.load import load_scene
from mipnerf.errors import ConfigError
from mipnerf.evaluation.views import Trained
from mipnerf.network import mip
from mipnerf.network.model import MipNerf
from mipnerf.training.loop import train
from mipnerf.views.mesh import NDC_BOUNDS, bounds_of, extract_mesh, ndc_to_world, write_ply
from mipnerf.views.renderer import Renderer
from mipnerf.workers import Workers

pytest.importorskip("skimage", reason="the extra `mesh` is not installed: pip install -e '.[mesh]'")
CPU = torch.device("cpu")
CENTER, RADIUS = np.array([0.1, -0.2, 0.05]), 0.5
CUBE = np.array([[-1.0, -1, -1], [1, 1, 1]])


class Ball(torch.nn.Module):
    """Density 40 (1.5 R - r) around a centre, so 20 R at the radius R; the colour says from where it is seen."""

    def __init__(self):
        super().__init__()
        self.config, self.variances, self.largest = ModelConfig(), set(), 0

    def query(self, means, covs, viewdirs):
        assert covs.shape == means.shape
        self.variances |= set(covs.flatten().tolist())
        self.largest = max(self.largest, means.numel() // 3)
        distance = torch.linalg.norm(means - torch.as_tensor(CENTER, dtype=torch.float32), dim=-1, keepdim=True)
        return (0.5 - 0.5 * viewdirs[:, None]).expand(*means.shape), (40 * (1.5 * RADIUS - distance)).clamp(min=0)


def renderer_of(model, threads=1):
    run = RunConfig(dataset="toy", variant="mipnerf", scene="box", levels=1)
    return Renderer(Trained(model, run), CPU, torch.float32, 0, Workers(threads, CPU))


def read_ply(path):
    """Vertices, normals, colours and faces by the header alone, which has to account for every byte."""
    content = path.read_bytes()
    head, body = content.split(b"end_header\n", 1)
    lines = head.decode("ascii").splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    elements = {}
    for word, *rest in (line.split() for line in lines[2:]):
        if word == "element":
            elements[rest[0]] = (int(rest[1]), fields := [])
        elif rest[0] == "list":
            assert rest == ["list", "uchar", "int", "vertex_indices"]
            fields += [("count", "u1"), ("indices", "<i4", 3)]
        else:
            fields.append((rest[1], {"float": "<f4", "uchar": "u1"}[rest[0]]))
    arrays = {}
    for name, (count, fields) in elements.items():
        arrays[name] = np.frombuffer(body, fields, count)
        body = body[arrays[name].nbytes :]
    assert body == b""
    vertex, face = arrays["vertex"], arrays["face"]
    assert (face["count"] == 3).all()
    columns = ("x y z", "nx ny nz", "red green blue")
    return *(np.stack([vertex[name] for name in names.split()], axis=-1) for names in columns), face["indices"]


def volume_of(vertices, faces):
    """The volume that a closed surface holds; negative where its triangles are seen clockwise from outside."""
    first, second, third = np.moveaxis(vertices[faces].astype(float), 1, 0)
    return (np.cross(first, second) * third).sum() / 6


def assert_closed(faces):
    """Every edge is passed once in each direction."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    assert set(map(tuple, edges)) == set(map(tuple, edges[:, ::-1]))
    assert len(set(map(tuple, edges))) == len(edges)


def test_a_ball_of_density_becomes_its_sphere(tmp_path):
    ball = Ball()
    mesh = extract_mesh(renderer_of(ball), CUBE, resolution=40, threshold=20 * RADIUS)
    write_ply(mesh, tmp_path / "ball.ply")
    vertices, normals, colors, faces = read_ply(tmp_path / "ball.ply")
    for read, written in zip((vertices, normals, colors, faces), mesh, strict=True):
        assert read.dtype == written.dtype
        np.testing.assert_array_equal(read, written)
    outwards = vertices - CENTER
    np.testing.assert_allclose(np.linalg.norm(outwards, axis=-1), RADIUS, atol=2e-3)
    np.testing.assert_allclose(normals, outwards / RADIUS, atol=0.15)
    assert_closed(faces)
    assert volume_of(vertices, faces) == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.02)
    # Seen along the negative normal.
    assert np.abs(colors - 255 * (0.5 + 0.5 * normals)).max() <= 0.51
    # The Gaussians are those of the cells, 0.05 wide.
    assert list(ball.variances) == pytest.approx([0.05**2 / 12])
    # Memory is that of the grid, whatever its size.
    assert ball.largest <= 1 << 13


def test_threads_and_uneven_bounds_change_nothing_of_the_surface():
    bounds = np.array([[-0.6, -0.75, -0.7], [0.8, 0.5, 0.62]])
    one, two = (extract_mesh(renderer_of(Ball(), threads), bounds, 28, 20 * RADIUS) for threads in (1, 2))
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(np.linalg.norm(one.vertices - CENTER, axis=-1), RADIUS, atol=3e-3)
    assert_closed(one.faces)


def test_the_default_threshold_is_half_opaque_over_a_fiftieth_of_the_longest_side():
    mesh = extract_mesh(renderer_of(Ball()), 2 * CUBE, resolution=80)
    density = np.log(2) / (4 / 50)
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices - CENTER, axis=-1), 1.5 * RADIUS - density / 40, atol=3e-3)


def test_from_ndc_a_surface_is_taken_back_to_the_world():
    points = np.random.default_rng(0).uniform([-2, -2, -9], [2, 2, -1.2], (50, 3))
    origins = torch.zeros(50, 3, dtype=torch.float64)
    starts, directions = convert_to_ndc(origins, torch.from_numpy(points), 1.0, 0.8, 0.6)
    # A ray reaches its point p at t = 1, which in NDC is 1 - 1 / -p_z of the way.
    share = 1 + 1 / torch.from_numpy(points[:, 2:])
    np.testing.assert_allclose(ndc_to_world((starts + share * directions).numpy(), (0.8, 0.6)), points)

    world = extract_mesh(renderer_of(Ball()), NDC_BOUNDS, 40, 20 * RADIUS, plane=(0.8, 0.6))
    ndc = extract_mesh(renderer_of(Ball()), NDC_BOUNDS, 40, 20 * RADIUS)
    np.testing.assert_allclose(world.vertices, ndc_to_world(ndc.vertices.astype(float), (0.8, 0.6)), rtol=1e-5)
    assert (world.vertices[:, 2] < -1).all()
    assert_closed(world.faces)
    assert volume_of(world.vertices, world.faces) > 0
    center = world.vertices.mean(0)
    assert (((world.vertices - center) * world.normals).sum(-1) > 0).mean() > 0.95


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"disable_integration": True},
        {"use_viewdirs": False},
        {"ray_shape": "point", "num_fine_samples": 8, "append_identity": True},
    ],
)
def test_the_network_is_asked_for_what_it_renders(small_scene, config):
    torch.manual_seed(0)
    sizes = {"net_depth": 2, "net_width": 16, "net_width_condition": 8, "num_samples": 8, "num_levels": 1}
    model = MipNerf(ModelConfig(**sizes, max_deg_point=4, **config))
    rays = image_rays(Cameras.from_scene(small_scene), 0, 8, 8)
    with torch.no_grad():
        level = model.render_levels(rays, False, True)[0]
        if model.config.ray_shape == "point":
            means = rays.origins[:, None] + level.t_vals[..., None] * rays.directions[:, None]
            covs = torch.full_like(means, 7.0)
        else:
            means, covs = mip.cast_rays(level.t_vals, rays.origins, rays.directions, rays.radii, "cone")
        rgb, density = model.query(means, covs, rays.viewdirs)
    torch.testing.assert_close(rgb, level.sample_rgb)
    torch.testing.assert_close(density, level.density)


def test_what_has_no_surface_is_said_with_the_densities(monkeypatch):
    for threshold in (31.0, 1e9, -1.0, float("nan")):
        with pytest.raises(ConfigError, match=r"densities within the bounds are 0 to 2\d\.\d+, and none .*--threshold"):
            extract_mesh(renderer_of(Ball()), CUBE, 8, threshold)
    with pytest.raises(ConfigError, match="hold nothing; give MIN below MAX"):
        extract_mesh(renderer_of(Ball()), CUBE[::-1])
    for resolution in (1, 1025):
        with pytest.raises(ConfigError, match=f"resolution {resolution} must lie within 2 and 1024"):
            extract_mesh(renderer_of(Ball()), CUBE, resolution)
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ConfigError, match=r"meshes need scikit-image: pip install -e '.\[mesh\]'"):
        extract_mesh(renderer_of(Ball()), CUBE)


def test_a_trained_network_becomes_a_file_by_hand(tmp_path, run_with, monkeypatch):
    operation = OperationConfig(device="cpu")

    def call(*words):
        arguments = ["mipnerf", "mesh", tmp_path / "model.pt", "--output", tmp_path / "x.ply", "--threads", "1", *words]
        monkeypatch.setattr(sys, "argv", [str(argument) for argument in arguments])
        cli.main()
        return read_ply(tmp_path / "x.ply")

    monkeypatch.chdir(tmp_path)  # where no configuration says where the data are
    write_scene(tmp_path / "blender")
    write_llff_scene(tmp_path / "llff")
    for layout in ("blender", "llff"):
        run = run_with().model_copy(update={"levels": 1})
        scene = load_scene(tmp_path / layout, "train", 1, run.data)
        train(run, operation, scene, tmp_path, threads=1, fresh=layout)
        model = Renderer.open(tmp_path / "model.pt", operation, 1).trained.model
        points = torch.rand(1, 2000, 3) * 2 - 1
        with torch.no_grad():
            density = model.query(points, torch.zeros_like(points), torch.eye(3)[:1])[1]
        words = ["--resolution", 8, "--threshold", density.median().item()]
        vertices, _, _, faces = call("--data", tmp_path / layout, *words)
        bounds = bounds_of(load_scene(tmp_path / layout, "test", 1, run.data, view=0))
        if layout == "llff":
            np.testing.assert_array_equal(bounds, NDC_BOUNDS)
            assert (vertices[:, 2] <= -1).all()
        else:
            # What a camera 4 away sees there, with a field of view of 0.69.
            np.testing.assert_allclose(bounds, CUBE * 4 * np.tan(0.6911112 / 2), rtol=1e-6)
            assert (np.abs(vertices) <= bounds[1] + 1e-5).all()
        assert faces.max() < len(vertices)
        vertices, *_ = call("--bounds", -1, -1, -1, 1, 1, 0.5, *words)
        assert (vertices >= -1).all()
        assert vertices[:, 2].max() <= 0.5 + 1e-6
    with pytest.raises(ConfigError, match="in NDC, 1 is infinitely far"):
        call("--data", tmp_path / "llff", "--bounds", -1, -1, -1, 1, 1, 1, *words)
    with pytest.raises(ConfigError, match=r"differ too much for cells of 0\.25"):
        call("--bounds", -1, -1, -1, 1, 1, -0.9, *words)
    with pytest.raises(ConfigError, match=r"x.obj must end with .ply"):
        call("--output", tmp_path / "x.obj")
    with pytest.raises(ConfigError, match="--bounds have to be given; or name the scene's folder by --data"):
        call(*words)
