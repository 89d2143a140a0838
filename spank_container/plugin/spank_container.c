/*
 * spank_container.c: the part of spank-container that lives inside Slurm's own processes, and where Slurm enters it.
 *
 * It owns the SPANK interface: it collects --image, --volume and their kin, lets `spank-container submit` judge them,
 * and on the node moves each task into the mount namespace that the Prolog has built and pinned. It never parses an
 * image, a volume or JSON, mounts nothing but what Slurm has given to the job, and never runs anything of the image.
 * Who does what:
 *
 *   sbatch, salloc, srun    submit.c    submit_options()    run `COMMAND submit`, give its JSON to the job
 *   slurmstepd, root        node.c      prepare_step()      a container of the step's own; the tasks' environment
 *   the task, root          task.c      start_task()        enter(): THIS is where a task enters the container
 *   the task, the user      records.c   apply_to_task()     its folder there, and the entrypoint
 *
 * Two rules come from Slurm. Every failure is NEGATIVE: positive numbers were ignored before 25.05. And what goes wrong
 * on a node is told in the task's own callbacks: only there does a failure end the step with a non-zero status and
 * leave the node in service, in every release, for srun, salloc and sbatch alike (spank(8), "Errors").
 */
#include "spank_container.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#pragma GCC visibility push(default)
SPANK_PLUGIN(spank_container, 1)
#pragma GCC visibility pop

/* Arguments in plugstack.conf, all absolute paths. */
const char *command = "/opt/spank-container/bin/spank-container";
const char *state = "/run/spank-container";
static const char *timing; /* gets "JOB STEP TASK MICROSECONDS" appended for every task; `./dev bench entry` reads it */

static int set_argument(const char *argument)
{
    const char *path = strchr(argument, '/');

    if (!strncmp(argument, "command=/", 9))
        command = path;
    else if (!strncmp(argument, "state=/", 7))
        state = path;
    else if (!strncmp(argument, "timing=/", 8))
        timing = path;
    else
        return refuse("plugstack.conf has %s; use command=/PATH, state=/DIR or timing=/PATH", argument);
    return 0;
}

int slurm_spank_init(spank_t sp, int ac, char *argv[])
{
    spank_context_t context = spank_context();

    if (context != S_CTX_LOCAL && context != S_CTX_ALLOCATOR && context != S_CTX_REMOTE)
        return 0; /* slurmd itself, and when it runs the Prolog and Epilog */
    for (int i = 0; i < ac; i++)
        if (set_argument(argv[i]))
            return -1;
    if (context != S_CTX_REMOTE)
        forget_inherited();
    return register_options(sp);
}

int slurm_spank_init_post_opt(spank_t sp, UNUSED int ac, UNUSED char *argv[])
{
    return spank_context() == S_CTX_REMOTE ? prepare_step(sp) : submit_options(sp);
}

/* Slurm goes to the job's folder after this: /proc/self/fd/N, as a user may name it, must not be our directory. */
static int start_and_let_go(spank_t sp)
{
    int rc = start_task(sp);

    if (step.container >= 0)
        close(step.container);
    step.container = NONE;
    return rc;
}

int slurm_spank_task_init_privileged(spank_t sp, UNUSED int ac, UNUSED char *argv[])
{
    struct timespec begin, end;
    uint32_t task = 0;

    if (!timing)
        return start_and_let_go(sp);
    int log = open(timing, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600); /* on the host, still */
    clock_gettime(CLOCK_MONOTONIC, &begin);
    int rc = start_and_let_go(sp);
    clock_gettime(CLOCK_MONOTONIC, &end);
    double microseconds = (end.tv_sec - begin.tv_sec) * 1e6 + (end.tv_nsec - begin.tv_nsec) / 1e3;
    if (log >= 0 && !spank_get_item(sp, S_TASK_GLOBAL_ID, &task))
        dprintf(log, "%u %u %u %.1f\n", step.job, step.id, task, microseconds);
    close(log);
    return rc;
}

int slurm_spank_task_init(spank_t sp, UNUSED int ac, UNUSED char *argv[])
{
    return in_container() ? apply_to_task(sp) : 0;
}

int slurm_spank_exit(spank_t sp, UNUSED int ac, UNUSED char *argv[])
{
    return end_step(sp);
}
