"""The experiments of mip-NeRF: data, training, evaluation, tables. A table of contents; the rules are in rules/."""

from snakemake.utils import min_version

min_version("9.0")


configfile: "config/datasets.yaml"
configfile: "config/variants.yaml"
configfile: "config/config.yaml"


report: "rules/captions/workflow.rst"


include: "rules/common.smk"


# First, so that it is what `snakemake` alone makes.
rule all:
    input:
        "results/table.md",


include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"
include: "rules/video.smk"
include: "rules/report.smk"
include: "rules/figures.smk"
include: "rules/page.smk"
include: "rules/bench.smk"


# The weights may have to be downloaded, and nodes of a cluster often have no network.
localrules:
    all,
    data,
    download_scene,
    lpips_weights,
    models,
    metrics,
    merge_shards,
    collect_metrics,
    video,
    compare_videos,
    aggregate,
    plot,
    report_page,
    strip,
    figures,
    pyramid,
    depth,
    cameras,


onstart:
    remember_forced_training()
