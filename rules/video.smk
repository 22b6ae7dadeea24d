"""Videos of camera paths; asked for by name only.

Frames are no outputs: Snakemake would delete them when a job fails.
"""


rule frames:
    input:
        model="results/{dataset}/{variant}/{scene}/model.pt",
        scene=evaluated_scene_of,
    output:
        "results/{dataset}/{variant}/{scene}/video_{path}/shard_{shard}.json",
    log:
        "results/{dataset}/{variant}/{scene}/logs/frames_{path}_{shard}.log",
    wildcard_constraints:
        path="spherical|spiral|zoom",
        shard=one_of(REQUEST.video_shards),
    conda:
        ENVIRONMENT
    threads: 4
    resources:
        launcher=LAUNCHER,
        gpu=1,
        mem_mb=4000,
        runtime="4h",
    params:
        data=subpath(input.scene, parent=True),
        frames=SUITE.video.frames,
        width=[] if SUITE.video.width is None else ["--width", SUITE.video.width],
    message:
        "Rendering frames of the path {wildcards.path} of {wildcards.dataset}/{wildcards.variant}/{wildcards.scene}"
    shell:
        f"exec {{resources.launcher}} python {SCRIPTS}/frames.py "
        "--model {input.model:q} --data {params.data:q} "
        "--path {wildcards.path} --frames {params.frames} {params.width} --shard {wildcards.shard} "
        "--output {output:q} --threads {threads}/$MIPNERF_CORES --log {log:q} --set $MIPNERF_OPERATION"


rule video:
    input:
        REQUEST.frames_of,
    output:
        "results/{dataset}/{variant}/{scene}/video_{path}.mp4",
    log:
        "results/{dataset}/{variant}/{scene}/logs/video_{path}.log",
    wildcard_constraints:
        path="spherical|spiral|zoom",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        fps=SUITE.video.fps,
    message:
        "Encoding the path {wildcards.path} of {wildcards.dataset}/{wildcards.variant}/{wildcards.scene}"
    shell:
        f"exec python {SCRIPTS}/video.py "
        "--frames {input:q} --fps {params.fps} --output {output:q} --log {log:q}"


rule compare_videos:
    input:
        left=REQUEST.frames_of,
        right=lambda wildcards: REQUEST.frames_of(wildcards, wildcards.other),
    output:
        "results/{dataset}/{variant}/{scene}/video_{path}_vs_{other}.mp4",
    log:
        "results/{dataset}/{variant}/{scene}/logs/video_{path}_vs_{other}.log",
    wildcard_constraints:
        path="spherical|spiral|zoom",
        other="[a-z0-9_]+",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        fps=SUITE.video.fps,
    message:
        "Encoding {wildcards.variant} beside {wildcards.other} on {wildcards.dataset}/{wildcards.scene}"
    shell:
        f"exec python {SCRIPTS}/video.py "
        "--frames {input.left:q} --beside {input.right:q} --fps {params.fps} "
        "--output {output:q} --log {log:q}"
