"""A real Slurm cluster of virtual nodes on this machine, for trying, testing and showing spank-container.

Owns what lies in the cache folder and under /run/spank-container-sandbox, and nothing else of the machine. It knows
spank-container as a site does: by its wheel, its commands and its files, never by its modules.
"""
