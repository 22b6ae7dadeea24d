"""Every resolution level of a run is rendered and scored by a job of its own."""


rule metrics:
    input:
        files_of_runs("metrics.csv"),


rule evaluate:
    input:
        model="results/{dataset}/{variant}/{scene}/model.pt",
        scene=evaluated_scene_of,
        lpips=LPIPS,
    output:
        metrics="results/{dataset}/{variant}/{scene}/level_{level}/metrics.csv",
        renderings=directory("results/{dataset}/{variant}/{scene}/level_{level}/renderings"),
    log:
        "results/{dataset}/{variant}/{scene}/logs/evaluate_{level}.log",
    benchmark:
        "results/{dataset}/{variant}/{scene}/benchmarks/evaluate_{level}.tsv"
    wildcard_constraints:
        level=names([] if IS_SHARDED else LEVELS),
    conda:
        "../config/envs/mipnerf.yaml"
    threads: 4
    resources:
        total_cores=lambda wildcards: total_cores(),
        launcher=LAUNCHER,
        operation=OPERATION,
        gpu=1,
        mem_mb=4000,
        runtime="4h",
    params:
        data=subpath(input.scene, parent=True),
        folder=subpath(output.metrics, parent=True),
        evaluation=evaluation_of,
        lpips=lpips_argument(),
    message:
        "Evaluating level {wildcards.level} of {wildcards.dataset}/{wildcards.variant}/{wildcards.scene}"
    shell:
        "exec {resources.launcher} python workflow_scripts/evaluate.py --model {input.model:q} --data {params.data:q} "
        "--level {wildcards.level} --output {params.folder:q} {params.evaluation} "
        "{params.lpips:q} --threads {threads}/{resources.total_cores} --log {log:q} --set {resources.operation}"


use rule evaluate as evaluate_shard with:
    output:
        metrics=temp("results/{dataset}/{variant}/{scene}/level_{level}/shards/{shard}/metrics.csv"),
        renderings=temp(
            directory(
                "results/{dataset}/{variant}/{scene}/level_{level}/shards/{shard}/renderings"
            )
        ),
    log:
        "results/{dataset}/{variant}/{scene}/logs/evaluate_{level}_{shard}.log",
    benchmark:
        "results/{dataset}/{variant}/{scene}/benchmarks/evaluate_{level}_{shard}.tsv"
    wildcard_constraints:
        level=names(LEVELS if IS_SHARDED else []),
    message:
        "Evaluating {wildcards.shard} of level {wildcards.level} of {wildcards.dataset}/{wildcards.variant}/{wildcards.scene}"


rule merge_shards:
    input:
        metrics=shards_of("metrics.csv"),
        renderings=shards_of("renderings"),
    output:
        metrics="results/{dataset}/{variant}/{scene}/level_{level}/metrics.csv",
        renderings=directory("results/{dataset}/{variant}/{scene}/level_{level}/renderings"),
    log:
        "results/{dataset}/{variant}/{scene}/logs/merge_{level}.log",
    wildcard_constraints:
        level=names(LEVELS if IS_SHARDED else []),
    conda:
        "../config/envs/mipnerf.yaml"
    params:
        shards=lambda wildcards, input: [Path(path).parent for path in input.metrics],
        folder=subpath(output.metrics, parent=True),
    message:
        "Merging level {wildcards.level} of {wildcards.dataset}/{wildcards.variant}/{wildcards.scene}"
    shell:
        "exec python workflow_scripts/merge.py --shards {params.shards:q} --output {params.folder:q} --log {log:q}"


rule collect_metrics:
    input:
        levels_of,
    output:
        "results/{dataset}/{variant}/{scene}/metrics.csv",
    log:
        "results/{dataset}/{variant}/{scene}/logs/collect_metrics.log",
    conda:
        "../config/envs/mipnerf.yaml"
    message:
        "Collecting the metrics of {wildcards.dataset}/{wildcards.variant}/{wildcards.scene}"
    shell:
        "exec python workflow_scripts/collect.py --inputs {input:q} --output {output:q} --log {log:q}"
