"""What Slurm knows: which jobs live, which release is installed, what its configuration says.

The only room that runs Slurm's commands or imports pyslurm. It changes nothing of Slurm's but the features of a node (features).
"""

from spank_container.slurm.jobs import live_jobs, node_name

__all__ = ["live_jobs", "node_name"]
