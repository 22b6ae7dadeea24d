"""What the rules compute: plain functions of the configuration, in the words of Snakemake."""
