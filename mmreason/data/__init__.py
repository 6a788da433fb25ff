"""Data work as a list of one-verb steps over a stream of samples; what is dropped is kept with its reason."""
