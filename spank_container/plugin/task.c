/* task.c: the process that is about to become a task, still root: into the container, or out with a reason. */
#include "spank_container.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const own_path[N_OWN] = {"/tmp", "/dev/shm"};
static bool entered;

/* After this no program of the image, setuid or with file capabilities, wins anything back. The effective set stays:
 * Slurm has still to become the user, which empties it. */
static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
    int cap = 0;

    while (!prctl(PR_CAPBSET_DROP, cap, 0, 0, 0))
        cap++;
    if (errno != EINVAL || syscall(SYS_capget, &header, sets)) /* EINVAL: the kernel has no more */
        return refuse("cannot give up capabilities: %m" BROKEN_NODE);
    sets[0].inheritable = sets[1].inheritable = 0; /* and with it the ambient set, which is part of it */
    if (syscall(SYS_capset, &header, sets) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return refuse("cannot give up privileges: %m" BROKEN_NODE);
    return 0;
}

/* A copy of the mount of the job's own /tmp or /dev/shm; NONE where the task sees the node's. */
static int take_own(int i)
{
    struct mount_attr harmless = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
    struct stat st;

    if (!step.nodes_own[i].inode || stat(own_path[i], &st))
        return NONE;
    if (st.st_dev == step.nodes_own[i].device && st.st_ino == step.nodes_own[i].inode)
        return NONE;
    int tree = syscall(SYS_open_tree, AT_FDCWD, own_path[i], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0 || syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &harmless, sizeof(harmless)))
        return refuse("cannot take the job's own %s into the container: %m" BROKEN_NODE, own_path[i]);
    return tree;
}

/* The namespace is all the job's tasks' on this node: what Slurm has given to this one goes into a copy of it. */
static int put_own(const int trees[])
{
    if (unshare(CLONE_NEWNS))
        return refuse("cannot copy the container's namespace: %m" BROKEN_NODE);
    for (int i = 0; i < N_OWN; i++) {
        if (trees[i] == NONE)
            continue;
        if (syscall(SYS_move_mount, trees[i], "", AT_FDCWD, own_path[i], MOVE_MOUNT_F_EMPTY_PATH))
            return refuse("cannot put the job's own %s into the container: %m" BROKEN_NODE, own_path[i]);
        close(trees[i]);
    }
    return 0;
}

/* Move this task into the mount namespace that the Prolog has pinned. Slurm repeats its chdir() afterwards, inside. */
static int enter(void)
{
    int ns = openat(step.container, "mnt.ns", O_RDONLY | O_NOFOLLOW | O_CLOEXEC), trees[N_OWN];

    if (ns < 0)
        return refuse("cannot open the container's namespace: %m" BROKEN_NODE);
    for (int i = 0; i < N_OWN; i++)
        if ((trees[i] = take_own(i)) == -1)
            return -1;
    if (setns(ns, CLONE_NEWNS))
        return refuse("cannot enter the container: %m" BROKEN_NODE);
    close(ns);
    if ((trees[0] != NONE || trees[1] != NONE) && put_own(trees))
        return -1;
    entered = true;
    return drop_capabilities();
}

/* Print `failed`, line by line: so it stands in the job's own output. */
static int tell_failure(void)
{
    char text[8 * 1024], *rest = NULL;

    if (read_file("failed", text, sizeof(text)) <= 0)
        return refuse("the container was not built and the reason is lost" BROKEN_NODE);
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        slurm_error("spank-container: %s", line);
    return -1;
}

/* The state directory decides, and whoever asked for an image never runs on the host instead. */
int start_task(spank_t sp)
{
    bool normal = step.id <= LAST_NORMAL_STEP;
    char any[1]; /* a variable counts, whatever its value */

    if (!step.job)
        return refuse("Slurm does not say which job and step this is" BROKEN_NODE);
    if (normal && options.host)
        return 0;
    if (step.container == -1)
        return open_container(), -1; /* it was refused in the daemon's log: say it in the job's output as well */
    if (has("failed"))
        return tell_failure();
    if (!normal) /* the batch script and salloc's shell stay on the host: they call srun */
        return 0;
    if (options.given && !step.has_request && step.id != 0) /* not the first step of a job that srun has made */
        return refuse("--image, --volume and their kin do not go with --jobid; set SLURM_JOB_ID=%u instead", step.job);
    if (has("ready"))
        return step.environment_applied || !apply_environment(sp) ? enter() : -1;
    if (step.has_request)
        return refuse("the container of step %u.%u was not built" BROKEN_NODE, step.job, step.id);
    if (options.given || spank_getenv(sp, JOB_REQUEST, any, sizeof(any)) != ESPANK_ENV_NOEXIST)
        return refuse("the Prolog did not prepare this node; the administrator must set Prolog and PrologFlags=Alloc");
    return 0;
}

bool in_container(void)
{
    return entered;
}
