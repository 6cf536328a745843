# One model, one seed, one folder: models/{model}/{split}/{seed}/.
#   likelihood  counts, normalized, folds -> ../likelihood.json              scpress likelihood
#   train     counts, normalized         -> model.safetensors, history.tsv   scpress train
#   embed     counts, normalized, model  -> latent.h5ad                      scpress embed
#   evaluate  counts, latents of a model -> ../evaluation.json               scpress evaluate
#   score     counts, normalized, folds, model -> scores.json                scpress score
#   ensemble  counts, normalized, folds, models -> ../ensemble.json          scpress ensemble
#   denoise   counts, normalized, models -> ../denoised.h5ad (on request)    scpress denoise
#   recommend counts, normalized, models -> ../recommended.h5ad (on request) scpress recommend

FOLDER = f"{RESULTS}/models/{{model}}/{{split}}/{{seed}}"
RUN = "{model}/{split}/{seed}"
# What `score` keeps of each fold, for `ensemble`.
FOLD_MODELS = [
    f"{FOLDER}/folds/{number}.safetensors"
    for number in range(1, config["thin"]["folds"] + 1)
]


rule train:
    """Train one model with one seed."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        normalized=f"{RESULTS}/normalized.h5ad",
        likelihoods=likelihoods_of,
        search=search_of,
    output:
        model=f"{FOLDER}/model.safetensors",
        history=f"{FOLDER}/history.tsv",
    log:
        f"{RESULTS}/logs/train/{RUN}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{RUN}.tsv"
    conda:
        NETWORK_ENV
    threads: threads_of("train")
    resources:
        mem_mb=memory("train"),
        runtime=minutes("train"),
    params:
        step_version=4,
        device=config["device"],
        # Not an output: Snakemake deletes those before each attempt.
        checkpoints=f"{RESULTS}/checkpoints",
        likelihoods=likelihoods_flag,
        search=search_flag,
        flags=train_flags,
    shell:
        """
        scpress train \
            --counts {input.counts:q} \
            --normalized {input.normalized:q} \
            {params.likelihoods:q} \
            {params.search:q} \
            --model {wildcards.model} \
            --seed {wildcards.seed} \
            --device {params.device} \
            --checkpoints {params.checkpoints:q} \
            {params.flags:q} \
            --output {output.model:q} \
            --history {output.history:q} \
            2>{log:q}
        """


rule likelihood:
    """Choose the likelihood of a model by molecules that were held out, with the first seed."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        normalized=f"{RESULTS}/normalized.h5ad",
        folds=f"{RESULTS}/folds.h5ad",
    output:
        likelihood=f"{RESULTS}/models/{{model}}/{{split}}/likelihood.json",
    log:
        f"{RESULTS}/logs/likelihood/{{model}}/{{split}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/likelihood/{{model}}/{{split}}.tsv"
    conda:
        NETWORK_ENV
    threads: threads_of("likelihood")
    resources:
        mem_mb=memory("likelihood"),
        runtime=minutes("likelihood"),
    params:
        step_version=1,
        device=config["device"],
        seed=config["seeds"][0],
        checkpoints=f"{RESULTS}/checkpoints",
        flags=likelihood_flags,
    shell:
        """
        scpress likelihood \
            --counts {input.counts:q} \
            --normalized {input.normalized:q} \
            --folds {input.folds:q} \
            --model {wildcards.model} \
            --seed {params.seed} \
            --device {params.device} \
            --checkpoints {params.checkpoints:q} \
            {params.flags:q} \
            --output {output.likelihood:q} \
            2>{log:q}
        """


rule embed:
    """Extract the latent and the likelihood of every cell."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        normalized=f"{RESULTS}/normalized.h5ad",
        model=f"{FOLDER}/model.safetensors",
    output:
        latent=f"{FOLDER}/latent.h5ad",
    log:
        f"{RESULTS}/logs/embed/{RUN}.log",
    benchmark:
        f"{RESULTS}/benchmarks/embed/{RUN}.tsv"
    conda:
        NETWORK_ENV
    threads: threads_of("embed")
    resources:
        mem_mb=memory("embed"),
        runtime=minutes("embed"),
    params:
        step_version=1,
        device=config["device"],
        flags=flags("embed"),
    shell:
        """
        scpress embed \
            --counts {input.counts:q} \
            --normalized {input.normalized:q} \
            --model-file {input.model:q} \
            --model {wildcards.model} \
            --device {params.device} \
            {params.flags:q} \
            --output {output.latent:q} \
            2>{log:q}
        """


rule evaluate:
    """Compare the latents of all seeds of a model with labels and batches."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        latents=lambda wildcards: model_files(
            "latent.h5ad", [wildcards.model], every_seed=True
        ),
    output:
        evaluation=f"{RESULTS}/models/{{model}}/{{split}}/evaluation.json",
    log:
        f"{RESULTS}/logs/evaluate/{{model}}/{{split}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluate/{{model}}/{{split}}.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("evaluate")
    resources:
        mem_mb=memory("evaluate"),
        runtime=minutes("evaluate"),
    params:
        step_version=2,
        flags=flags("evaluate"),
    shell:
        """
        scpress evaluate \
            --counts {input.counts:q} \
            --latent {input.latents:q} \
            --model {wildcards.model} \
            {params.flags:q} \
            --output {output.evaluation:q} \
            2>{log:q}
        """


