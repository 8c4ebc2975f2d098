"""The worker: Faust stages over the topics of samples and rollups."""
