"""Tables and pictures, from the metrics of all runs."""


rule aggregate:
    input:
        metrics=files_of_runs("metrics.csv"),
        configs=files_of_runs("config.yaml"),
        reference=REFERENCE,
        figures=figures(IN_TABLE),
        lpips=LPIPS,
    output:
        table="results/table.md",
        others=other_tables(),
    log:
        "results/logs/aggregate.log",
    conda:
        "../config/envs/mipnerf.yaml"
    params:
        runs=runs_of(),
        reference=lambda wildcards, input: Path(input.reference[0]).parent,
        lpips=lpips_argument(),
        folder=subpath(output.table, parent=True),
    message:
        "Making the tables"
    shell:
        "exec python workflow_scripts/aggregate.py --runs {params.runs:q} --reference {params.reference:q} "
        "--figures {input.figures:q} --output {params.folder:q} {params.lpips:q} --log {log:q}"


rule plot:
    input:
        metrics=lambda wildcards: files_of_runs("metrics.csv", dataset=wildcards.dataset),
        histories=lambda wildcards: files_of_runs("history.csv", dataset=wildcards.dataset),
        reference=REFERENCE,
    output:
        svg=report(
            "results/plots/{dataset}_{kind}.svg",
            caption="captions/plot.rst",
            category="Figures",
            subcategory="{dataset}",
            labels={"figure": "{kind}"},
        ),
        png="results/plots/{dataset}_{kind}.png",
    log:
        "results/logs/plot_{dataset}_{kind}.log",
    wildcard_constraints:
        kind="levels|history|deltas|cost",
    conda:
        "../config/envs/mipnerf.yaml"
    params:
        runs=lambda wildcards: runs_of(dataset=wildcards.dataset),
        reference=lambda wildcards, input: Path(input.reference[0]).parent,
    message:
        "Plotting the {wildcards.kind} of {wildcards.dataset}"
    shell:
        "exec python workflow_scripts/plot.py --kind {wildcards.kind} --runs {params.runs:q} "
        "--reference {params.reference:q} --svg {output.svg:q} --png {output.png:q} --log {log:q}"


rule strip:
    input:
        metrics=lambda wildcards: files_of_runs(
            "metrics.csv", dataset=wildcards.dataset, scene=wildcards.scene
        ),
        renderings=renderings_of,
        scene=lambda wildcards: ancient(scene_of(wildcards)),
    output:
        report(
            "results/plots/{dataset}_{scene}_strip.png",
            caption="captions/strip.rst",
            category="Images",
            subcategory="{dataset}",
            labels={"scene": "{scene}", "figure": "strip"},
        ),
    log:
        "results/logs/strip_{dataset}_{scene}.log",
    conda:
        "../config/envs/mipnerf.yaml"
    params:
        runs=lambda wildcards: runs_of(dataset=wildcards.dataset, scene=wildcards.scene),
        data=subpath(input.scene, parent=True),
    message:
        "Drawing truth, renderings and errors of {wildcards.dataset}/{wildcards.scene}"
    shell:
        "exec python workflow_scripts/pictures.py --kind strip --data {params.data:q} --runs {params.runs:q} "
        "--output {output:q} --log {log:q}"
