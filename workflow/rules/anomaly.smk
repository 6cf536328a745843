# Cells that are unlike a reference, and their outlier genes, by models trained on it without them.
#   anomaly  counts, normalized, models of the first network -> anomaly.h5ad  scpress anomaly


rule anomaly:
    """Look for cells unlike a reference and for the genes that make them so, on request."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        normalized=f"{RESULTS}/normalized.h5ad",
        models=anomaly_models,
    output:
        anomaly=f"{RESULTS}/anomaly.h5ad",
    log:
        f"{RESULTS}/logs/anomaly.log",
    benchmark:
        f"{RESULTS}/benchmarks/anomaly.tsv"
    conda:
        NETWORK_ENV
    threads: threads_of("anomaly")
    resources:
        mem_mb=memory("anomaly"),
        runtime=minutes("anomaly"),
    params:
        step_version=1,
        device=config["device"],
        checkpoints=f"{RESULTS}/checkpoints/anomaly",
        model=lambda wildcards: inputs.first_network(config),
        flags=flags("anomaly"),
    shell:
        """
        scpress anomaly \
            --counts {input.counts:q} \
            --normalized {input.normalized:q} \
            --model-files {input.models:q} \
            --model {params.model:q} \
            --device {params.device} \
            --checkpoints {params.checkpoints:q} \
            {params.flags:q} \
            --output {output.anomaly:q} \
            2>{log:q}
        """
