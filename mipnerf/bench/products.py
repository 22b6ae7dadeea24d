"""The bound: how fast the matrix products of a step can be here, if nothing but them is computed."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from mipnerf.bench.operations import BACKWARD_FLOPS, FORWARD_FLOPS, Shape, multiply_adds
from mipnerf.bench.speed import time_calls
from mipnerf.workers import Workers

# Samples computed at a time; a GPU wants to be filled.
ROWS = {"cpu": (2048, 8192, 32768), "cuda": (32768, 131072, 524288)}
TOTAL_ROWS = 32768  # samples of all parts together, if there are threads for more than one


class Products:
    """The products of all layers for `rows` samples, with their operands.

    Operands of the same width are the same memory, and results go where there is memory already, so that no time is
    spent on anything else.
    """

    def __init__(self, shapes: Sequence[Shape], rows: int, precision: torch.dtype, device: torch.device):
        def random(*size: int) -> Tensor:
            return torch.randn(size, device=device).to(precision)

        widths = {width for shape in shapes for width in shape}
        samples = {width: random(rows, width) for width in widths}
        self.layers = [(samples[i], random(o, i), samples[o]) for i, o in shapes]
        self.multiply_adds = rows * multiply_adds(shapes)
        self.result_size = max(rows * max(widths), *(i * o for i, o in shapes))
        self.precision, self.device = precision, device

    def result(self) -> Tensor:
        """Memory for any of the products; threads beside one another need one each."""
        return torch.empty(self.result_size, dtype=self.precision, device=self.device)

    def multiply(self, result: Tensor, training: bool) -> None:
        """Take all products: the outputs of the layers, and in `training` also the gradients."""
        for x, weight, d_output in self.layers:
            _multiply_into(result, x, weight.t())
            if training:
                _multiply_into(result, d_output, weight)
                _multiply_into(result, d_output.t(), x)


def _multiply_into(result: Tensor, a: Tensor, b: Tensor) -> None:
    shape = a.shape[0], b.shape[1]
    torch.mm(a, b, out=result[: shape[0] * shape[1]].view(shape))


def product_bound(
    shapes: Sequence[Shape],
    training: bool,
    precision: torch.dtype,
    workers: Workers,
    device: torch.device,
    seconds: float,
    rows: Sequence[int] = (),
) -> float:
    """GFLOP/s of the products, for the best of `rows` and the better way to use the threads.

    Args:
        rows: samples computed at a time; none takes those that suit the device.
        seconds: for each way and number of rows.
    """
    flops = FORWARD_FLOPS + BACKWARD_FLOPS * training
    best = 0.0
    for count in rows or ROWS[device.type]:
        products = Products(shapes, count, precision, device)
        for parts, call in _ways(products, training, workers, count):
            timing = time_calls(call, seconds, device)
            best = max(best, flops * products.multiply_adds * parts / timing.best / 1e9)
    return best


def _ways(
    products: Products, training: bool, workers: Workers, rows: int
) -> Iterator[tuple[int, Callable[[], object]]]:
    """How many times the products are taken by a call, and the call: by all threads together, then one by each."""
    result = products.result()
    torch.set_num_threads(workers.count)
    yield 1, lambda: products.multiply(result, training)
    torch.set_num_threads(1)
    if workers.count > 1:
        repeats = max(1, TOTAL_ROWS // (rows * workers.count))
        results = [products.result() for _ in range(workers.count)]

        def repeat(own: Tensor) -> None:
            for _ in range(repeats):
                products.multiply(own, training)

        yield repeats * workers.count, lambda: list(workers.map(repeat, results))
