"""Influx line protocol: from the text of a request to samples and labels."""
