"""The kernels as the compiler for a GPU sees them, which needs none: it refuses what the interpreter takes."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", minversion="3.6", reason="Triton is missing or too old: pip install -e '.[gpu]'")

COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from mipnerf.network import kernels

HALF = "hidden tail encoded trunk density_weight density_encoded head head_encoded conditions rgb_weight".split()
HALF += ["d_hidden", "d_tail", "d_output"]
WHOLE = "num_samples samples_per_ray addition_stride samples_per_program".split()
SHAPE = dict(DEPTH=2, CONDITIONS=1, T=16, HALVES=2, C0=16, BLOCK=32)
FEATURES = dict(K=16, IDENTITY=-1, SINE=2)
for kernel, constants in (
    (kernels.forward_kernel, SHAPE | FEATURES | dict(SKIPS=1, STORES=True)),
    (kernels.backward_kernel, SHAPE),
    (kernels.encoded_gradient_kernel, FEATURES | dict(WIDTH=32, T=32, BLOCK=32)),
):
    types = {
        name: "constexpr" if name in constants else "*bf16" if name in HALF else "i32" if name in WHOLE else "*fp32"
        for name in kernel.arg_names
    }
    source = ASTSource(kernel, types, constexprs=constants)
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4, "num_stages": 1})
    print(kernel.__name__, len(compiled.asm["cubin"]))
"""


@pytest.mark.slow
def test_all_kernels_compile_for_a_gpu(tmp_path):
    environment = os.environ | {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COMPILE]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("_kernel ") == 3
