"""Published changes to GRPO, one file each; `mmreason list methods` shows them."""
