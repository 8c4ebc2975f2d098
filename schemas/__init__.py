"""What the data is: record formats, topics, and the identity of a series."""
