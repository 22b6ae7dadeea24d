"""From an archive, a folder, the network, photographs or nothing at all to scenes that can be read; and the weights of LPIPS."""


rule data:
    input:
        REQUEST.manifests(),
    localrule: True


rule render_bricks:
    output:
        f"{DATA}/sources/bricks/bricks/manifest.json",
    log:
        f"{DATA}/logs/render_bricks.log",
    conda:
        ENVIRONMENT
    threads: 8
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        folder=subpath(output[0], parent=True),
        size=SUITE.bricks.size,
        train=SUITE.bricks.num_train,
        val=SUITE.bricks.num_val,
        test=SUITE.bricks.num_test,
    message:
        "Rendering the bricks"
    shell:
        f"exec python {SCRIPTS}/bricks.py "
        "--output {params.folder:q} --size {params.size} "
        "--train {params.train} --val {params.val} --test {params.test} "
        "--threads {threads}/$MIPNERF_CORES --log {log:q}"


rule fetch_scene:
    input:
        SOURCES.wanted,
    output:
        # What is there stays until the new is complete.
        update(f"{DATA}/sources/{{source}}/{{scene}}/manifest.json"),
    log:
        f"{DATA}/logs/fetch_scene/{{source}}_{{scene}}.log",
    wildcard_constraints:
        source=one_of(SOURCES.fetched_from_here(), unless=SOURCES.fetched),
    conda:
        ENVIRONMENT
    resources:
        # Not tracked: the same content in another place is the same scene.
        archive=SOURCES.archive_of,
        verify=SUITE.verify,
        mem_mb=1000,
        runtime=60,
    params:
        folder=subpath(output[0], parent=True),
        checksums=SOURCES.checksums_of,
    message:
        "Unpacking {wildcards.scene} of {wildcards.source}"
    shell:
        f"exec python {SCRIPTS}/fetch.py "
        "--source {resources.archive:q} --scene {wildcards.scene} "
        "--output {params.folder:q} {params.checksums:q} --verify {resources.verify} --log {log:q}"


rule download_scene:
    output:
        f"{DATA}/sources/{{source}}/{{scene}}/manifest.json",
    log:
        f"{DATA}/logs/download_scene/{{source}}_{{scene}}.log",
    wildcard_constraints:
        source=one_of(SOURCES.downloaded(), unless=SOURCES.fetched),
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        download=1,
        verify=SUITE.verify,
        mem_mb=1000,
        runtime="4h",
    params:
        urls=SOURCES.urls_of,
        downloads=lambda wildcards, output: Path(output[0]).parents[3]
        / "downloads"
        / wildcards.source,
        folder=subpath(output[0], parent=True),
        checksums=SOURCES.checksums_of,
    message:
        "Downloading {wildcards.scene} of {wildcards.source}"
    shell:
        f"exec python {SCRIPTS}/download.py "
        "--urls {params.urls:q} --scene {wildcards.scene} "
        "--output {params.folder:q} --downloads {params.downloads:q} {params.checksums:q} --verify {resources.verify} "
        "--log {log:q} --set $MIPNERF_OPERATION"


rule convert_scene:
    input:
        REQUEST.source_of,
    output:
        metadata=f"{DATA}/{{dataset}}/{{scene}}/metadata.json",
        # Small enough for Snakemake to compare: it changes if and only if cameras or pixels do.
        manifest=f"{DATA}/{{dataset}}/{{scene}}/manifest.json",
    log:
        f"{DATA}/logs/convert_scene/{{dataset}}_{{scene}}.log",
    wildcard_constraints:
        dataset=one_of(SUITE.datasets, unless=REQUEST.photo_datasets),
    conda:
        ENVIRONMENT
    threads: 8
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        source=subpath(input[0], parent=True),
        folder=subpath(output.manifest, parent=True),
        levels=lambda wildcards: SUITE.datasets[wildcards.dataset].levels,
    message:
        "Converting {wildcards.scene} to {params.levels} resolution levels"
    shell:
        f"exec python {SCRIPTS}/convert.py "
        "--input {params.source:q} --output {params.folder:q} "
        "--levels {params.levels} --threads {threads}/$MIPNERF_CORES --log {log:q}"


# What it computes on the way is no output, which Snakemake would delete when the job fails.
rule find_cameras:
    input:
        REQUEST.photos_of,
    output:
        manifest=f"{DATA}/{{dataset}}/{{scene}}/manifest.json",
        summary=f"{DATA}/{{dataset}}/{{scene}}/summary.json",
        figure=f"{DATA}/{{dataset}}/{{scene}}/cameras.png",
    log:
        f"{DATA}/logs/find_cameras/{{dataset}}_{{scene}}.log",
    benchmark:
        f"{DATA}/benchmarks/find_cameras/{{dataset}}_{{scene}}.tsv"
    wildcard_constraints:
        dataset=one_of(REQUEST.photo_datasets),
    conda:
        ENVIRONMENT
    threads: 8
    resources:
        mem_mb=8000,
        runtime="12h",
    params:
        source=subpath(input[0], parent=True),
        folder=subpath(output.manifest, parent=True),
        settings=REQUEST.photo_settings,
    message:
        "Finding the cameras of {wildcards.scene}"
    shell:
        f"exec python {SCRIPTS}/find_cameras.py "
        "--input {params.source:q} --output {params.folder:q} "
        "--threads {threads}/$MIPNERF_CORES --log {log:q} --set {params.settings:q}"


rule lpips_weights:
    output:
        f"{DATA}/weights/lpips.json",
    log:
        f"{DATA}/logs/lpips_weights.log",
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        folder=subpath(output[0], parent=True),
    message:
        "Looking for the weights of VGG, or downloading them"
    shell:
        f"exec python {SCRIPTS}/weights.py "
        "--output {output:q} --folder {params.folder:q} --log {log:q}"
