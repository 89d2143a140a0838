"""What Slurm knows: which jobs live, which release is installed, what its configuration says.

The only room that runs Slurm's commands or imports pyslurm. It never changes anything of Slurm's.
"""

from spank_container.slurm.jobs import live_jobs, node_name

__all__ = ["live_jobs", "node_name"]
