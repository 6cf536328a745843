# Cells of two data sets in the latent of one model, the labelled ones naming the others.
#   reference  counts, normalized, labelled cells, first network -> reference.h5ad  scpress reference
#   transfer   counts, normalized, annotation, new cells, first network -> transfer.h5ad  scpress transfer


rule reference:
    """Name the cells by labelled ones, on request."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        normalized=f"{RESULTS}/normalized.h5ad",
        reference=REFERENCE,
        model=reference_model,
    output:
        names=f"{RESULTS}/reference.h5ad",
    log:
        f"{RESULTS}/logs/reference.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("reference")
    resources:
        mem_mb=memory("reference", joined_size),
        runtime=minutes("reference", joined_size),
    params:
        step_version=1,
        model=lambda wildcards, input: (
            ["--model-file", *input.model] if input.model else []
        ),
        flags=flags("reference"),
    shell:
        """
        scpress reference \
            --counts {input.counts:q} \
            --normalized {input.normalized:q} \
            --reference {input.reference:q} \
            {params.model:q} \
            {params.flags:q} \
            --output {output.names:q} \
            2>{log:q}
        """


rule transfer:
    """Take new cells through the first network and name them by the cells, on request."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        normalized=f"{RESULTS}/normalized.h5ad",
        annotation=f"{RESULTS}/annotation.h5ad",
        query=QUERY,
        model=first_model,
    output:
        transfer=f"{RESULTS}/transfer.h5ad",
        model=f"{RESULTS}/transfer.safetensors",
    log:
        f"{RESULTS}/logs/transfer.log",
    benchmark:
        f"{RESULTS}/benchmarks/transfer.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("transfer")
    resources:
        mem_mb=memory("transfer", joined_size),
        runtime=minutes("transfer", joined_size),
    params:
        step_version=1,
        model=lambda wildcards: inputs.first_network(config),
        flags=flags("transfer"),
    shell:
        """
        scpress transfer \
            --counts {input.counts:q} \
            --normalized {input.normalized:q} \
            --annotation {input.annotation:q} \
            --model-file {input.model:q} \
            --model {params.model:q} \
            {params.flags:q} \
            --output {output.transfer:q} \
            --output-model {output.model:q} \
            2>{log:q}
        """
