# What is compared and chosen on molecules that were held out.
#   thin       counts, normalized             -> folds.h5ad      scpress thin
#   baselines  counts, normalized, folds      -> baselines.json  scpress baselines
#   choose     scores of all models and seeds -> choice.json     scpress choose


rule thin:
    """Divide the molecules of every cell into independent folds."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        normalized=f"{RESULTS}/normalized.h5ad",
    output:
        folds=f"{RESULTS}/folds.h5ad",
    log:
        f"{RESULTS}/logs/thin.log",
    benchmark:
        f"{RESULTS}/benchmarks/thin.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: config["threads"]
    resources:
        mem_mb=memory("thin"),
        runtime=minutes("thin"),
    params:
        step_version=1,
        flags=flags("thin"),
    shell:
        """
        scpress thin \
            --counts {input.counts:q} \
            --normalized {input.normalized:q} \
            {params.flags:q} \
            --output {output.folds:q} \
            2>{log:q}
        """


rule baselines:
    """Score gene means, PCA and NMF on the molecules held out."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        normalized=f"{RESULTS}/normalized.h5ad",
        folds=f"{RESULTS}/folds.h5ad",
    output:
        baselines=f"{RESULTS}/baselines.json",
    log:
        f"{RESULTS}/logs/baselines.log",
    benchmark:
        f"{RESULTS}/benchmarks/baselines.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: config["threads"]
    resources:
        mem_mb=memory("baselines"),
        runtime=minutes("baselines"),
    params:
        step_version=1,
        flags=flags("baselines"),
    shell:
        """
        scpress baselines \
            --counts {input.counts:q} \
            --normalized {input.normalized:q} \
            --folds {input.folds:q} \
            {params.flags:q} \
            --output {output.baselines:q} \
            2>{log:q}
        """


rule choose:
    """Compare all scores and choose the model that is built on."""
    input:
        scores=model_files("scores.json", every_seed=True),
        baselines=f"{RESULTS}/baselines.json",
    output:
        choice=f"{RESULTS}/choice.json",
    log:
        f"{RESULTS}/logs/choose.log",
    benchmark:
        f"{RESULTS}/benchmarks/choose.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: config["threads"]
    resources:
        mem_mb=memory("choose"),
        runtime=minutes("choose"),
    params:
        step_version=1,
        flags=flags("choose"),
    shell:
        """
        scpress choose \
            --scores {input.scores:q} \
            --baselines {input.baselines:q} \
            {params.flags:q} \
            --output {output.choice:q} \
            2>{log:q}
        """
