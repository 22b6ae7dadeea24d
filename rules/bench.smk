"""How fast this machine is; asked for by name only, since no table needs it."""


rule scaling:
    output:
        svg="results/plots/scaling.svg",
        png="results/plots/scaling.png",
        csv="results/scaling.csv",
    log:
        "results/logs/scaling.log",
    conda:
        "../config/envs/mipnerf.yaml"
    threads: 4
    resources:
        total_cores=lambda wildcards: total_cores(),
        launcher=LAUNCHER,
        operation=OPERATION,
        # Seconds of a point, and those of a step or image above which it is left out.
        point_seconds="1",
        point_limit="20",
        gpu=1,
        mem_mb=8000,
        runtime="2h",
    params:
        # The reference's network and batch, changed by what is said for all runs at once.
        settings=[
            f"{section}.{key}={value}".lower()
            for section in ("model", "train")
            for key, value in getattr(SUITE, section).model_dump(exclude_unset=True).items()
        ],
    message:
        "Measuring the speed of training and rendering"
    shell:
        "exec {resources.launcher} python workflow_scripts/scaling.py --csv {output.csv:q} --svg {output.svg:q} "
        "--png {output.png:q} --seconds {resources.point_seconds} --limit {resources.point_limit} "
        "--threads {threads}/{resources.total_cores} --log {log:q} --set {params.settings:q} {resources.operation}"