rule score:
    """Train one model and seed without each fold of the molecules, and score it there."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        normalized=f"{RESULTS}/normalized.h5ad",
        folds=f"{RESULTS}/folds.h5ad",
        model=f"{FOLDER}/model.safetensors",
    output:
        scores=f"{FOLDER}/scores.json",
        models=FOLD_MODELS,
    log:
        f"{RESULTS}/logs/score/{RUN}.log",
    benchmark:
        f"{RESULTS}/benchmarks/score/{RUN}.tsv"
    conda:
        NETWORK_ENV
    threads: threads_of("score")
    resources:
        mem_mb=memory("score"),
        runtime=minutes("score"),
    params:
        step_version=2,
        device=config["device"],
        checkpoints=f"{RESULTS}/checkpoints",
        flags=threads_flag("score"),
    shell:
        """
        scpress score \
            --counts {input.counts:q} \
            --normalized {input.normalized:q} \
            --folds {input.folds:q} \
            --model-file {input.model:q} \
            --model {wildcards.model} \
            --device {params.device} \
            --checkpoints {params.checkpoints:q} \
            {params.flags:q} \
            --fold-models {output.models:q} \
            --output {output.scores:q} \
            2>{log:q}
        """


rule ensemble:
    """Score all seeds of one model together on the molecules held out."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        normalized=f"{RESULTS}/normalized.h5ad",
        folds=f"{RESULTS}/folds.h5ad",
        models=lambda wildcards: model_files(
            [path.removeprefix(f"{FOLDER}/") for path in FOLD_MODELS],
            [wildcards.model],
            every_seed=True,
        ),
    output:
        scores=f"{RESULTS}/models/{{model}}/{{split}}/ensemble.json",
    log:
        f"{RESULTS}/logs/ensemble/{{model}}/{{split}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/ensemble/{{model}}/{{split}}.tsv"
    conda:
        NETWORK_ENV
    threads: threads_of("ensemble")
    resources:
        mem_mb=memory("ensemble"),
        runtime=minutes("ensemble"),
    params:
        step_version=1,
        device=config["device"],
        flags=threads_flag("ensemble"),
    shell:
        """
        scpress ensemble \
            --counts {input.counts:q} \
            --normalized {input.normalized:q} \
            --folds {input.folds:q} \
            --fold-models {input.models:q} \
            --model {wildcards.model} \
            --device {params.device} \
            {params.flags:q} \
            --output {output.scores:q} \
            2>{log:q}
        """


rule denoise:
    """Denoise with all seeds of a model; runs only when its file is asked for by name."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        normalized=f"{RESULTS}/normalized.h5ad",
        models=lambda wildcards: model_files(
            "model.safetensors", [wildcards.model], every_seed=True
        ),
    output:
        denoised=f"{RESULTS}/models/{{model}}/{{split}}/denoised.h5ad",
    log:
        f"{RESULTS}/logs/denoise/{{model}}/{{split}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/denoise/{{model}}/{{split}}.tsv"
    conda:
        NETWORK_ENV
    threads: threads_of("denoise")
    resources:
        mem_mb=memory("denoise"),
        runtime=minutes("denoise"),
    params:
        step_version=2,
        device=config["device"],
        flags=flags("denoise"),
    shell:
        """
        scpress denoise \
            --counts {input.counts:q} \
            --normalized {input.normalized:q} \
            --model-file {input.models:q} \
            --device {params.device} \
            {params.flags:q} \
            --output {output.denoised:q} \
            2>{log:q}
        """


rule recommend:
    """Rank genes that were not measured, by all seeds of a model; only when asked for by name."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        normalized=f"{RESULTS}/normalized.h5ad",
        models=lambda wildcards: model_files(
            "model.safetensors", [wildcards.model], every_seed=True
        ),
    output:
        recommended=f"{RESULTS}/models/{{model}}/{{split}}/recommended.h5ad",
    log:
        f"{RESULTS}/logs/recommend/{{model}}/{{split}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/recommend/{{model}}/{{split}}.tsv"
    conda:
        NETWORK_ENV
    threads: threads_of("recommend")
    resources:
        mem_mb=memory("recommend"),
        runtime=minutes("recommend"),
    params:
        step_version=1,
        device=config["device"],
        flags=flags("recommend"),
    shell:
        """
        scpress recommend \
            --counts {input.counts:q} \
            --normalized {input.normalized:q} \
            --model-file {input.models:q} \
            --device {params.device} \
            {params.flags:q} \
            --output {output.recommended:q} \
            2>{log:q}
        """
