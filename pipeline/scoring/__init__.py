"""The score stage's engine: closed windows of many series in, what is anomalous out."""
