"""What is done to the data: pure, arrays in, arrays out, no clock and no I/O."""
