"""One training a run, or the network of another run.

Checkpoints are no outputs: Snakemake would delete them when a job fails.
"""


rule models:
    input:
        files_of_runs("model.pt"),


rule train:
    input:
        scene=scene_of,
    output:
        model="results/{dataset}/{variant}/{scene}/model.pt",
        config="results/{dataset}/{variant}/{scene}/config.yaml",
        history="results/{dataset}/{variant}/{scene}/history.csv",
    log:
        "results/{dataset}/{variant}/{scene}/logs/train.log",
    benchmark:
        "results/{dataset}/{variant}/{scene}/benchmarks/train.tsv"
    wildcard_constraints:
        dataset=names(SUITE.datasets, unless=IMPORTED),
        variant=names(TRAINED),
    conda:
        "../config/envs/mipnerf.yaml"
    threads: 4
    resources:
        total_cores=lambda wildcards: total_cores(),
        launcher=LAUNCHER,
        operation=OPERATION,
        gpu=1,
        mem_mb=8000,
        runtime="24h",
    params:
        data=subpath(input.scene, parent=True),
        levels=lambda wildcards: run_of(wildcards).levels,
        manifest=source_of,
        folder=subpath(output.model, parent=True),
        settings=settings_of,
    message:
        "Training {wildcards.variant} on {wildcards.dataset}/{wildcards.scene}"
    shell:
        "exec {resources.launcher} python workflow_scripts/train.py --data {params.data:q} --output {params.folder:q} "
        "--levels {params.levels} --manifest {params.manifest:q} --threads {threads}/{resources.total_cores} --log {log:q} "
        "--set {params.settings:q} {resources.operation}"


rule adopt:
    input:
        model=lambda wildcards: f"{adopted_run(wildcards)}/model.pt",
        config=lambda wildcards: f"{adopted_run(wildcards)}/config.yaml",
        history=lambda wildcards: f"{adopted_run(wildcards)}/history.csv",
    output:
        model="results/{dataset}/{variant}/{scene}/model.pt",
        config="results/{dataset}/{variant}/{scene}/config.yaml",
        history="results/{dataset}/{variant}/{scene}/history.csv",
    log:
        "results/{dataset}/{variant}/{scene}/logs/adopt.log",
    wildcard_constraints:
        variant=names(ADOPTED),
    conda:
        "../config/envs/mipnerf.yaml"
    params:
        trained=subpath(input.model, parent=True),
        folder=subpath(output.model, parent=True),
    message:
        "Taking the network of {params.trained} for {wildcards.variant}"
    shell:
        "exec python workflow_scripts/adopt.py --run {params.trained:q} --output {params.folder:q} --log {log:q}"
