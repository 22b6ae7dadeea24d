"""The report as a page for the browser, from all runs and figures, and views from around the scenes for it."""


rule report_page:
    input:
        metrics=REQUEST.files("metrics.csv"),
        configs=REQUEST.files("config.yaml"),
        histories=REQUEST.files("history.csv"),
        scenes=lambda wildcards: [ancient(REQUEST.manifest(*scene)) for scene in REQUEST.scenes],
        reference=REFERENCE,
        figures=REQUEST.figures(),
        orbits=REQUEST.orbits(),
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


rule orbit:
    input:
        model="results/{dataset}/{variant}/{scene}/model.pt",
        scene=evaluated_scene_of,
    output:
        "results/{dataset}/{variant}/{scene}/orbit/level_0.json",
        "results/{dataset}/{variant}/{scene}/orbit/level_1.json",
        "results/{dataset}/{variant}/{scene}/orbit/level_2.json",
        "results/{dataset}/{variant}/{scene}/orbit/level_3.json",
    log:
        "results/{dataset}/{variant}/{scene}/logs/orbit.log",
    conda:
        ENVIRONMENT
    threads: 4
    resources:
        launcher=LAUNCHER,
        gpu=1,
        mem_mb=4000,
        runtime="1h",
    params:
        data=subpath(input.scene, parent=True),
        folder=subpath(output[0], parent=True),
        path=REQUEST.orbit_path,
        frames=SUITE.orbit.frames,
        width=SUITE.orbit.width,
    message:
        "Rendering {wildcards.dataset}/{wildcards.variant}/{wildcards.scene} from all around"
    shell:
        f"exec {{resources.launcher}} python {SCRIPTS}/orbit.py "
        "--model {input.model:q} --data {params.data:q} "
        "--path {params.path} --frames {params.frames} --width {params.width} --output {params.folder:q} "
        "--threads {threads}/$MIPNERF_CORES --log {log:q} --set $MIPNERF_OPERATION"
