"""One training a run. Its checkpoints are no outputs: Snakemake would delete them when a job fails."""


rule models:
    input:
        files_of_runs("model.pt"),


rule train:
    input:
        metadata=f"{DATA}/{{dataset}}/{{scene}}/metadata.json",
    output:
        model="results/{dataset}/{variant}/{scene}/model.pt",
        config="results/{dataset}/{variant}/{scene}/config.yaml",
        history="results/{dataset}/{variant}/{scene}/history.csv",
    log:
        "results/{dataset}/{variant}/{scene}/logs/train.log",
    benchmark:
        "results/{dataset}/{variant}/{scene}/benchmarks/train.tsv"
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
        data=subpath(input.metadata, parent=True),
        folder=subpath(output.model, parent=True),
        settings=settings_of,
    message:
        "Training {wildcards.variant} on {wildcards.dataset}/{wildcards.scene}"
    shell:
        "exec {resources.launcher} python workflow_scripts/train.py --data {params.data:q} --output {params.folder:q} "
        "--threads {threads}/{resources.total_cores} --log {log:q} --set {params.settings:q} {resources.operation}"
