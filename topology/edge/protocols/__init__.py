"""Protocols of the edge, one file each; topology/edge/routes.py lists them."""
