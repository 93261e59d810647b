"""Nothing here is called by the programs that run."""
