"""Pictures of single scenes besides the strips of rules/report.smk; what each shows is in mipnerf/report/figures/kinds.py."""


rule figures:
    input:
        REQUEST.figures(),
    localrule: True


rule pdf_figures:
    input:
        REQUEST.printed_figures(),
    localrule: True


rule pdf_figure:
    input:
        metrics=REQUEST.files_of_dataset("metrics.csv"),
        histories=REQUEST.files_of_dataset("history.csv"),
        reference=REFERENCE,
    output:
        "results/plots/{dataset}_{kind}_{width}.pdf",
    log:
        "results/logs/pdf_{dataset}_{kind}_{width}.log",
    wildcard_constraints:
        kind=one_of(DATASET_FIGURES),
        width=one_of(PRINT_WIDTHS),
    localrule: True
    conda:
        ENVIRONMENT
    params:
        runs=lambda wildcards, input: parents(input.metrics),
        reference=lambda wildcards, input: parents(input.reference)[0],
    message:
        "Drawing the {wildcards.kind} of {wildcards.dataset} for a {wildcards.width} of a paper"
    shell:
        f"exec python {SCRIPTS}/pdf.py "
        "--kind {wildcards.kind} --runs {params.runs:q} --reference {params.reference:q} "
        "--width {wildcards.width} --output {output:q} --log {log:q}"


rule pyramid:
    input:
        metrics=REQUEST.files_of_scene("metrics.csv"),
        configs=REQUEST.files_of_scene("config.yaml"),
        scene=lambda wildcards: ancient(REQUEST.manifest_of(wildcards)),
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
    localrule: True
    conda:
        ENVIRONMENT
    params:
        runs=lambda wildcards, input: parents(input.metrics),
        data=subpath(input.scene, parent=True),
        crop=REQUEST.crop_of,
    message:
        "Drawing details of {wildcards.dataset}/{wildcards.scene}"
    shell:
        f"exec python {SCRIPTS}/pyramid.py "
        "--data {params.data:q} --runs {params.runs:q} {params.crop} --svg {output.svg:q} --png {output.png:q} "
        "--log {log:q}"


rule depth:
    input:
        metrics=REQUEST.files_of_scene("metrics.csv"),
        configs=REQUEST.files_of_scene("config.yaml"),
        scene=lambda wildcards: ancient(REQUEST.manifest_of(wildcards)),
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
    localrule: True
    conda:
        ENVIRONMENT
    params:
        runs=lambda wildcards, input: parents(input.metrics),
        data=subpath(input.scene, parent=True),
    message:
        "Drawing depth and opacity of {wildcards.dataset}/{wildcards.scene}"
    shell:
        f"exec python {SCRIPTS}/pictures.py "
        "--kind depth --data {params.data:q} --runs {params.runs:q} "
        "--output {output:q} --log {log:q}"


rule cameras:
    input:
        metrics=REQUEST.files_of_scene("metrics.csv"),
        configs=REQUEST.files_of_scene("config.yaml"),
        scene=lambda wildcards: ancient(REQUEST.manifest_of(wildcards)),
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
    localrule: True
    conda:
        ENVIRONMENT
    params:
        runs=lambda wildcards, input: parents(input.metrics),
        data=subpath(input.scene, parent=True),
    message:
        "Drawing the cameras of {wildcards.dataset}/{wildcards.scene}"
    shell:
        f"exec python {SCRIPTS}/cameras.py "
        "--data {params.data:q} --runs {params.runs:q} --output {output:q} "
        "--log {log:q}"
