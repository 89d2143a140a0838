/* node.c: slurmstepd, as root: the container's directory, and `COMMAND step` for a step with a request of its own. */
#include "spank_container.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct step step;

/* The state directory, or the same one through pid 1. With EntireStepInNS of job_container.conf slurmstepd is in a copy
 * of the node's mounts, which has no pins: the kernel copies no mount of a mount namespace. */
static const char *state_with_pins(void)
{
    static char hosts[4096];
    struct stat ours, its, here, there;

    snprintf(hosts, sizeof(hosts), "/proc/1/root%s", state);
    if (stat("/proc/self/ns/mnt", &ours) || stat("/proc/1/ns/mnt", &its) || ours.st_ino == its.st_ino)
        return state;
    if (stat(state, &here) || stat(hosts, &there) || here.st_dev != there.st_dev || here.st_ino != there.st_ino)
        return state;
    return hosts;
}

/* Open jobs/JOB, or jobs/JOB/steps/STEP for a step with a request of its own; NONE if it is not there. No user can have
 * made it: the state directory must be root's alone, and from it on no link is followed. */
int open_container(void)
{
    struct open_how how = {.flags = O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    char path[4096];
    struct stat st;

    snprintf(path, sizeof(path), "%s/jobs/%u", state, step.job);
    if (lstat(path, &st) && errno == ENOENT) /* all that a job without an image ever pays */
        return NONE;
    int root = open(state_with_pins(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root < 0)
        return refuse("cannot open %s: %m" BROKEN_NODE, state);
    if (fstat(root, &st) || st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)))
        return close(root), refuse("%s does not belong to root alone" BROKEN_NODE, state);
    snprintf(path, sizeof(path), step.has_request ? "jobs/%u/steps/%u" : "jobs/%u", step.job, step.id);
    int dir = syscall(SYS_openat2, root, path, &how, sizeof(how));
    if (dir < 0)
        dir = errno == ENOENT ? NONE : refuse("cannot open %s in %s: %m" BROKEN_NODE, path, state);
    close(root);
    return dir;
}

bool has(const char *name)
{
    return step.container >= 0 && faccessat(step.container, name, F_OK, 0) == 0;
}

ssize_t read_file(const char *name, char *text, size_t size)
{
    int fd = openat(step.container, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read_text(fd, text, size);

    if (fd >= 0)
        close(fd);
    return length;
}

/* `COMMAND step` builds the container of a step, `COMMAND step --end` undoes it. Of the user's environment it gets
 * only the request, and parses that from scratch. */
static int run_step(spank_t sp, char *verb_option)
{
    char id[6][96], *argv[] = {(char *)command, "step", verb_option, NULL};
    /* Without a HOME Python asks the name service for one, however long that takes. */
    char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", home[] = "HOME=/nonexistent";
    char *env[] = {path, home, step.request, id[0], id[1], id[2], id[3], id[4], id[5], NULL};
    uint32_t restarts = 0;
    uid_t uid;
    gid_t gid;

    if (spank_get_item(sp, S_JOB_UID, &uid) || spank_get_item(sp, S_JOB_GID, &gid))
        return refuse("Slurm does not say whose job %u is" BROKEN_NODE, step.job);
    spank_get_item(sp, S_SLURM_RESTART_COUNT, &restarts);
    snprintf(id[0], sizeof(id[0]), "SLURM_JOB_ID=%u", step.job);
    snprintf(id[1], sizeof(id[1]), "SLURM_STEP_ID=%u", step.id);
    snprintf(id[2], sizeof(id[2]), "SLURM_JOB_UID=%u", uid);
    snprintf(id[3], sizeof(id[3]), "SLURM_JOB_GID=%u", gid);
    snprintf(id[4], sizeof(id[4]), "SLURM_JOB_RESTART_COUNT=%u", restarts);
    snprintf(id[5], sizeof(id[5]), "SLURMD_NODENAME=%s", getenv("SLURMD_NODENAME") ?: ""); /* slurmstepd's own */
    return run_command(argv, env, NULL, 0);
}

/* `tmp` has a line for each: DEVICE:INODE as the Prolog saw it, or "-" where a volume of the user's is there. */
static void read_nodes_own(void)
{
    char text[256], *lines = text, *line;

    if (!has("tmp") || read_file("tmp", text, sizeof(text)) < 0)
        return;
    for (int i = 0; i < N_OWN && (line = strsep(&lines, "\n")); i++)
        sscanf(line, "%" SCNu64 ":%" SCNu64, &step.nodes_own[i].device, &step.nodes_own[i].inode);
}

/* Once a step, before its tasks. A failure of init_post_opt can drain the node, so none is reported: what went wrong
 * is found again in the task. What can be done here is cheaper here: a task would pay for it each time, and Slurm's
 * setenvf() allocates and clears 256 KiB for every variable. */
int prepare_step(spank_t sp)
{
    spank_err_t rc = ESPANK_ENV_NOEXIST;

    if (spank_get_item(sp, S_JOB_ID, &step.job) || spank_get_item(sp, S_JOB_STEPID, &step.id))
        step.job = 0; /* no job has this number */
    bool normal = step.job && step.id <= LAST_NORMAL_STEP && !options.host;
    strcpy(step.request, REQUEST_VARIABLE);
    if (normal)
        rc = spank_getenv(sp, STEP_REQUEST, step.request + strlen(REQUEST_VARIABLE), REQUEST_MAX + 1);
    step.has_request = rc != ESPANK_ENV_NOEXIST;
    spank_unsetenv(sp, STEP_REQUEST); /* an srun in this step is another step */
    if (rc == ESPANK_SUCCESS)
        run_step(sp, NULL);
    step.container = open_container();
    read_nodes_own();
    step.environment_applied = normal && has("ready") && !apply_environment(sp);
    return 0;
}

int end_step(spank_t sp)
{
    if (step.has_request && run_step(sp, "--end"))
        slurm_error("spank-container: step %u.%u is not undone; the Epilog tries again", step.job, step.id);
    return 0; /* what is left behind is not the user's fault, and a failure here would fail the job */
}
