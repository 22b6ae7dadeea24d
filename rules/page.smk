"""The report as a page for the browser, from all runs and figures."""


rule report_page:
    input:
        metrics=REQUEST.files("metrics.csv"),
        configs=REQUEST.files("config.yaml"),
        histories=REQUEST.files("history.csv"),
        scenes=lambda wildcards: [ancient(REQUEST.manifest(*scene)) for scene in REQUEST.scenes],
        reference=REFERENCE,
        figures=REQUEST.figures(),
        lpips=REQUEST.lpips,
    output:
        report(
            "results/report.html",
            caption="captions/page.rst",
            category="Overview",
            labels={"page": "all results"},
        ),
    log:
        "results/logs/report_page.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        runs=lambda wildcards, input: parents(input.metrics),
        data=lambda wildcards, input: named_folders(REQUEST.scenes, input.scenes),
        reference=lambda wildcards, input: parents(input.reference)[0],
        lpips=REQUEST.lpips_argument(),
    message:
        "Making the report"
    shell:
        f"exec python {SCRIPTS}/page.py "
        "--runs {params.runs:q} --reference {params.reference:q} "
        "--data {params.data:q} --figures {input.figures:q} --output {output:q} {params.lpips:q} --log {log:q}"
