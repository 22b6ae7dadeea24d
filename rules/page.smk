"""The report as a page for the browser, from all runs and figures."""


rule report_page:
    input:
        metrics=files_of_runs("metrics.csv"),
        configs=files_of_runs("config.yaml"),
        histories=files_of_runs("history.csv"),
        renderings=lambda wildcards: all_renderings(),
        scenes=lambda wildcards: [
            ancient(scene_file(run.dataset, run.scene)) for run in RUNS.values()
        ],
        reference=REFERENCE,
        figures=figures(),
        lpips=LPIPS,
    output:
        report(
            "results/report.html",
            caption="captions/page.rst",
            category="Overview",
            labels={"page": "all results"},
        ),
    log:
        "results/logs/report_page.log",
    conda:
        "../config/envs/mipnerf.yaml"
    params:
        runs=runs_of(),
        data=data_of_scenes(),
        reference=lambda wildcards, input: Path(input.reference[0]).parent,
        lpips=lpips_argument(),
    message:
        "Making the report"
    shell:
        "exec python workflow_scripts/page.py --runs {params.runs:q} --reference {params.reference:q} "
        "--data {params.data:q} --figures {input.figures:q} --output {output:q} {params.lpips:q} --log {log:q}"
