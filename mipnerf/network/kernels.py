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
# true sines by a short series, off by less than 4e-6, for products in half precision.
REFERENCE, PLAIN, REDUCED = 0, 1, 2


@triton.jit
def _encode(mean, variance, scale, phase, column, IDENTITY: tl.constexpr, SINE: tl.constexpr):
    """Features [samples, columns] of one dimension; column IDENTITY is the position itself."""
    scaled = mean[:, None] * scale[None, :]
    if SINE == 2:
        half_turns = tl.floor(scaled * 0.3183098861837907 + phase[None, :] * 0.3183098861837907 + 0.5)
        # The parts of pi have so few bits that their products with whole numbers are exact.
        angle = scaled - half_turns * 3.140625
        angle = angle - half_turns * 0.000965118408203125
        angle = angle - half_turns * 2.535181589888e-06 + phase[None, :]
        square = angle * angle
        sine = 2.7557319e-06 * square - 1.9841270e-04
        sine = (sine * square + 8.3333333e-03) * square - 0.16666667
        sine = angle + angle * square * sine
        sine = sine * (1 - 2 * (half_turns - 2 * tl.floor(half_turns * 0.5)))
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


@triton.jit
def _rectify_reverse(gradient, outputs, d_outputs, at, inside, d_bias, dtype: tl.constexpr):
    """The gradient of what was rectified: masked, stored, summed over the samples; the layer's outputs are at `at`."""
    gradient = tl.where(tl.load(outputs + at, mask=inside, other=0.0) > 0, gradient, 0.0)
    tl.store(d_bias, tl.sum(gradient, 0))
    gradient = gradient.to(dtype)
    tl.store(d_outputs + at, gradient, mask=inside)
    return gradient


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
    # Offsets of single samples are counted from the block's first, so that they fit into 32 bits.
    begin = tl.program_id(0).to(tl.int64) * BLOCK
    sample = tl.arange(0, BLOCK)
    is_sample = begin + sample < num_samples
    means += 3 * begin
    variances += 3 * begin
    rgb += 3 * begin
    inside = is_sample[:, None]
    low = tl.arange(0, T)
    high = low + (HALVES - 1) * T
    dtype: tl.constexpr = trunk.dtype.element_ty
    layer_size = num_samples.to(tl.int64) * W
    hidden += begin * W
    at_low = sample[:, None] * W + low[None, :]
    at_high = sample[:, None] * W + high[None, :]

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
        tl.store(hidden + at_low, first, mask=inside)
        if HALVES == 2:
            tl.store(hidden + at_high, second, mask=inside)
    seen = 0
    # Not unrolled: the compiler would fetch the weights of many layers at once, and run out of registers.
    for i in range(1, DEPTH):
        weight = trunk + (i - 1) * W * W
        lower = _add_layer(sums, first, second, weight, low, T, HALVES)
        upper = lower
        if HALVES == 2:
            upper = _add_layer(sums, first, second, weight, high, T, HALVES)
        if ((SKIPS + 0 * i) >> (i - 1)) & 1 == 1:
            seen += 1
            extra = encoded + seen * W * 3 * K
            lower = _add_features(
                lower, extra, low, means, variances, sample, is_sample, scales, phases, K, IDENTITY, SINE
            )
            if HALVES == 2:
                upper = _add_features(
                    upper, extra, high, means, variances, sample, is_sample, scales, phases, K, IDENTITY, SINE
                )
        first = _rectify(lower, trunk_bias + i * W, low).to(dtype)
        second = first
        if HALVES == 2:
            second = _rectify(upper, trunk_bias + i * W, high).to(dtype)
        if STORES:
            tl.store(hidden + i * layer_size + at_low, first, mask=inside)
            if HALVES == 2:
                tl.store(hidden + i * layer_size + at_high, second, mask=inside)

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
    tl.store(density + begin + sample[:, None] + narrow[None, :], raw_density, mask=inside & (narrow < 1)[None, :])
    ray = (begin + sample) // samples_per_ray
    output += tl.load(additions + ray[:, None] * addition_stride + channel[None, :], mask=inside, other=0.0)
    if CONDITIONS == 0:
        tl.store(rgb + 3 * sample[:, None] + channel[None, :], output, mask=inside & (channel < 3)[None, :])
    else:
        tail += begin * C0
        tail_at = sample[:, None] * C0 + channel[None, :]
        tail_size = num_samples.to(tl.int64) * C0
        colours = tl.maximum(output, 0.0).to(dtype)
        if STORES:
            tl.store(tail + tail_at, colours, mask=inside)
        zeros = tl.zeros([BLOCK, C0], tl.float32)
        for i in tl.static_range(1, CONDITIONS):
            output = _add_layer(zeros, colours, colours, conditions + (i - 1) * C0 * C0, channel, C0, 1)
            colours = _rectify(output, condition_bias + (i - 1) * C0, channel).to(dtype)
            if STORES:
                tl.store(tail + i * tail_size + tail_at, colours, mask=inside)
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
    begin = program * BLOCK
    sample = tl.arange(0, BLOCK)
    inside = (begin + sample < num_samples)[:, None]
    d_rgb += 3 * begin
    low = tl.arange(0, T)
    high = low + (HALVES - 1) * T
    narrow = tl.arange(0, 16)
    channel = tl.arange(0, C0)
    dtype: tl.constexpr = trunk.dtype.element_ty
    at_low = sample[:, None] * W + low[None, :]
    at_high = sample[:, None] * W + high[None, :]
    hidden += begin * W
    d_hidden += begin * W
    layer_size = num_samples.to(tl.int64) * W
    sums = tl.zeros([BLOCK, T], tl.float32)

    d_raw = tl.load(
        d_density + begin + sample[:, None] + 0 * narrow[None, :], mask=inside & (narrow < 1)[None, :], other=0.0
    )
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
            at = begin * C0 + i * tail_size
            sums_at = d_condition_biases + (program * CONDITIONS + i) * C0 + channel
            d_output = _rectify_reverse(gradient, tail + at, d_tail + at, tail_at, inside, sums_at, dtype)
            if j < CONDITIONS - 1:
                gradient = _add_reverse(zeros, d_output, conditions + (i - 1) * C0 * C0, channel, channel, C0)

    lower = _add_reverse(sums, d_output, head, channel, low, W)
    lower = _add_reverse(lower, d_raw, density_weight, narrow, low, W)
    upper = lower
    if HALVES == 2:
        upper = _add_reverse(sums, d_output, head, channel, high, W)
        upper = _add_reverse(upper, d_raw, density_weight, narrow, high, W)
    for j in range(DEPTH - 1):
        i = DEPTH - 1 - j
        outputs, d_outputs = hidden + i * layer_size, d_hidden + i * layer_size
        bias = d_biases + (program * DEPTH + i) * W
        first = _rectify_reverse(lower, outputs, d_outputs, at_low, inside, bias + low, dtype)
        second = first
        if HALVES == 2:
            second = _rectify_reverse(upper, outputs, d_outputs, at_high, inside, bias + high, dtype)
        weight = trunk + (i - 1) * W * W
        lower = _add_reverse(sums, first, weight, low, low, W)
        upper = lower
        if HALVES == 2:
            lower = _add_reverse(lower, second, weight, high, low, W)
            upper = _add_reverse(sums, first, weight, low, high, W)
            upper = _add_reverse(upper, second, weight, high, high, W)
    bias = d_biases + program * DEPTH * W
    _rectify_reverse(lower, hidden, d_hidden, at_low, inside, bias + low, dtype)
    if HALVES == 2:
        _rectify_reverse(upper, hidden, d_hidden, at_high, inside, bias + high, dtype)


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
