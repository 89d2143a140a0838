/*
 * spank_container.h: what the rooms of the plugin know of each other; spank_container.c says who does what.
 *
 * All of it is built with -fvisibility=hidden: Slurm sees what spank.h declares, and what stands here stays between us.
 */
#ifndef SPANK_CONTAINER_H
#define SPANK_CONTAINER_H

#define _GNU_SOURCE
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#pragma GCC visibility push(default)
#include <slurm/spank.h>
#pragma GCC visibility pop

enum {
    REQUEST_MAX = 64 * 1024, /* the JSON of a request */
    NONE = -2,
    N_OWN = 2,
};

#define LAST_NORMAL_STEP 0xfffffff0u /* SLURM_MAX_NORMAL_STEP_ID; above: batch script, salloc's shell, extern step */
#define JOB_REQUEST "SLURM_SPANK_CONTAINER_REQUEST" /* what the Prolog knows as SPANK_CONTAINER_REQUEST */
/* A step's own request: from srun to the node (a name in SLURM_ survives --export=NONE), and to `COMMAND step`. */
#define STEP_REQUEST "SLURM_SPANK_CONTAINER_STEP_REQUEST"
#define REQUEST_VARIABLE "SPANK_CONTAINER_REQUEST="

/* One sentence that says what to do. It is -1, so that a failure is `return refuse(...)`. */
#define refuse(...) (slurm_error("spank-container: " __VA_ARGS__), -1)
#define BROKEN_NODE "; the administrator must look at this node"
#define UNUSED __attribute__((unused))

/* Arguments in plugstack.conf. */
extern const char *command, *state;

/* What was asked for on the command line, in the script or in the environment: an option of ours; --image=none. */
extern struct options {
    bool given, host;
} options;

/* What slurmstepd finds out once, before its tasks. */
extern struct step {
    uint32_t job, id;
    int container; /* a descriptor of its directory; NONE; -1 when it cannot be trusted */
    bool has_request, environment_applied;
    char request[sizeof(REQUEST_VARIABLE) + REQUEST_MAX];
    struct {
        uint64_t device, inode; /* of the node's own; both 0 where a job's is not wanted */
    } nodes_own[N_OWN];         /* /tmp and /dev/shm: job_container/tmpfs gives a job others */
} step;

/* submit.c: sbatch, salloc and srun, as the user. */
int register_options(spank_t sp);
void forget_inherited(void);
int submit_options(spank_t sp);

/* command.c: the only children. */
ssize_t read_text(int fd, char *text, size_t size);
int run_command(char *const argv[], char *const env[], char *text, size_t size);

/* node.c: slurmstepd, as root. */
int prepare_step(spank_t sp);
int end_step(spank_t sp);
int open_container(void);
bool has(const char *name);
ssize_t read_file(const char *name, char *text, size_t size);

/* records.c: jobs/JOB/env. */
int apply_environment(spank_t sp);
int apply_to_task(spank_t sp);

/* task.c: the task, still as root. */
int start_task(spank_t sp);
bool in_container(void);

#endif
