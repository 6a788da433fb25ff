"""mmreason: turn open vision-language models into domain reasoners, and prove it."""

__version__ = "0.1.0"
