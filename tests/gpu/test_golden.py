"""Arrays of the JAX reference, by every implementation of the network, in float32."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from interpreter import need_interpreter

from mipnerf.cameras import Rays
from mipnerf.network.fused import launches_on
from mipnerf.network.model import LevelOutput
from mipnerf.training.optimization import compute_loss
from tests.unit.network.test_golden_model import F32, NOISY, VARIANTS, Case
from tests.unit.training.test_golden_trajectory import LOSS_TOLERANCE, follow


def launch_of(network, device):
    if network != "fused":
        return None
    if device.type == "cpu":
        need_interpreter()
    return launches_on(device)[0]


@pytest.fixture
def levels_of(golden, golden_network, device):
    """A function: variant, network -> case and the levels that it renders on the device."""

    def render(variant, network):
        case = Case(golden, golden_network, variant, torch.float32)
        case.model.to(device).fused = launch_of(network, device)
        rays = Rays(**{field.name: getattr(case.rays, field.name).to(device) for field in fields(Rays)})
        render_levels = case.model.render_levels
        if network == "compiled":
            backend = "inductor" if device.type == "cuda" else "aot_eager"
            render_levels = torch.compile(render_levels, backend=backend, dynamic=False)
        return case, render_levels(rays, False, variant != "llff", None)

    return render


@pytest.mark.parametrize(
    ("variant", "network"),
    [
        *((variant, network) for variant in VARIANTS for network in ("plain", "fused")),
        *((variant, "compiled") for variant in ("init", "skip2")),  # which takes long
    ],
)
def test_networks_render_as_the_reference_and_have_its_gradient(levels_of, compare, device, variant, network):
    case, levels = levels_of(variant, network)
    for i, level in enumerate(levels):
        for name, value in zip(LevelOutput._fields, level, strict=True):
            # Another order of sums: a few roundings more than the plain network has on a CPU.
            atol = NOISY[name] if case.is_noisy and i == 1 else 2 * F32[name]
            compare(f"{case.file}/{name}_{i}", value, case.expected[f"{name}_{i}"], atol)
    lossmult, pixels = case.rays.lossmult.to(device), case.pixels.to(device)
    compute_loss(levels, pixels, lossmult, case.train)[0].backward()
    # Where a rounding turns a rectified output on or off, gradients of two machines differ by up to 1.1e-3.
    compare.network(case.file, "grad", case.model, lambda p: p.grad, case.expected, 0.7 if case.is_noisy else 2e-3)


@pytest.mark.parametrize("network", ["plain", "fused"])
def test_steps_are_those_of_the_reference(golden, golden_network, compare, device, network):
    expected, batches = golden("traj_small_50"), golden("traj_batches_50")
    steps = 2 if device.type == "cpu" else 50
    launch = launch_of(network, device)
    follow("traj_small_50", expected, batches, steps, golden_network, compare, device, launch, LOSS_TOLERANCE[50])


@pytest.mark.gpu
@pytest.mark.parametrize("network", ["plain", "fused"])
def test_two_hundred_steps_are_those_of_the_reference(golden_dir, golden_network, compare, network):
    if not torch.cuda.is_available():
        pytest.skip("PyTorch finds no GPU here")
    device = torch.device("cuda")
    expected, batches = (dict(np.load(golden_dir / f"{name}.npz")) for name in ("traj_small_200", "traj_batches"))
    launch = launch_of(network, device)
    follow("traj_small_200", expected, batches, 200, golden_network, compare, device, launch)
