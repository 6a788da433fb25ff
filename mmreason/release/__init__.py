"""Releases: checked folders of files that `publish` writes to a place and `pull` fetches back, whole or not at all."""
