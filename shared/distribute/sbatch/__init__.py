"""Scripts that run a batch on a SLURM cluster, without `distribute` there. It makes texts, and no files."""
