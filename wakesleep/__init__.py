"""Deep Helmholtz machines on a CPU."""
