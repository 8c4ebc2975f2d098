"""Errors of decoding what clients send."""


class MalformedBody(ValueError):
    """The body as a whole cannot be read; the text says where it broke and what was expected."""


class TooManySamples(MalformedBody):
    """The body holds more samples than one request may."""
