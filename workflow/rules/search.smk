# Settings of a model by held-out molecules: `n_latent: auto`, and the section `search`.
# In models/{model}/{split}/; rung 0 is what was drawn, the last file has no number.
#   search  counts, normalized, folds                  -> search_0.json            scpress search
#   trial   counts, normalized, folds, search_N.json   -> search_N/{slot}.json     scpress trial
#   rank    search_N.json, every search_N/{slot}.json  -> search_N+1.json, search.json  scpress rank

OF_MODEL = f"{RESULTS}/models/{{model}}/{{split}}"


rule search:
    """Draw the settings that a model is tried with."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        normalized=f"{RESULTS}/normalized.h5ad",
        folds=f"{RESULTS}/folds.h5ad",
        likelihoods=likelihoods_of,
    output:
        standing=f"{OF_MODEL}/search_0.json",
    log:
        f"{RESULTS}/logs/search/{{model}}/{{split}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/search/{{model}}/{{split}}.tsv"
    conda:
        NETWORK_ENV
    threads: threads_of("search")
    resources:
        mem_mb=memory("search"),
        runtime=minutes("search"),
    params:
        step_version=1,
        likelihoods=likelihoods_flag,
        flags=search_flags,
    shell:
        """
        scpress search \
            --counts {input.counts:q} \
            --normalized {input.normalized:q} \
            --folds {input.folds:q} \
            {params.likelihoods:q} \
            --model {wildcards.model} \
            {params.flags:q} \
            --output {output.standing:q} \
            2>{log:q}
        """


rule trial:
    """Train one setting of a rung without each fold, and score it there, with the first seed."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        normalized=f"{RESULTS}/normalized.h5ad",
        folds=f"{RESULTS}/folds.h5ad",
        standing=f"{OF_MODEL}/search_{{rung}}.json",
    output:
        scores=f"{OF_MODEL}/search_{{rung}}/{{slot}}.json",
    log:
        f"{RESULTS}/logs/trial/{{model}}/{{split}}/{{rung}}/{{slot}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/trial/{{model}}/{{split}}/{{rung}}/{{slot}}.tsv"
    wildcard_constraints:
        rung=r"\d+",
        slot=r"\d+",
    conda:
        NETWORK_ENV
    threads: threads_of("trial")
    resources:
        mem_mb=memory("trial"),
        runtime=minutes("trial"),
    params:
        step_version=1,
        device=config["device"],
        seed=config["seeds"][0],
        checkpoints=f"{RESULTS}/checkpoints",
        flags=threads_flag("trial"),
    shell:
        """
        scpress trial \
            --counts {input.counts:q} \
            --normalized {input.normalized:q} \
            --folds {input.folds:q} \
            --standing {input.standing:q} \
            --slot {wildcards.slot} \
            --seed {params.seed} \
            --device {params.device} \
            --checkpoints {params.checkpoints:q} \
            {params.flags:q} \
            --output {output.scores:q} \
            2>{log:q}
        """


rule rank:
    """Choose which settings go on to the next rung, and at the end which are used."""
    input:
        standing=standing_before,
        trials=trials_of,
    output:
        standing=f"{OF_MODEL}/search{{after}}.json",
    log:
        f"{RESULTS}/logs/rank/{{model}}/{{split}}/search{{after}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/rank/{{model}}/{{split}}/search{{after}}.tsv"
    wildcard_constraints:
        after=r"|_[1-9]\d*",
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("rank")
    resources:
        mem_mb=memory("rank"),
        runtime=minutes("rank"),
    params:
        step_version=1,
        flags=threads_flag("rank"),
    shell:
        """
        scpress rank \
            --standing {input.standing:q} \
            --trials {input.trials:q} \
            {params.flags:q} \
            --output {output.standing:q} \
            2>{log:q}
        """
