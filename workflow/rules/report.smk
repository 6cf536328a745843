# Everything in one file and on one page.
#   assemble  all of the above          -> scpress.h5ad                scpress assemble
#   report    scpress.h5ad, the tables  -> report.html, metrics.json   scpress report


rule assemble:
    """Join counts, latents, clusters, types and subtypes into one AnnData file."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        normalized=f"{RESULTS}/normalized.h5ad",
        latents=model_files("latent.h5ad"),
        clusters=f"{RESULTS}/clusters.h5ad",
        annotation=f"{RESULTS}/annotation.h5ad",
        subtypes=f"{RESULTS}/subtypes.h5ad",
        donors=list(DONOR_RECORDS.values()),
        model=(
            model_files("model.safetensors", PRIMARY, every_seed=True)
            if config["assemble"]["denoised_layer"]
            else []
        ),
        programs=PROGRAMS,
    output:
        adata=f"{RESULTS}/scpress.h5ad",
    log:
        f"{RESULTS}/logs/assemble.log",
    benchmark:
        f"{RESULTS}/benchmarks/assemble.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("assemble")
    resources:
        mem_mb=memory("assemble"),
        runtime=minutes("assemble"),
    params:
        step_version=2,
        donors=[one for pair in DONOR_RECORDS.items() for one in pair],
        model=lambda wildcards, input: (
            ["--model-file", *input.model] if input.model else []
        ),
        programs=["--programs", *PROGRAMS] if PROGRAMS else [],
        flags=flags("assemble"),
    shell:
        """
        scpress assemble \
            --counts {input.counts:q} \
            --normalized {input.normalized:q} \
            --latents {input.latents:q} \
            --clusters {input.clusters:q} \
            --annotation {input.annotation:q} \
            --subtypes {input.subtypes:q} \
            {params.donors:q} \
            {params.model:q} \
            {params.programs:q} \
            {params.flags:q} \
            --output {output.adata:q} \
            2>{log:q}
        """


rule report:
    """Write the page a biologist reads, and its numbers as JSON."""
    input:
        adata=f"{RESULTS}/scpress.h5ad",
        qc=expand(f"{RESULTS}/samples/{{sample}}/qc.h5ad", sample=SAMPLES),
        histories=model_files("history.tsv", every_seed=True),
        evaluations=expand(
            f"{RESULTS}/models/{{model}}/all/evaluation.json", model=MODELS
        ),
        # What a code costs is measured on counts of which every gene was measured.
        compressions=(
            []
            if config["merge"]["genes"] == "panels"
            else model_files("compression.json")
        ),
        choice=CHOICE,
        genes=GENES,
        likelihoods=AUTO_LIKELIHOODS,
        learning_curve=LEARNING_CURVE,
        false_signals=FALSE_SIGNALS,
        programs=PROGRAMS,
        program_genes=[f"{RESULTS}/programs.tsv"] if PROGRAMS else [],
        anomaly=ANOMALY,
        searches=SEARCHES,
        donors=list(DONOR_TABLES.values()),
        archive=f"{RESULTS}/archive.json",
        markers=f"{RESULTS}/markers.tsv",
        subtype_markers=f"{RESULTS}/subtype_markers.tsv",
    output:
        page=report(
            f"{RESULTS}/report.html",
            caption="../report/page.rst",
            category="Report",
        ),
        metrics=report(
            f"{RESULTS}/metrics.json",
            caption="../report/metrics.rst",
            category="Tables",
        ),
    log:
        f"{RESULTS}/logs/report.log",
    benchmark:
        f"{RESULTS}/benchmarks/report.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("report")
    resources:
        mem_mb=memory("report"),
        runtime=minutes("report"),
    params:
        step_version=7,
        donors=[one for pair in DONOR_TABLES.items() for one in pair],
        choice=["--choice", *CHOICE] if CHOICE else [],
        curve=["--learning-curve", *LEARNING_CURVE] if LEARNING_CURVE else [],
        signals=["--false-signals", *FALSE_SIGNALS] if FALSE_SIGNALS else [],
        genes=["--genes", *GENES] if GENES else [],
        programs=lambda wildcards, input: (
            ["--programs", *input.programs, "--program-genes", *input.program_genes]
            if input.programs
            else []
        ),
        anomaly=["--anomaly", *ANOMALY] if ANOMALY else [],
        flags=flags("report"),
    shell:
        """
        scpress report \
            --input {input.adata:q} \
            --samples-qc {input.qc:q} \
            --histories {input.histories:q} \
            --evaluations {input.evaluations:q} \
            --compressions {input.compressions:q} \
            {params.choice:q} \
            {params.genes:q} \
            --likelihoods {input.likelihoods:q} \
            {params.curve:q} \
            {params.signals:q} \
            {params.programs:q} \
            {params.anomaly:q} \
            --searches {input.searches:q} \
            {params.donors:q} \
            --archive {input.archive:q} \
            --markers {input.markers:q} \
            --subtype-markers {input.subtype_markers:q} \
            {params.flags:q} \
            --output {output.page:q} \
            --metrics {output.metrics:q} \
            2>{log:q}
        """
