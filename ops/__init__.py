"""How it is run: command line, local broker, migrations, demo and benchmarks."""
