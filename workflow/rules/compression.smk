# What a latent costs and what it keeps.
#   compress  counts, normalized, latent, models -> models/.../compression.json  scpress compress


rule compress:
    """Measure bytes, ratios and distortion of one model beside its rivals."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        normalized=f"{RESULTS}/normalized.h5ad",
        latent=f"{FOLDER}/latent.h5ad",
        model=f"{FOLDER}/model.safetensors",
        sizes=lambda wildcards: [
            f"{RESULTS}/models/{wildcards.model}-{n}/{wildcards.split}/{wildcards.seed}/model.safetensors"
            for n in sizes_of(wildcards.model)
        ],
    output:
        compression=f"{FOLDER}/compression.json",
    log:
        f"{RESULTS}/logs/compress/{RUN}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compress/{RUN}.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("compress")
    resources:
        mem_mb=memory("compress"),
        runtime=minutes("compress"),
    params:
        step_version=4,
        sizes=lambda wildcards, input: (
            ["--other-model-files", *input.sizes] if input.sizes else []
        ),
        flags=compress_flags,
    shell:
        """
        scpress compress \
            --counts {input.counts:q} \
            --normalized {input.normalized:q} \
            --latent {input.latent:q} \
            --model-file {input.model:q} \
            --model {wildcards.model} \
            {params.sizes:q} \
            {params.flags:q} \
            --output {output.compression:q} \
            2>{log:q}
        """
