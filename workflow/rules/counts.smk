# Raw counts to modelled genes.
#   ingest     a raw file                  -> samples/{sample}/counts.h5ad   scpress ingest
#   qc         counts of a sample          -> samples/{sample}/qc.h5ad       scpress qc
#   merge      counts and qc of all        -> counts.h5ad                    scpress merge
#   genes      counts                      -> genes.json                     scpress genes
#   normalize  counts (genes)              -> normalized.h5ad                scpress normalize


rule ingest:
    """Read one sample's raw counts, check every value and name cells and genes."""
    input:
        path=lambda wildcards: SAMPLES[wildcards.sample]["path"],
    output:
        counts=temp(f"{RESULTS}/samples/{{sample}}/counts.h5ad"),
    log:
        f"{RESULTS}/logs/ingest/{{sample}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/ingest/{{sample}}.tsv"
    group:
        "sample"
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("ingest")
    resources:
        mem_mb=memory("ingest", sample_size),
        runtime=minutes("ingest", sample_size),
    params:
        step_version=2,
        flags=ingest_flags,
    shell:
        """
        scpress ingest {input.path:q} \
            --sample {wildcards.sample:q} \
            {params.flags:q} \
            --output {output.counts:q} \
            2>{log:q}
        """


rule qc:
    """Measure every cell and mark the ones to keep."""
    input:
        counts=f"{RESULTS}/samples/{{sample}}/counts.h5ad",
    output:
        qc=f"{RESULTS}/samples/{{sample}}/qc.h5ad",
    log:
        f"{RESULTS}/logs/qc/{{sample}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/qc/{{sample}}.tsv"
    group:
        "sample"
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("qc")
    resources:
        mem_mb=memory("qc", sample_size),
        runtime=minutes("qc", sample_size),
    params:
        step_version=2,
        flags=flags("qc"),
    shell:
        """
        scpress qc \
            --counts {input.counts:q} \
            {params.flags:q} \
            --output {output.qc:q} \
            2>{log:q}
        """


rule merge:
    """Join the passing cells of all samples."""
    input:
        counts=expand(f"{RESULTS}/samples/{{sample}}/counts.h5ad", sample=SAMPLES),
        qc=expand(f"{RESULTS}/samples/{{sample}}/qc.h5ad", sample=SAMPLES),
    output:
        counts=f"{RESULTS}/counts.h5ad",
    log:
        f"{RESULTS}/logs/merge.log",
    benchmark:
        f"{RESULTS}/benchmarks/merge.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("merge")
    resources:
        mem_mb=memory("merge", merged_size),
        runtime=minutes("merge", merged_size),
    params:
        step_version=2,
        flags=flags("merge"),
    shell:
        """
        scpress merge \
            --counts {input.counts:q} \
            --qc {input.qc:q} \
            {params.flags:q} \
            --output {output.counts:q} \
            2>{log:q}
        """


rule genes:
    """Choose how many genes to model by molecules that were held out, with the first network."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
    output:
        genes=f"{RESULTS}/genes.json",
    log:
        f"{RESULTS}/logs/genes.log",
    benchmark:
        f"{RESULTS}/benchmarks/genes.tsv"
    conda:
        NETWORK_ENV
    threads: threads_of("genes")
    resources:
        mem_mb=memory("genes"),
        runtime=minutes("genes"),
    params:
        step_version=1,
        device=config["device"],
        seed=config["seeds"][0],
        checkpoints=f"{RESULTS}/checkpoints",
        flags=genes_flags,
    shell:
        """
        scpress genes \
            --counts {input.counts:q} \
            --seed {params.seed} \
            --device {params.device} \
            --checkpoints {params.checkpoints:q} \
            {params.flags:q} \
            --output {output.genes:q} \
            2>{log:q}
        """


rule normalize:
    """Compute library sizes, size factors and highly variable genes."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        gene_list=GENE_LIST,
        genes=GENES,
    output:
        normalized=f"{RESULTS}/normalized.h5ad",
    log:
        f"{RESULTS}/logs/normalize.log",
    benchmark:
        f"{RESULTS}/benchmarks/normalize.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("normalize")
    resources:
        mem_mb=memory("normalize"),
        runtime=minutes("normalize"),
    params:
        step_version=1,
        genes=["--genes", *GENES] if GENES else [],
        flags=flags("normalize"),
    shell:
        """
        scpress normalize \
            --counts {input.counts:q} \
            {params.genes:q} \
            {params.flags:q} \
            --output {output.normalized:q} \
            2>{log:q}
        """
