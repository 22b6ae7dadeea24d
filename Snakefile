"""The experiments of mip-NeRF: data, training, evaluation, tables. A table of contents; the rules are in rules/."""

from snakemake.utils import min_version

min_version("9.0")


report: "rules/captions/workflow.rst"


include: "rules/common.smk"


# First, so that it is what `snakemake` alone makes.
rule all:
    input:
        "results/table.md",
    localrule: True


include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"
include: "rules/video.smk"
include: "rules/report.smk"
include: "rules/figures.smk"
include: "rules/page.smk"
include: "rules/bench.smk"


# A job on another machine needs no more than its own inputs.
if workflow.is_main_process:
    check_targets(REQUEST, COMMAND, workflow.rules, IS_WHOLE)


onstart:
    keep_configuration()
