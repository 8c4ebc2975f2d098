"""`observai up`: one machine, one child per role."""
