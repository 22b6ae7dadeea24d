"""The kernels of the fused network, in Triton: all layers for a block of samples, whose activations stay on the chip.

A block walks through the layers; its features are computed where they are multiplied and never reach memory. For the
gradient, the forward kernel stores what each layer gives, once; the backward kernel walks the layers in reverse and
stores the gradients of what each layer gave before its ReLU, from which those of the weights are products of matrices.

A layer of 256 is held as two halves of 128, since a block's tensors cannot be sliced; smaller ones are one tile. What
is wider than a layer is filled up with zeros (`packing.py`). Weights lie as [outputs, inputs].
"""

import triton
import triton.language as tl

# How sines are taken: the reference's float32 arithmetic with its rounded period, the same without that period, or
# true sines whose argument is reduced with 2 pi in three parts, for products in half precision.
REFERENCE, PLAIN, REDUCED = 0, 1, 2


@triton.jit
def _encode(mean, variance, scale, phase, column, IDENTITY: tl.constexpr, SINE: tl.constexpr):
    """Features [samples, columns] of one dimension; column IDENTITY is the position itself."""
    scaled = mean[:, None] * scale[None, :]
    if SINE == 2:
        # The parts have so few bits that their products with whole numbers are exact.
        turns = tl.floor(scaled * 0.15915494309189535 + 0.5)
        angle = scaled - turns * 6.28125
        angle = angle - turns * 0.00193023681640625
        angle = angle - turns * 5.070363179776e-06
        sine = tl.sin(angle + phase[None, :])
    else:
        angle = scaled + phase[None, :]
        if SINE == 0:
            reduced = angle % 314.1592653589793
            reduced = tl.where(reduced < 0, reduced + 314.1592653589793, reduced)
            angle = tl.where(tl.abs(angle) < 314.1592653589793, angle, reduced)
        sine = tl.sin(angle)
    features = sine * tl.exp(-0.5 * (variance[:, None] * (scale * scale)[None, :]))
    if IDENTITY >= 0:
        features = tl.where(column[None, :] == IDENTITY, mean[:, None], features)
    return features


@triton.jit
def _add_features(
    sums,
    weight,
    outputs,
    means,
    variances,
    sample,
    is_sample,
    scales,
    phases,
    K: tl.constexpr,
    IDENTITY: tl.constexpr,
    SINE: tl.constexpr,
):
    """`sums` [samples, outputs] and the products of the features with their weights [outputs, 3 K]."""
    column = tl.arange(0, K)
    scale, phase = tl.load(scales + column), tl.load(phases + column)
    for d in tl.static_range(3):
        mean = tl.load(means + 3 * sample + d, mask=is_sample, other=0.0)
        variance = tl.load(variances + 3 * sample + d, mask=is_sample, other=0.0)
        block = tl.load(weight + outputs[:, None] * (3 * K) + d * K + column[None, :])
        features = _encode(mean, variance, scale, phase, column, IDENTITY, SINE).to(block.dtype)
        sums = tl.dot(features, tl.trans(block), sums, input_precision="ieee")
    return sums


@triton.jit
def _add_layer(sums, first, second, weight, outputs, T: tl.constexpr, HALVES: tl.constexpr):
    """`sums` [samples, outputs] and the products of a layer's halves with a weight [outputs, HALVES T]."""
    column = tl.arange(0, T)
    rows = weight + outputs[:, None] * (HALVES * T)
    sums = tl.dot(first, tl.trans(tl.load(rows + column[None, :])), sums, input_precision="ieee")
    if HALVES == 2:
        sums = tl.dot(second, tl.trans(tl.load(rows + T + column[None, :])), sums, input_precision="ieee")
    return sums


@triton.jit
def _add_reverse(sums, d_output, weight, row, inputs, STRIDE: tl.constexpr):
    """`sums` [samples, inputs] and the products of gradients [samples, outputs] with a weight [outputs, STRIDE]."""
    block = tl.load(weight + row[:, None] * STRIDE + inputs[None, :])
    return tl.dot(d_output, block, sums, input_precision="ieee")


@triton.jit
def _rectify(sums, bias, outputs):
    return tl.maximum(sums + tl.load(bias + outputs)[None, :], 0.0)


