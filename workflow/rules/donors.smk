# Donors as units, where the sample sheet has a column `donor` with two of them or more.
#   cohort      counts, annotation, clusters, latents -> cohort.h5ad                       scpress cohort
#   biomarkers  cohort -> biomarkers.tsv, biomarkers.json  scpress biomarkers
#   classify    cohort -> classification.json, classification.tsv  scpress classify
#   survival    cohort -> survival.json, survival.tsv  scpress survival
#   donor_subtypes  cohort, counts, annotation, latents -> donor_subtypes.json, donor_subtypes.tsv  scpress donor_subtypes
#   drug_response  cohort, table of responses -> drug_response.json, drug_response.tsv  scpress drug_response
#   perturbation  cohort -> perturbation.json, perturbation.h5ad  scpress perturbation


rule cohort:
    """Sum up the cells of every donor."""
    input:
        counts=f"{RESULTS}/counts.h5ad",
        annotation=f"{RESULTS}/annotation.h5ad",
        clusters=f"{RESULTS}/clusters.h5ad",
        latents=model_files("latent.h5ad", PRIMARY),
    output:
        cohort=f"{RESULTS}/cohort.h5ad",
    log:
        f"{RESULTS}/logs/cohort.log",
    benchmark:
        f"{RESULTS}/benchmarks/cohort.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("cohort")
    resources:
        mem_mb=memory("cohort"),
        runtime=minutes("cohort"),
    params:
        step_version=1,
        flags=flags("cohort"),
    shell:
        """
        scpress cohort \
            --counts {input.counts:q} \
            --annotation {input.annotation:q} \
            --clusters {input.clusters:q} \
            --latent {input.latents:q} \
            {params.flags:q} \
            --output {output.cohort:q} \
            2>{log:q}
        """


rule biomarkers:
    """Test the genes of every type between two conditions of donors, on request."""
    input:
        cohort=f"{RESULTS}/cohort.h5ad",
    output:
        table=f"{RESULTS}/biomarkers.tsv",
        record=f"{RESULTS}/biomarkers.json",
    log:
        f"{RESULTS}/logs/biomarkers.log",
    benchmark:
        f"{RESULTS}/benchmarks/biomarkers.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("biomarkers")
    resources:
        mem_mb=memory("biomarkers"),
        runtime=minutes("biomarkers"),
    params:
        step_version=2,
        flags=flags("biomarkers"),
    shell:
        """
        scpress biomarkers \
            --cohort {input.cohort:q} \
            {params.flags:q} \
            --output {output.table:q} \
            --record {output.record:q} \
            2>{log:q}
        """


rule classify:
    """Predict a condition of donors held out, on request."""
    input:
        cohort=f"{RESULTS}/cohort.h5ad",
    output:
        record=f"{RESULTS}/classification.json",
        weights=f"{RESULTS}/classification.tsv",
    log:
        f"{RESULTS}/logs/classify.log",
    benchmark:
        f"{RESULTS}/benchmarks/classify.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("classify")
    resources:
        mem_mb=memory("classify"),
        runtime=minutes("classify"),
    params:
        step_version=3,
        flags=flags("classify"),
    shell:
        """
        scpress classify \
            --cohort {input.cohort:q} \
            {params.flags:q} \
            --output {output.record:q} \
            --weights {output.weights:q} \
            2>{log:q}
        """


rule survival:
    """Predict the hazard of donors held out, on request."""
    input:
        cohort=f"{RESULTS}/cohort.h5ad",
    output:
        record=f"{RESULTS}/survival.json",
        risks=f"{RESULTS}/survival.tsv",
    log:
        f"{RESULTS}/logs/survival.log",
    benchmark:
        f"{RESULTS}/benchmarks/survival.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("survival")
    resources:
        mem_mb=memory("survival"),
        runtime=minutes("survival"),
    params:
        step_version=2,
        flags=flags("survival"),
    shell:
        """
        scpress survival \
            --cohort {input.cohort:q} \
            {params.flags:q} \
            --output {output.record:q} \
            --risks {output.risks:q} \
            2>{log:q}
        """


rule donor_subtypes:
    """Find groups of donors that no chance, batch or depth explains, on request."""
    input:
        cohort=f"{RESULTS}/cohort.h5ad",
        counts=f"{RESULTS}/counts.h5ad",
        annotation=f"{RESULTS}/annotation.h5ad",
        latents=model_files("latent.h5ad", PRIMARY),
    output:
        record=f"{RESULTS}/donor_subtypes.json",
        table=f"{RESULTS}/donor_subtypes.tsv",
        donors=f"{RESULTS}/cohort_subtypes.h5ad",
    log:
        f"{RESULTS}/logs/donor_subtypes.log",
    benchmark:
        f"{RESULTS}/benchmarks/donor_subtypes.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("donor_subtypes")
    resources:
        mem_mb=memory("donor_subtypes"),
        runtime=minutes("donor_subtypes"),
    params:
        step_version=2,
        flags=flags("donor_subtypes"),
    shell:
        """
        scpress donor_subtypes \
            --cohort {input.cohort:q} \
            --counts {input.counts:q} \
            --annotation {input.annotation:q} \
            --latent {input.latents:q} \
            {params.flags:q} \
            --output {output.record:q} \
            --table {output.table:q} \
            --donors {output.donors:q} \
            2>{log:q}
        """


rule drug_response:
    """Predict responses to drugs of donors, drugs or both held out, on request."""
    input:
        cohort=f"{RESULTS}/cohort.h5ad",
        tables=DRUG_TABLES,
    output:
        record=f"{RESULTS}/drug_response.json",
        scores=f"{RESULTS}/drug_response.tsv",
    log:
        f"{RESULTS}/logs/drug_response.log",
    benchmark:
        f"{RESULTS}/benchmarks/drug_response.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("drug_response")
    resources:
        mem_mb=memory("drug_response"),
        runtime=minutes("drug_response"),
    params:
        step_version=1,
        flags=flags("drug_response"),
    shell:
        """
        scpress drug_response \
            --expression {input.cohort:q} \
            {params.flags:q} \
            --output {output.record:q} \
            --scores {output.scores:q} \
            2>{log:q}
        """


rule perturbation:
    """Compare how donors respond to a treatment, on request."""
    input:
        cohort=f"{RESULTS}/cohort.h5ad",
    output:
        record=f"{RESULTS}/perturbation.json",
        responses=f"{RESULTS}/perturbation.h5ad",
    log:
        f"{RESULTS}/logs/perturbation.log",
    benchmark:
        f"{RESULTS}/benchmarks/perturbation.tsv"
    conda:
        "../../envs/scpress.yaml"
    threads: threads_of("perturbation")
    resources:
        mem_mb=memory("perturbation"),
        runtime=minutes("perturbation"),
    params:
        step_version=2,
        flags=flags("perturbation"),
    shell:
        """
        scpress perturbation \
            --cohort {input.cohort:q} \
            {params.flags:q} \
            --output {output.record:q} \
            --responses {output.responses:q} \
            2>{log:q}
        """
