# What the dimensions of the primary model mean, and the ways between its clusters, in genes.
#   programs  latents and models of the primary model, clusters -> programs.h5ad, programs.tsv  scpress programs


rule programs:
    """Say which genes rise and fall along dimensions and between clusters, on request."""
    input:
        latents=model_files("latent.h5ad", PRIMARY, every_seed=True),
        models=model_files("model.safetensors", PRIMARY, every_seed=True),
        clusters=f"{RESULTS}/clusters.h5ad",
    output:
        genes=f"{RESULTS}/programs.tsv",
        programs=f"{RESULTS}/programs.h5ad",
    log:
        f"{RESULTS}/logs/programs.log",
    benchmark:
        f"{RESULTS}/benchmarks/programs.tsv"
    conda:
        NETWORK_ENV
    threads: threads_of("programs")
    resources:
        mem_mb=memory("programs"),
        runtime=minutes("programs"),
    params:
        step_version=1,
        seed=seeds(PRIMARY[0])[0],
        flags=flags("programs"),
    shell:
        """
        scpress programs \
            --latents {input.latents:q} \
            --model-files {input.models:q} \
            --clusters {input.clusters:q} \
            --seed {params.seed} \
            {params.flags:q} \
            --genes {output.genes:q} \
            --output {output.programs:q} \
            2>{log:q}
        """