@triton.jit(do_not_specialize=["num_samples"])
def forward_kernel(
    means,  # [M, 3] float32
    variances,  # [M, 3] float32
    additions,  # [rays, C0] float32: what the direction, or the bias, adds to the first layer of the head
    rgb,  # [M, 3] float32, written
    density,  # [M] float32, written
    hidden,  # [DEPTH, M, W], written if STORES
    tail,  # [CONDITIONS, M, C0], written if STORES
    scales,  # [K] float32
    phases,  # [K] float32
    encoded,  # [layers that see features, W, 3 K]
    trunk,  # [DEPTH - 1, W, W]
    trunk_bias,  # [DEPTH, W] float32
    density_weight,  # [16, W]
    density_encoded,  # [16, 3 K]
    density_bias,  # [1] float32
    head,  # [C0, W]
    head_encoded,  # [C0, 3 K]
    conditions,  # [CONDITIONS - 1, C0, C0]
    condition_bias,  # [CONDITIONS - 1, C0] float32
    rgb_weight,  # [16, C0]
    rgb_bias,  # [16] float32
    num_samples,
    samples_per_ray,
    addition_stride,
    DEPTH: tl.constexpr,
    SKIPS: tl.constexpr,  # bit i: the features join the output of trunk layer i
    CONDITIONS: tl.constexpr,
    T: tl.constexpr,
    HALVES: tl.constexpr,
    C0: tl.constexpr,
    K: tl.constexpr,
    IDENTITY: tl.constexpr,
    SINE: tl.constexpr,
    STORES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Raw colour and density of BLOCK samples."""
    W: tl.constexpr = HALVES * T
    sample = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    is_sample = sample < num_samples
    inside = is_sample[:, None]
    low = tl.arange(0, T)
    high = low + (HALVES - 1) * T
    dtype = trunk.dtype.element_ty
    layer_size = num_samples.to(tl.int64) * W
    at = hidden + sample[:, None] * W

    sums = tl.zeros([BLOCK, T], tl.float32)
    first = _add_features(sums, encoded, low, means, variances, sample, is_sample, scales, phases, K, IDENTITY, SINE)
    first = _rectify(first, trunk_bias, low).to(dtype)
    second = first
    if HALVES == 2:
        second = _add_features(
            sums, encoded, high, means, variances, sample, is_sample, scales, phases, K, IDENTITY, SINE
        )
        second = _rectify(second, trunk_bias, high).to(dtype)
    if STORES:
        tl.store(at + low[None, :], first, mask=inside)
        if HALVES == 2:
            tl.store(at + high[None, :], second, mask=inside)
    seen = 1
    for i in tl.static_range(1, DEPTH):
        weight = trunk + (i - 1) * W * W
        lower = _add_layer(sums, first, second, weight, low, T, HALVES)
        upper = lower
        if HALVES == 2:
            upper = _add_layer(sums, first, second, weight, high, T, HALVES)
        if (SKIPS >> (i - 1)) & 1:
            extra = encoded + seen * W * 3 * K
            lower = _add_features(
                lower, extra, low, means, variances, sample, is_sample, scales, phases, K, IDENTITY, SINE
            )
            if HALVES == 2:
                upper = _add_features(
                    upper, extra, high, means, variances, sample, is_sample, scales, phases, K, IDENTITY, SINE
                )
            seen += 1
        first = _rectify(lower, trunk_bias + i * W, low).to(dtype)
        second = first
        if HALVES == 2:
            second = _rectify(upper, trunk_bias + i * W, high).to(dtype)
        if STORES:
            tl.store(at + i * layer_size + low[None, :], first, mask=inside)
            if HALVES == 2:
                tl.store(at + i * layer_size + high[None, :], second, mask=inside)

    narrow = tl.arange(0, 16)
    raw_density = _add_layer(tl.zeros([BLOCK, 16], tl.float32), first, second, density_weight, narrow, T, HALVES)
    channel = tl.arange(0, C0)
    output = _add_layer(tl.zeros([BLOCK, C0], tl.float32), first, second, head, channel, T, HALVES)
    if (SKIPS >> (DEPTH - 1)) & 1:
        raw_density = _add_features(
            raw_density, density_encoded, narrow, means, variances, sample, is_sample, scales, phases, K, IDENTITY, SINE
        )
        output = _add_features(
            output, head_encoded, channel, means, variances, sample, is_sample, scales, phases, K, IDENTITY, SINE
        )
    raw_density += tl.load(density_bias)
    tl.store(density + sample[:, None] + narrow[None, :], raw_density, mask=inside & (narrow < 1)[None, :])
    ray = sample // samples_per_ray
    output += tl.load(additions + ray[:, None] * addition_stride + channel[None, :], mask=inside, other=0.0)
    if CONDITIONS == 0:
        tl.store(rgb + 3 * sample[:, None] + channel[None, :], output, mask=inside & (channel < 3)[None, :])
    else:
        tail_at = tail + sample[:, None] * C0 + channel[None, :]
        tail_size = num_samples.to(tl.int64) * C0
        colours = tl.maximum(output, 0.0).to(dtype)
        if STORES:
            tl.store(tail_at, colours, mask=inside)
        zeros = tl.zeros([BLOCK, C0], tl.float32)
        for i in tl.static_range(1, CONDITIONS):
            output = _add_layer(zeros, colours, colours, conditions + (i - 1) * C0 * C0, channel, C0, 1)
            colours = _rectify(output, condition_bias + (i - 1) * C0, channel).to(dtype)
            if STORES:
                tl.store(tail_at + i * tail_size, colours, mask=inside)
        output = _add_layer(tl.zeros([BLOCK, 16], tl.float32), colours, colours, rgb_weight, narrow, C0, 1)
        output += tl.load(rgb_bias + narrow)[None, :]
        tl.store(rgb + 3 * sample[:, None] + narrow[None, :], output, mask=inside & (narrow < 3)[None, :])


@triton.jit(do_not_specialize=["num_samples"])
def backward_kernel(
    d_rgb,  # [M, 3] float32
    d_density,  # [M] float32
    hidden,  # [DEPTH, M, W], as the forward kernel stored it
    tail,  # [CONDITIONS, M, C0], too
    d_hidden,  # [DEPTH, M, W], written: gradients of what is rectified
    d_tail,  # [CONDITIONS, M, C0], written, too
    d_biases,  # [programs, DEPTH, W] float32, written: sums over the samples of each program
    d_condition_biases,  # [programs, CONDITIONS, C0] float32, written, too
    trunk,
    density_weight,
    head,
    conditions,
    rgb_weight,
    num_samples,
    DEPTH: tl.constexpr,
    CONDITIONS: tl.constexpr,
    T: tl.constexpr,
    HALVES: tl.constexpr,
    C0: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Gradients of the layers of BLOCK samples, from those of raw colour and density."""
    W: tl.constexpr = HALVES * T
    program = tl.program_id(0).to(tl.int64)
    sample = program * BLOCK + tl.arange(0, BLOCK)
    inside = (sample < num_samples)[:, None]
    low = tl.arange(0, T)
    high = low + (HALVES - 1) * T
    narrow = tl.arange(0, 16)
    channel = tl.arange(0, C0)
    dtype = trunk.dtype.element_ty
    at = sample[:, None] * W
    layer_size = num_samples.to(tl.int64) * W
    sums = tl.zeros([BLOCK, T], tl.float32)

    d_raw = tl.load(d_density + sample[:, None] + 0 * narrow[None, :], mask=inside & (narrow < 1)[None, :], other=0.0)
    d_raw = d_raw.to(dtype)
    if CONDITIONS == 0:
        is_channel = inside & (channel < 3)[None, :]
        d_output = tl.load(d_rgb + 3 * sample[:, None] + channel[None, :], mask=is_channel, other=0.0).to(dtype)
    else:
        is_channel = inside & (narrow < 3)[None, :]
        d_colours = tl.load(d_rgb + 3 * sample[:, None] + narrow[None, :], mask=is_channel, other=0.0).to(dtype)
        zeros = tl.zeros([BLOCK, C0], tl.float32)
        gradient = _add_reverse(zeros, d_colours, rgb_weight, narrow, channel, C0)
        tail_at = sample[:, None] * C0 + channel[None, :]
        tail_size = num_samples.to(tl.int64) * C0
        for j in tl.static_range(CONDITIONS):
            i = CONDITIONS - 1 - j
            stored = tl.load(tail + i * tail_size + tail_at, mask=inside, other=0.0)
            gradient = tl.where(stored > 0, gradient, 0.0)
            tl.store(d_condition_biases + (program * CONDITIONS + i) * C0 + channel, tl.sum(gradient, 0))
            d_output = gradient.to(dtype)
            tl.store(d_tail + i * tail_size + tail_at, d_output, mask=inside)
            if j < CONDITIONS - 1:
                gradient = _add_reverse(zeros, d_output, conditions + (i - 1) * C0 * C0, channel, channel, C0)

    lower = _add_reverse(sums, d_output, head, channel, low, W)
    lower = _add_reverse(lower, d_raw, density_weight, narrow, low, W)
    upper = lower
    if HALVES == 2:
        upper = _add_reverse(sums, d_output, head, channel, high, W)
        upper = _add_reverse(upper, d_raw, density_weight, narrow, high, W)
    for j in tl.static_range(DEPTH):
        i = DEPTH - 1 - j
        here = at + i * layer_size
        bias = d_biases + (program * DEPTH + i) * W
        stored = tl.load(hidden + here + low[None, :], mask=inside, other=0.0)
        lower = tl.where(stored > 0, lower, 0.0)
        tl.store(bias + low, tl.sum(lower, 0))
        first = lower.to(dtype)
        tl.store(d_hidden + here + low[None, :], first, mask=inside)
        second = first
        if HALVES == 2:
            stored = tl.load(hidden + here + high[None, :], mask=inside, other=0.0)
            upper = tl.where(stored > 0, upper, 0.0)
            tl.store(bias + high, tl.sum(upper, 0))
            second = upper.to(dtype)
            tl.store(d_hidden + here + high[None, :], second, mask=inside)
        if j < DEPTH - 1:
            weight = trunk + (i - 1) * W * W
            lower = _add_reverse(sums, first, weight, low, low, W)
            if HALVES == 2:
                lower = _add_reverse(lower, second, weight, high, low, W)
                upper = _add_reverse(sums, first, weight, low, high, W)
                upper = _add_reverse(upper, second, weight, high, high, W)


@triton.jit
def _add_gradient(
    sums, gradient, means, variances, is_sample, scale, phase, column, IDENTITY: tl.constexpr, SINE: tl.constexpr
):
    """`sums` [outputs, columns] and the products of gradients [outputs, samples] with the features of one dimension."""
    mean = tl.load(means, mask=is_sample, other=0.0)
    variance = tl.load(variances, mask=is_sample, other=0.0)
    features = _encode(mean, variance, scale, phase, column, IDENTITY, SINE).to(gradient.dtype)
    return tl.dot(gradient, features, sums, input_precision="ieee")


@triton.jit(do_not_specialize=["num_samples"])
def encoded_gradient_kernel(
    means,
    variances,
    d_output,  # [M, WIDTH]
    partial,  # [programs, WIDTH, 3 K] float32, written: sums over the samples of each program
    scales,
    phases,
    num_samples,
    samples_per_program,  # a multiple of BLOCK
    WIDTH: tl.constexpr,
    T: tl.constexpr,
    K: tl.constexpr,
    IDENTITY: tl.constexpr,
    SINE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The gradient of the weights [T of WIDTH, 3 K] that features are multiplied with, from that of the products."""
    program = tl.program_id(0).to(tl.int64)
    row = tl.program_id(1) * T + tl.arange(0, T)
    column = tl.arange(0, K)
    scale, phase = tl.load(scales + column), tl.load(phases + column)
    at = partial + (program * WIDTH + row[:, None]) * (3 * K) + column[None, :]
    sums_x = tl.zeros([T, K], tl.float32)
    sums_y = tl.zeros([T, K], tl.float32)
    sums_z = tl.zeros([T, K], tl.float32)
    for start in range(0, samples_per_program, BLOCK):
        sample = program * samples_per_program + start + tl.arange(0, BLOCK)
        is_sample = sample < num_samples
        gradient = tl.load(d_output + sample[:, None] * WIDTH + row[None, :], mask=is_sample[:, None], other=0.0)
        gradient = tl.trans(gradient)
        mean, variance = means + 3 * sample, variances + 3 * sample
        sums_x = _add_gradient(sums_x, gradient, mean, variance, is_sample, scale, phase, column, IDENTITY, SINE)
        sums_y = _add_gradient(
            sums_y, gradient, mean + 1, variance + 1, is_sample, scale, phase, column, IDENTITY, SINE
        )
        sums_z = _add_gradient(
            sums_z, gradient, mean + 2, variance + 2, is_sample, scale, phase, column, IDENTITY, SINE
        )
    tl.store(at, sums_x)
    tl.store(at + K, sums_y)
    tl.store(at + 2 * K, sums_z)
