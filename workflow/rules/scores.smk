# What is compared and chosen on molecules that were held out.
#   thin       counts, normalized             -> folds.h5ad      scpress thin
#   baselines  counts, normalized, folds      -> baselines.json  scpress baselines
#   choose     scores of all models and seeds, alone and together -> choice.json  scpress choose
#   learning_curve  counts, normalized, folds, models (choice) -> learning_curve.json  scpress learning_curve


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
    threads: threads_of("thin")
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
    threads: threads_of("baselines")
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
        ensembles=[
            f"{RESULTS}/models/{model}/all/ensemble.json"
            for model in MODELS
            if len(seeds(model)) > 1
        ],
        baselines=f"{RESULTS}/baselines.json",
    output:
        choice=f"{RESULTS}/choice.json",
    log:
        f"{RESULTS}/logs/choose.log",
    benchmark:
        f"{RESULTS}/benchmarks/choose.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("choose")
    resources:
        mem_mb=memory("choose"),
        runtime=minutes("choose"),
    params:
        step_version=2,
        ensembles=lambda wildcards, input: (
            ["--ensembles", *input.ensembles] if input.ensembles else []
        ),
        flags=flags("choose"),
    shell:
        """
        scpress choose \
            --scores {input.scores:q} \
            {params.ensembles:q} \
            --baselines {input.baselines:q} \
            {params.flags:q} \
            --output {output.choice:q} \
            2>{log:q}
        """


rule learning_curve:
    """Train the primary model on parts of the cells, on request."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        normalized=f"{RESULTS}/normalized.h5ad",
        folds=f"{RESULTS}/folds.h5ad",
        models=model_files("model.safetensors", PRIMARY),
        choice=CHOICE if len(PRIMARY) > 1 else [],
    output:
        curve=f"{RESULTS}/learning_curve.json",
    log:
        f"{RESULTS}/logs/learning_curve.log",
    benchmark:
        f"{RESULTS}/benchmarks/learning_curve.tsv"
    conda:
        NETWORK_ENV
    threads: threads_of("learning_curve")
    resources:
        mem_mb=memory("learning_curve"),
        runtime=minutes("learning_curve"),
    params:
        step_version=1,
        device=config["device"],
        # Of its own: a training on all cells is one of `score`, too, which may run beside it.
        checkpoints=f"{RESULTS}/checkpoints/learning_curve",
        models=PRIMARY,
        choice=["--choice", *CHOICE] if len(PRIMARY) > 1 else [],
        flags=flags("learning_curve"),
    shell:
        """
        scpress learning_curve \
            --counts {input.counts:q} \
            --normalized {input.normalized:q} \
            --folds {input.folds:q} \
            --model-files {input.models:q} \
            --models {params.models:q} \
            {params.choice:q} \
            --device {params.device} \
            --checkpoints {params.checkpoints:q} \
            {params.flags:q} \
            --output {output.curve:q} \
            2>{log:q}
        """
