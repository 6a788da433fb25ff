"""The only place that opens media files."""
