"""All resolution levels of a run are rendered and scored by one job, or each by several that share its views.

Renderings are no outputs: Snakemake would delete them when a job fails, and those that are there are not made again.
"""


rule metrics:
    input:
        REQUEST.files("metrics.csv"),
    localrule: True


rule evaluate:
    input:
        model="results/{dataset}/{variant}/{scene}/model.pt",
        scene=evaluated_scene_of,
        lpips=REQUEST.lpips,
        shards=REQUEST.shards_of,
    output:
        "results/{dataset}/{variant}/{scene}/metrics.csv",
    log:
        "results/{dataset}/{variant}/{scene}/logs/evaluate.log",
    benchmark:
        "results/{dataset}/{variant}/{scene}/benchmarks/evaluate.tsv"
    conda:
        ENVIRONMENT
    threads: 4
    resources:
        launcher=LAUNCHER,
        gpu=1,
        mem_mb=4000,
        runtime="4h",
    params:
        data=subpath(input.scene, parent=True),
        folder=subpath(input.model, parent=True),
        evaluation=REQUEST.evaluation_arguments,
    message:
        "Evaluating {wildcards.dataset}/{wildcards.variant}/{wildcards.scene}"
    shell:
        f"exec {{resources.launcher}} python {SCRIPTS}/evaluate.py "
        "--model {input.model:q} --data {params.data:q} "
        "--output {params.folder:q} {params.evaluation:q} "
        "--threads {threads}/$MIPNERF_CORES --log {log:q} --set $MIPNERF_OPERATION"


use rule evaluate as evaluate_level with:
    output:
        "results/{dataset}/{variant}/{scene}/level_{level}/metrics.csv",
    log:
        "results/{dataset}/{variant}/{scene}/logs/evaluate_{level}.log",
    benchmark:
        "results/{dataset}/{variant}/{scene}/benchmarks/evaluate_{level}.tsv"
    message:
        "Evaluating level {wildcards.level} of {wildcards.dataset}/{wildcards.variant}/{wildcards.scene}"


use rule evaluate as evaluate_shard with:
    output:
        "results/{dataset}/{variant}/{scene}/level_{level}/shards/{shard}.csv",
    log:
        "results/{dataset}/{variant}/{scene}/logs/evaluate_{level}_{shard}.log",
    benchmark:
        "results/{dataset}/{variant}/{scene}/benchmarks/evaluate_{level}_{shard}.tsv"
    message:
        "Evaluating {wildcards.shard} of level {wildcards.level} of {wildcards.dataset}/{wildcards.variant}/{wildcards.scene}"
