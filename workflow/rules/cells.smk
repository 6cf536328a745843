# What the cells are, from the primary model: clusters from all seeds, which subtypes are held against, too.
#   cluster   latents (choice)                           -> clusters.h5ad                       scpress cluster
#   annotate  counts, normalized, clusters             -> annotation.h5ad, markers.tsv        scpress annotate
#   subtype   counts, ..., annotation, latents         -> subtypes.h5ad, subtype_markers.tsv  scpress subtype
#   false_signals  counts, normalized, models, clusters, subtypes -> false_signals.json  scpress false_signals


rule cluster:
    """Build the neighbours graph, choose the resolution and lay out a UMAP."""
    input:
        latents=model_files("latent.h5ad", PRIMARY, every_seed=True),
        choice=CHOICE if len(PRIMARY) > 1 else [],
    output:
        clusters=f"{RESULTS}/clusters.h5ad",
    log:
        f"{RESULTS}/logs/cluster.log",
    benchmark:
        f"{RESULTS}/benchmarks/cluster.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("cluster")
    resources:
        mem_mb=memory("cluster"),
        runtime=minutes("cluster"),
    params:
        step_version=5,
        model=primary_flag,
        seed=seeds(PRIMARY[0])[0],
        flags=flags("cluster"),
    shell:
        """
        scpress cluster \
            --latent {input.latents:q} \
            {params.model:q} \
            --seed {params.seed} \
            {params.flags:q} \
            --output {output.clusters:q} \
            2>{log:q}
        """


rule annotate:
    """Name cell types from marker genes and list the markers of every cluster."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        normalized=f"{RESULTS}/normalized.h5ad",
        clusters=f"{RESULTS}/clusters.h5ad",
        panel=PANEL,
        names=NAMES,
    output:
        annotation=f"{RESULTS}/annotation.h5ad",
        markers=report(
            f"{RESULTS}/markers.tsv",
            caption="../report/markers.rst",
            category="Tables",
        ),
    log:
        f"{RESULTS}/logs/annotate.log",
    benchmark:
        f"{RESULTS}/benchmarks/annotate.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("annotate")
    resources:
        mem_mb=memory("annotate"),
        runtime=minutes("annotate"),
    params:
        step_version=3,
        names=names_flag,
        flags=flags("annotate"),
    shell:
        """
        scpress annotate \
            --counts {input.counts:q} \
            --normalized {input.normalized:q} \
            --clusters {input.clusters:q} \
            {params.names:q} \
            {params.flags:q} \
            --output {output.annotation:q} \
            --markers {output.markers:q} \
            2>{log:q}
        """


rule subtype:
    """Look for stable sub-clusters with markers of their own."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        normalized=f"{RESULTS}/normalized.h5ad",
        clusters=f"{RESULTS}/clusters.h5ad",
        annotation=f"{RESULTS}/annotation.h5ad",
        latents=model_files("latent.h5ad", PRIMARY, every_seed=True),
    output:
        subtypes=f"{RESULTS}/subtypes.h5ad",
        markers=report(
            f"{RESULTS}/subtype_markers.tsv",
            caption="../report/subtype_markers.rst",
            category="Tables",
        ),
    log:
        f"{RESULTS}/logs/subtype.log",
    benchmark:
        f"{RESULTS}/benchmarks/subtype.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("subtype")
    resources:
        mem_mb=memory("subtype"),
        runtime=minutes("subtype"),
    params:
        step_version=3,
        seed=seeds(PRIMARY[0])[0],
        flags=flags("subtype"),
    shell:
        """
        scpress subtype \
            --counts {input.counts:q} \
            --normalized {input.normalized:q} \
            --clusters {input.clusters:q} \
            --annotation {input.annotation:q} \
            --latent {input.latents:q} \
            --seed {params.seed} \
            {params.flags:q} \
            --output {output.subtypes:q} \
            --markers {output.markers:q} \
            2>{log:q}
        """


rule false_signals:
    """Look for clusters, markers and subtypes in counts without structure, on request."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        normalized=f"{RESULTS}/normalized.h5ad",
        models=model_files("model.safetensors", PRIMARY),
        clusters=f"{RESULTS}/clusters.h5ad",
        subtypes=f"{RESULTS}/subtypes.h5ad",
    output:
        signals=f"{RESULTS}/false_signals.json",
    log:
        f"{RESULTS}/logs/false_signals.log",
    benchmark:
        f"{RESULTS}/benchmarks/false_signals.tsv"
    conda:
        NETWORK_ENV
    threads: threads_of("false_signals")
    resources:
        mem_mb=memory("false_signals"),
        runtime=minutes("false_signals"),
    params:
        step_version=1,
        device=config["device"],
        checkpoints=f"{RESULTS}/checkpoints",
        models=PRIMARY,
        cluster=options_of("cluster"),
        subtype=options_of("subtype"),
        max_fdr=config["annotate"]["max_fdr"],
        flags=flags("false_signals"),
    shell:
        """
        scpress false_signals \
            --counts {input.counts:q} \
            --normalized {input.normalized:q} \
            --model-files {input.models:q} \
            --models {params.models:q} \
            --clusters {input.clusters:q} \
            --subtypes {input.subtypes:q} \
            --cluster-options {params.cluster:q} \
            --subtype-options {params.subtype:q} \
            --max-fdr {params.max_fdr} \
            --device {params.device} \
            --checkpoints {params.checkpoints:q} \
            {params.flags:q} \
            --output {output.signals:q} \
            2>{log:q}
        """
