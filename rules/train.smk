"""One training a run, or the network of another run.

Checkpoints are no outputs: Snakemake would delete them when a job fails. Neither are validation.csv and its pictures,
which runs of earlier versions do not have; they are written with history.csv.
"""


rule models:
    input:
        REQUEST.files("model.pt"),
    localrule: True


rule train:
    input:
        scene=REQUEST.manifest_of,
    output:
        model="results/{dataset}/{variant}/{scene}/model.pt",
        config="results/{dataset}/{variant}/{scene}/config.yaml",
        history="results/{dataset}/{variant}/{scene}/history.csv",
    log:
        "results/{dataset}/{variant}/{scene}/logs/train.log",
    benchmark:
        "results/{dataset}/{variant}/{scene}/benchmarks/train.tsv"
    wildcard_constraints:
        dataset=one_of(SUITE.datasets, unless=REQUEST.imported),
        variant=REQUEST.variants(are_trained=True),
    conda:
        ENVIRONMENT
    threads: 4
    resources:
        launcher=LAUNCHER,
        gpu=1,
        mem_mb=8000,
        runtime="24h",
    params:
        data=subpath(input.scene, parent=True),
        scene=REQUEST.scene_arguments,
        folder=subpath(output.model, parent=True),
        settings=REQUEST.training_settings,
    message:
        "Training {wildcards.variant} on {wildcards.dataset}/{wildcards.scene}"
    shell:
        f"exec {{resources.launcher}} python {SCRIPTS}/train.py "
        "--data {params.data:q} --output {params.folder:q} "
        "{params.scene:q} --threads {threads}/$MIPNERF_CORES --log {log:q} "
        "--set {params.settings:q} $MIPNERF_OPERATION"


rule adopt:
    input:
        model=REQUEST.adopted_file("model.pt"),
        config=REQUEST.adopted_file("config.yaml"),
        history=REQUEST.adopted_file("history.csv"),
    output:
        model="results/{dataset}/{variant}/{scene}/model.pt",
        config="results/{dataset}/{variant}/{scene}/config.yaml",
        history="results/{dataset}/{variant}/{scene}/history.csv",
    log:
        "results/{dataset}/{variant}/{scene}/logs/adopt.log",
    wildcard_constraints:
        variant=REQUEST.variants(are_trained=False),
    conda:
        ENVIRONMENT
    params:
        trained=subpath(input.model, parent=True),
        folder=subpath(output.model, parent=True),
    message:
        "Taking the network of {params.trained} for {wildcards.variant}"
    shell:
        f"exec python {SCRIPTS}/adopt.py "
        "--run {params.trained:q} --output {params.folder:q} --log {log:q}"
