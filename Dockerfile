# The suite with all that its rules may use; `docker build -t mipnerf .` needs the image below and PyPI, and nothing else.
# Data and results are in the folder that is mounted at /work:
#     docker run --gpus all --shm-size 1g -v "$PWD:/work" mipnerf --cores 8 results/table.md
FROM python:3.12-slim

ENV PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    XDG_CACHE_HOME=/tmp/cache
WORKDIR /opt/mip-nerf
# Before the sources, so that a change of them does not install PyTorch again.
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY mipnerf/__init__.py mipnerf/faces.py mipnerf/
RUN pip install --constraint constraints.txt '.[drive,energy,generic,gpu,interop,lpips,mesh,sfm,slurm,tensorboard,video]' \
    && pip uninstall --yes mipnerf-suite
COPY . .
RUN pip install --no-deps --editable .

WORKDIR /work
ENTRYPOINT ["snakemake", "--snakefile", "/opt/mip-nerf/Snakefile"]
CMD ["--cores", "all", "results/table.md"]
