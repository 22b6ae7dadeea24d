"""How fast this machine is; asked for by name only, since no table needs it."""


rule scaling:
    output:
        svg="results/plots/scaling.svg",
        png="results/plots/scaling.png",
        csv="results/scaling.csv",
    log:
        "results/logs/scaling.log",
    conda:
        ENVIRONMENT
    threads: 4
    resources:
        launcher=LAUNCHER,
        # Seconds of a point, and those of a step or image above which it is left out.
        point_seconds="1",
        point_limit="20",
        gpu=1,
        mem_mb=8000,
        runtime="2h",
    params:
        settings=REQUEST.common_settings,
    message:
        "Measuring the speed of training and rendering"
    shell:
        f"exec {{resources.launcher}} python {SCRIPTS}/scaling.py "
        "--csv {output.csv:q} --svg {output.svg:q} "
        "--png {output.png:q} --seconds {resources.point_seconds} --limit {resources.point_limit} "
        "--threads {threads}/$MIPNERF_CORES --log {log:q} --set {params.settings:q} $MIPNERF_OPERATION"
