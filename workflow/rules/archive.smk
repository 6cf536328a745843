# The counts in a file that gives them back exactly.
#   pack  counts -> counts.scp, archive.json  scpress pack


rule pack:
    """Pack the joined counts, read them back and compare."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
    output:
        archive=f"{RESULTS}/counts.scp",
        summary=f"{RESULTS}/archive.json",
    log:
        f"{RESULTS}/logs/pack.log",
    benchmark:
        f"{RESULTS}/benchmarks/pack.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("pack")
    resources:
        mem_mb=memory("pack"),
        runtime=minutes("pack"),
    params:
        step_version=1,
        flags=flags("pack"),
    shell:
        """
        scpress pack {input.counts:q} \
            {params.flags:q} \
            --output {output.archive:q} \
            --summary {output.summary:q} \
            2>{log:q}
        """
