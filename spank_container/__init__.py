"""spank-container: containers under Slurm.

Data flows one way: request -> facts -> plan -> record -> apply, undo. See docs/explanation/architecture.md.
"""

__version__ = "0.1.0"
