#!/bin/sh
# Run a command on the first GPU that no other job here holds; where there is none, just run it.
for gpu in $(nvidia-smi --query-gpu=index --format=csv,noheader 2>/dev/null); do
    # What follows takes over the open file, and with it the lock, until it ends.
    exec 9>".snakemake/gpu$gpu.lock"
    if flock --nonblock 9; then
        export CUDA_VISIBLE_DEVICES="$gpu"
        exec "$@"
    fi
done
exec "$@"
