"""Tables and pictures, from the metrics of all runs."""


rule aggregate:
    input:
        metrics=REQUEST.files("metrics.csv"),
        configs=REQUEST.files("config.yaml"),
        reference=REFERENCE,
        tables=REQUEST.table_pages(),
        figures=REQUEST.figures_in_table(),
        lpips=REQUEST.lpips,
    output:
        table="results/table.md",
        formats=[
            "results/table.csv",
            "results/table.tex",
            report(
                "results/table.html",
                caption="captions/table.rst",
                category="Tables",
                labels={"table": "table"},
            ),
        ],
        verdict=["results/verdict.md", "results/verdict.csv"],
    log:
        "results/logs/aggregate.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        runs=lambda wildcards, input: parents(input.metrics),
        reference=lambda wildcards, input: parents(input.reference)[0],
        lpips=REQUEST.lpips_argument(),
        folder=subpath(output.table, parent=True),
    message:
        "Making the short table"
    shell:
        f"exec python {SCRIPTS}/aggregate.py "
        "--runs {params.runs:q} --reference {params.reference:q} "
        "--figures {input.figures:q} --output {params.folder:q} {params.lpips:q} --log {log:q}"


rule table:
    input:
        metrics=REQUEST.files_of_table("metrics.csv"),
        configs=REQUEST.files_of_table("config.yaml"),
        reference=REFERENCE,
    output:
        table="results/tables/{table}.md",
        formats=[
            "results/tables/{table}.csv",
            "results/tables/{table}.tex",
            report(
                "results/tables/{table}.html",
                caption="captions/table.rst",
                category="Tables",
                labels={"table": "{table}"},
            ),
        ],
    log:
        "results/logs/table_{table}.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        runs=lambda wildcards, input: parents(input.metrics),
        reference=lambda wildcards, input: parents(input.reference)[0],
        folder=subpath(output.table, parent=True),
    message:
        "Making the table {wildcards.table}"
    shell:
        f"exec python {SCRIPTS}/table.py "
        "--runs {params.runs:q} --reference {params.reference:q} "
        "--table {wildcards.table} --output {params.folder:q} --log {log:q}"


rule plot:
    input:
        metrics=REQUEST.files_of_dataset("metrics.csv"),
        histories=REQUEST.files_of_dataset("history.csv"),
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
        kind=one_of(DATASET_FIGURES),
    localrule: True
    conda:
        ENVIRONMENT
    params:
        runs=lambda wildcards, input: parents(input.metrics),
        reference=lambda wildcards, input: parents(input.reference)[0],
    message:
        "Plotting the {wildcards.kind} of {wildcards.dataset}"
    shell:
        f"exec python {SCRIPTS}/plot.py "
        "--kind {wildcards.kind} --runs {params.runs:q} "
        "--reference {params.reference:q} --svg {output.svg:q} --png {output.png:q} --log {log:q}"


rule strip:
    input:
        metrics=REQUEST.files_of_scene("metrics.csv"),
        scene=lambda wildcards: ancient(REQUEST.manifest_of(wildcards)),
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
    localrule: True
    conda:
        ENVIRONMENT
    params:
        runs=lambda wildcards, input: parents(input.metrics),
        data=subpath(input.scene, parent=True),
    message:
        "Drawing truth, renderings and errors of {wildcards.dataset}/{wildcards.scene}"
    shell:
        f"exec python {SCRIPTS}/pictures.py "
        "--kind strip --data {params.data:q} --runs {params.runs:q} "
        "--output {output:q} --log {log:q}"
