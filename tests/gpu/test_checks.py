"""What `python -m mipnerf check` tries."""

import pytest

from mipnerf.bench.checks import CHECKS, NotHere, make_bench

SMALL = {"net_depth": 2, "net_width": 16, "net_width_condition": 16, "num_samples": 4}
LARGE = {"net_width": 256, "net_width_condition": 128, "max_deg_point": 16}
NEED_A_GPU = ("captured steps are the same steps", "steps wait for nothing", "memory that runs out")


@pytest.mark.parametrize("name", CHECKS)
def test_it_works(device, tmp_path, name):
    bench = make_bench(device, tmp_path, **(SMALL if device.type == "cpu" else LARGE))
    if device.type == "cpu" and name in NEED_A_GPU:
        with pytest.raises(NotHere):
            CHECKS[name](bench)
    else:
        print(CHECKS[name](bench))
