# Receptor sequences, where the sample sheet names their tables.
#   receptors  counts, tables of chains  -> receptors.h5ad, receptor_sequences.tsv  scpress receptors


rule receptors:
    """Learn codes of the receptor sequences and join them to the cells."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        tables=[path for _, path in RECEPTOR_FILES],
    output:
        receptors=f"{RESULTS}/receptors.h5ad",
        sequences=f"{RESULTS}/receptor_sequences.tsv",
    log:
        f"{RESULTS}/logs/receptors.log",
    benchmark:
        f"{RESULTS}/benchmarks/receptors.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("receptors")
    resources:
        mem_mb=memory("receptors"),
        runtime=minutes("receptors"),
    params:
        step_version=1,
        tables=[f"{name}={path}" for name, path in RECEPTOR_FILES],
        flags=flags("receptors"),
    shell:
        """
        scpress receptors \
            --counts {input.counts:q} \
            --receptors {params.tables:q} \
            {params.flags:q} \
            --output {output.receptors:q} \
            --sequences {output.sequences:q} \
            2>{log:q}
        """
