"""Pictures of single scenes besides the strips of rules/report.smk; what each shows is in mipnerf/report/figures.py."""


rule figures:
    input:
        figures(),


rule pyramid:
    input:
        metrics=lambda wildcards: files_of_runs(
            "metrics.csv", dataset=wildcards.dataset, scene=wildcards.scene
        ),
        configs=lambda wildcards: files_of_runs(
            "config.yaml", dataset=wildcards.dataset, scene=wildcards.scene
        ),
        renderings=renderings_of,
        scene=lambda wildcards: ancient(scene_of(wildcards)),
    output:
        svg=report(
            "results/plots/{dataset}_{scene}_pyramid.svg",
            caption="captions/pyramid.rst",
            category="Images",
            subcategory="{dataset}",
            labels={"scene": "{scene}", "figure": "pyramid"},
        ),
        png="results/plots/{dataset}_{scene}_pyramid.png",
    log:
        "results/logs/pyramid_{dataset}_{scene}.log",
    conda:
        "../config/envs/mipnerf.yaml"
    params:
        runs=lambda wildcards: runs_of(dataset=wildcards.dataset, scene=wildcards.scene),
        data=subpath(input.scene, parent=True),
        crop=crop_of,
    message:
        "Drawing details of {wildcards.dataset}/{wildcards.scene}"
    shell:
        "exec python workflow_scripts/pyramid.py --data {params.data:q} --runs {params.runs:q} {params.crop} --svg {output.svg:q} --png {output.png:q} "
        "--log {log:q}"


rule depth:
    input:
        metrics=lambda wildcards: files_of_runs(
            "metrics.csv", dataset=wildcards.dataset, scene=wildcards.scene
        ),
        configs=lambda wildcards: files_of_runs(
            "config.yaml", dataset=wildcards.dataset, scene=wildcards.scene
        ),
        renderings=renderings_of,
        scene=lambda wildcards: ancient(scene_of(wildcards)),
    output:
        report(
            "results/plots/{dataset}_{scene}_depth.png",
            caption="captions/depth.rst",
            category="Images",
            subcategory="{dataset}",
            labels={"scene": "{scene}", "figure": "depth"},
        ),
    log:
        "results/logs/depth_{dataset}_{scene}.log",
    conda:
        "../config/envs/mipnerf.yaml"
    params:
        runs=lambda wildcards: runs_of(dataset=wildcards.dataset, scene=wildcards.scene),
        data=subpath(input.scene, parent=True),
    message:
        "Drawing depth and opacity of {wildcards.dataset}/{wildcards.scene}"
    shell:
        "exec python workflow_scripts/pictures.py --kind depth --data {params.data:q} --runs {params.runs:q} "
        "--output {output:q} --log {log:q}"


rule cameras:
    input:
        metrics=lambda wildcards: files_of_runs(
            "metrics.csv", dataset=wildcards.dataset, scene=wildcards.scene
        ),
        configs=lambda wildcards: files_of_runs(
            "config.yaml", dataset=wildcards.dataset, scene=wildcards.scene
        ),
        scene=lambda wildcards: ancient(scene_of(wildcards)),
    output:
        report(
            "results/plots/{dataset}_{scene}_cameras.png",
            caption="captions/cameras.rst",
            category="Images",
            subcategory="{dataset}",
            labels={"scene": "{scene}", "figure": "cameras"},
        ),
    log:
        "results/logs/cameras_{dataset}_{scene}.log",
    conda:
        "../config/envs/mipnerf.yaml"
    params:
        runs=lambda wildcards: runs_of(dataset=wildcards.dataset, scene=wildcards.scene),
        data=subpath(input.scene, parent=True),
    message:
        "Drawing the cameras of {wildcards.dataset}/{wildcards.scene}"
    shell:
        "exec python workflow_scripts/cameras.py --data {params.data:q} --runs {params.runs:q} --output {output:q} "
        "--log {log:q}"
