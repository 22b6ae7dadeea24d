#!/bin/bash
# Everything that wants a GPU, in under eight minutes; results go to the folder $OUT (default: results/on_a_card).
# MIPNERF_GOLDEN_DIR adds the full arrays of the reference, MIPNERF_LEGO_ARCHIVE config/lego_gpu.yaml, which takes longer.
cd "$(dirname "$0")/../.." || exit 1
OUT=${OUT:-results/on_a_card}
mkdir -p "$OUT"
export TORCHINDUCTOR_CACHE_DIR=${TORCHINDUCTOR_CACHE_DIR:-/tmp/kernels/inductor}
export TRITON_CACHE_DIR=${TRITON_CACHE_DIR:-/tmp/kernels/triton}
{ date; nvidia-smi; python -c "import torch, triton; print(torch.__version__, triton.__version__)"; } > "$OUT/machine.txt" 2>&1
# The kernels first: what fails there is what is to be repaired.
timeout 120 python -m pytest tests/gpu -m gpu -k "implementations or golden" --junitxml "$OUT/golden.xml" > "$OUT/golden.txt" 2>&1
timeout 210 python -m mipnerf check --seconds 2 --training-seconds 60 --json "$OUT/check.json" > "$OUT/check.txt" 2> "$OUT/check.log"
timeout 140 python -m pytest tests/gpu -m gpu -k "not implementations and not golden" --junitxml "$OUT/rest.xml" > "$OUT/rest.txt" 2>&1
if [ -n "$MIPNERF_LEGO_ARCHIVE" ]; then
    timeout 900 snakemake --cores all --configfile config/lego_gpu.yaml \
        --config "sources={nerf_synthetic: $MIPNERF_LEGO_ARCHIVE}" > "$OUT/lego.txt" 2>&1
    cp -r results/multiscale_blender/mipnerf/lego/{config.yaml,history.csv,metrics.csv} results/table.md "$OUT/"
fi
tail -n 3 "$OUT"/{golden,rest}.txt
cat "$OUT/check.txt"
