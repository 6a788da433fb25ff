"""Model families, tokenisers, tiny models of the real architectures, loading and saving."""
