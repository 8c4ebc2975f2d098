"""`observai replay`: samples of the past through the same engine, into tables of their own."""
