"""The command `observai`."""
