# Entry point for `snakemake` in this folder; the workflow itself is workflow/Snakefile.


include: "workflow/Snakefile"


# The first rule of an included file is not a default target: without this one there is nothing to do.
rule default:
    default_target: True
    input:
        rules.all.input,
    localrule: True
