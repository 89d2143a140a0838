/*
 * spank_container.c: the part of spank-container that lives inside Slurm's own processes.
 *
 * It owns the SPANK interface: it collects --image and --volume, lets `spank-container submit` judge them, and on the
 * node moves each task into the mount namespace that the Prolog has built and pinned. It never parses an image, a
 * volume or JSON, never mounts, and never runs anything of the image. What Slurm calls stands at the end:
 *
 *   sbatch, salloc, srun    submit_options()    run `COMMAND submit`, give its JSON to the job
 *   slurmstepd, root        prepare_step()      a container of the step's own; the tasks' environment
 *   the task, root          enter()             setns(2): THIS is where a task enters the container
 *
 * Two rules come from Slurm. Every failure is NEGATIVE: positive numbers were ignored before 25.05. And what goes wrong
 * on a node is told in task_init_privileged: only there does a failure end the step with a non-zero status and leave
 * the node in service, in every release, for srun, salloc and sbatch alike (spank(8), "Errors").
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The file is built with -fvisibility=hidden: Slurm sees what spank.h declares, and all else is static. */
#pragma GCC visibility push(default)
#include <slurm/spank.h>
SPANK_PLUGIN(spank_container, 1)
#pragma GCC visibility pop

enum {
    VOLUMES_MAX = 256,
    REQUEST_MAX = 64 * 1024, /* the JSON of a request */
    ENV_MAX = 1024 * 1024,   /* jobs/JOB/env */
    NONE = -2,
};

#define LAST_NORMAL_STEP 0xfffffff0u /* SLURM_MAX_NORMAL_STEP_ID; above: batch script, salloc's shell, extern step */
#define OPTION_VARIABLE "_SLURM_SPANK_OPTION_spank_container_" /* how Slurm names an option's variable */
#define JOB_OPTION "SLURM_SPANK_" OPTION_VARIABLE              /* and how in the environment of a job */
#define JOB_REQUEST "SLURM_SPANK_CONTAINER_REQUEST"            /* what the Prolog knows as SPANK_CONTAINER_REQUEST */
/* A step's own request: from srun to the node (a name in SLURM_ survives --export=NONE), and to `COMMAND step`. */
#define STEP_REQUEST "SLURM_SPANK_CONTAINER_STEP_REQUEST"
#define REQUEST_VARIABLE "SPANK_CONTAINER_REQUEST="

/* One sentence that says what to do. It is -1, so that a failure is `return refuse(...)`. */
#define refuse(...) (slurm_error("spank-container: " __VA_ARGS__), -1)
#define BROKEN_NODE "; the administrator must look at this node"
#define UNUSED __attribute__((unused))

/* Arguments in plugstack.conf, all absolute paths. */
static const char *command = "/opt/spank-container/bin/spank-container";
static const char *state = "/run/spank-container";
static const char *timing; /* gets "JOB STEP TASK MICROSECONDS" appended for every task; `./dev bench entry` reads it */

/* The options, as the words that `COMMAND submit` takes. */
static struct {
    bool given, host;           /* an option, --image=none */
    char *image;                /* "--image=REF", the last one */
    char *volumes[VOLUMES_MAX]; /* "--volume=SPEC", all of them */
    size_t n_volumes;
    bool later, stale, replayed[2]; /* of a heterogeneous job's later part: its volumes are not its own; on_option() */
} options;

/* What slurmstepd finds out once, before its tasks. */
static struct {
    uint32_t job, id;
    int container; /* a descriptor of its directory; NONE; -1 when it cannot be trusted */
    bool has_request, environment_applied;
    char request[sizeof(REQUEST_VARIABLE) + REQUEST_MAX];
} step;

/* Read to the end, but at most `size` - 1 bytes, and put a NUL after them; the length, or -1. */
static ssize_t read_text(int fd, char *text, size_t size)
{
    size_t have = 0;
    ssize_t got;

    while ((got = TEMP_FAILURE_RETRY(read(fd, text + have, size - 1 - have))) > 0)
        have += got;
    text[have] = '\0';
    return got < 0 ? -1 : (ssize_t)have;
}

/* Run the command to its end: its status, or -1. What it prints is put into `text`, if there is one.
 * srun may have threads, so no code of ours runs between fork and exec: posix_spawn(3) does it all. */
static int run(char *const argv[], char *const env[], char *text, size_t size)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int ends[2], status;
    pid_t pid = -1;

    if (pipe2(ends, O_CLOEXEC))
        return refuse("cannot make a pipe: %m; try again");
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    /* Output before input: whoever started sbatch may have closed descriptor 0, and then the pipe may be there. */
    if (text)
        posix_spawn_file_actions_adddup2(&files, ends[1], STDOUT_FILENO);
    else /* slurmstepd's own output is its pipe to slurmd */
        posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &none); /* slurmstepd blocks nearly all signals */
    posix_spawnattr_setsigdefault(&attributes, &all);
    void (*on_child)(int) = signal(SIGCHLD, SIG_DFL); /* who ignores it, as sbatch's caller may, cannot wait */
    int error = posix_spawn(&pid, command, &files, &attributes, argv, env);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    close(ends[1]);
    if (text && read_text(ends[0], text, size) < 0)
        text[0] = '\0';
    close(ends[0]); /* a command that prints without end dies of this */
    bool waited = !error && TEMP_FAILURE_RETRY(waitpid(pid, &status, 0)) == pid;
    signal(SIGCHLD, on_child);
    if (error)
        return refuse("cannot run %s: %s; the administrator must repair it", command, strerror(error));
    if (!waited || !WIFEXITED(status))
        return refuse("%s did not come to its own end; try again", command);
    return WEXITSTATUS(status);
}

/* ---- Options, in every context ---------------------------------------------------------------------------------- */

/* Every volume counts, but the same text only once: Slurm hands over an option from the environment and from the
 * command line, and on the node, before 24.05, from the launch message and from the environment. */
static int add_volume(char *text)
{
    while (options.stale && options.n_volumes) /* this part says what it wants */
        free(options.volumes[--options.n_volumes]);
    options.stale = false;
    for (size_t i = 0; i < options.n_volumes; i++)
        if (!strcmp(options.volumes[i], text))
            return free(text), 0;
    if (options.n_volumes == VOLUMES_MAX)
        return free(text), refuse("more than %d times --volume; join some with ';'", VOLUMES_MAX);
    options.volumes[options.n_volumes++] = text;
    return 0;
}

/* sbatch and salloc read a part's last words once more for the next part, from the variables that they made of them. */
static int on_option(int is_image, const char *value, UNUSED int remote)
{
    const char *before = options.later ? getenv(is_image ? JOB_OPTION "image" : JOB_OPTION "volume") : NULL;
    char *text;

    if (before && !strcmp(before, value) && !options.replayed[is_image])
        return options.replayed[is_image] = true, 0;
    options.given = true;
    if (asprintf(&text, is_image ? "--image=%s" : "--volume=%s", value) < 0)
        return refuse("out of memory; try again");
    if (!is_image)
        return add_volume(text);
    free(options.image);
    options.image = text;
    options.host = !strcmp(value, "none");
    return 0;
}

static struct spank_option option_table[] = {
    {"image", "REF", "run in this image, docker:NAME[:TAG] or id:DIGEST; 'none': on the host", 1, true, on_option},
    {"volume", "SRC:DST[:FLAG]", "show the host's SRC as DST in the container; FLAG: ro, rw, perNodeCache=size=SIZE", 1,
     false, on_option},
};

/* ---- sbatch, salloc and srun, as the user ----------------------------------------------------------------------- */

/* Slurm puts the options of a job before every Slurm command that runs in it. But a step has the job's container
 * anyway, and an sbatch inside a job is another job: there, only what was typed for this command counts. Outside a job
 * the variables are the user's own words (spank(8), "Options"). */
static void forget_inherited(void)
{
    unsetenv(STEP_REQUEST);
    if (!getenv("SLURM_JOB_ID"))
        return;
    unsetenv(OPTION_VARIABLE "image");
    unsetenv(OPTION_VARIABLE "volume");
    unsetenv(JOB_OPTION "image");
    unsetenv(JOB_OPTION "volume");
    if (spank_context() == S_CTX_ALLOCATOR)
        unsetenv(JOB_REQUEST);
}

/* The canonical JSON of what the options ask for. `COMMAND submit` tells the user itself why it refuses. */
static int make_request(bool for_step, const char **request)
{
    static char json[REQUEST_MAX + 2];
    char *argv[VOLUMES_MAX + 5] = {(char *)command, "submit"}, **next = argv + 2;

    if (options.image)
        *next++ = options.image;
    for (size_t i = 0; i < options.n_volumes; i++)
        *next++ = options.volumes[i];
    if (for_step)
        *next++ = "--step";
    if (run(argv, environ, json, sizeof(json)))
        return -1;
    size_t length = strcspn(json, "\n");
    if (json[0] != '{' || json[length - 1] != '}' || length > REQUEST_MAX || json[length + !!json[length]])
        return refuse("%s submit printed no request; the administrator must repair it", command);
    json[length] = '\0';
    *request = json;
    return 0;
}

/* Slurm calls this for each part of a heterogeneous job, with the options of the parts before it still there. */
static int submit_options(spank_t sp)
{
    bool srun = spank_context() == S_CTX_LOCAL, in_job = srun && getenv("SLURM_JOB_ID");
    const char *request = options.host ? "none" : "";
    static bool had_image;
    static char *first;

    if (options.host && had_image && !srun) /* its steps have the variables of the first part, which ask for an image */
        return refuse("--image=none cannot follow a part with an image; give it to the srun of this part");
    if (options.given && !options.host && make_request(in_job, &request))
        return -1;
    options.later = options.stale = true, options.replayed[0] = options.replayed[1] = false;
    first = first ? first : strdup(request);
    if (srun && first && strcmp(first, request)) /* what its last part says is sent to the nodes of all parts */
        return refuse("the parts of one srun cannot differ in --image or --volume; start an srun for each");
    if (request[0] != '{')
        return 0;
    had_image = true;
    if (in_job ? setenv(STEP_REQUEST, request, 1) : (int)spank_job_control_setenv(sp, "CONTAINER_REQUEST", request, 1))
        return refuse("Slurm does not take the request; try again");
    return 0;
}

/* ---- The node, as root ------------------------------------------------------------------------------------------ */

/* Open jobs/JOB, or jobs/JOB/steps/STEP for a step with a request of its own; NONE if it is not there. No user can have
 * made it: the state directory must be root's alone, and from it on no link is followed. */
static int open_container(void)
{
    struct open_how how = {.flags = O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    char path[4096];
    struct stat st;

    snprintf(path, sizeof(path), "%s/jobs/%u", state, step.job);
    if (lstat(path, &st) && errno == ENOENT) /* all that a job without an image ever pays */
        return NONE;
    int root = open(state, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
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

static bool has(const char *name)
{
    return step.container >= 0 && faccessat(step.container, name, F_OK, 0) == 0;
}

static ssize_t read_file(const char *name, char *text, size_t size)
{
    int fd = openat(step.container, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read_text(fd, text, size);

    if (fd >= 0)
        close(fd);
    return length;
}

/* NAME=VALUE sets a variable, NAME alone unsets it. */
static int apply_record(spank_t sp, char *record)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    size_t name = strspn(record, allowed);
    char *value = record[name] == '=' ? record + name + 1 : NULL;

    if (!name || strchr("0123456789", record[0]) || (record[name] && !value))
        return refuse("the container's environment is malformed" BROKEN_NODE);
    record[name] = '\0';
    if (value ? spank_setenv(sp, record, value, 1) : spank_unsetenv(sp, record))
        return refuse("Slurm does not take %s from the container's environment" BROKEN_NODE, record);
    return 0;
}

static int apply_environment(spank_t sp)
{
    static char records[ENV_MAX + 2];
    ssize_t length = read_file("env", records, sizeof(records));

    if (length < 0)
        return refuse("cannot read the container's environment: %m" BROKEN_NODE);
    if (length > ENV_MAX)
        return refuse("the container's environment is larger than 1 MiB; use an image with a smaller one");
    if (length && records[length - 1])
        return refuse("the container's environment is cut short" BROKEN_NODE);
    for (char *record = records, *next; record < records + length; record = next) {
        next = record + strlen(record) + 1;
        if (apply_record(sp, record))
            return -1;
    }
    return 0;
}

/* `COMMAND step` builds the container of a step, `COMMAND step --end` undoes it. Of the user's environment it gets
 * only the request, and parses that from scratch. */
static int run_step(spank_t sp, char *verb_option)
{
    char id[6][96], *argv[] = {(char *)command, "step", verb_option, NULL};
    char *env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", step.request, id[0], id[1], id[2], id[3], id[4], id[5], NULL};
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
    return run(argv, env, NULL, 0);
}

/* Once a step, before its tasks. A failure of init_post_opt can drain the node, so none is reported: what went wrong
 * is found again in the task. What can be done here is cheaper here: a task would pay for it each time, and Slurm's
 * setenvf() allocates and clears 256 KiB for every variable. */
static int prepare_step(spank_t sp)
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
    step.environment_applied = normal && has("ready") && !apply_environment(sp);
    return 0;
}

/* ---- The task, as root ------------------------------------------------------------------------------------------ */

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

/* Move this task into the mount namespace that the Prolog has pinned. Slurm repeats its chdir() afterwards, inside. */
static int enter(void)
{
    int ns = openat(step.container, "mnt.ns", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (ns < 0)
        return refuse("cannot open the container's namespace: %m" BROKEN_NODE);
    if (setns(ns, CLONE_NEWNS))
        return refuse("cannot enter the container: %m" BROKEN_NODE);
    close(ns);
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
static int start_task(spank_t sp)
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
        return refuse("--image and --volume do not go with --jobid; set SLURM_JOB_ID=%u instead", step.job);
    if (has("ready"))
        return step.environment_applied || !apply_environment(sp) ? enter() : -1;
    if (step.has_request)
        return refuse("the container of step %u.%u was not built" BROKEN_NODE, step.job, step.id);
    if (options.given || spank_getenv(sp, JOB_REQUEST, any, sizeof(any)) != ESPANK_ENV_NOEXIST)
        return refuse("the Prolog did not prepare this node; the administrator must set Prolog and PrologFlags=Alloc");
    return 0;
}

/* ---- What Slurm calls ------------------------------------------------------------------------------------------- */

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
    for (size_t i = 0; i < sizeof(option_table) / sizeof(option_table[0]); i++)
        if (spank_option_register(sp, &option_table[i]))
            return refuse("Slurm does not take the option --%s; is it another plugin's?", option_table[i].name);
    return 0;
}

int slurm_spank_init_post_opt(spank_t sp, UNUSED int ac, UNUSED char *argv[])
{
    return spank_context() == S_CTX_REMOTE ? prepare_step(sp) : submit_options(sp);
}

int slurm_spank_task_init_privileged(spank_t sp, UNUSED int ac, UNUSED char *argv[])
{
    struct timespec begin, end;
    uint32_t task = 0;

    if (!timing)
        return start_task(sp);
    int log = open(timing, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600); /* on the host, still */
    clock_gettime(CLOCK_MONOTONIC, &begin);
    int rc = start_task(sp);
    clock_gettime(CLOCK_MONOTONIC, &end);
    double microseconds = (end.tv_sec - begin.tv_sec) * 1e6 + (end.tv_nsec - begin.tv_nsec) / 1e3;
    if (log >= 0 && !spank_get_item(sp, S_TASK_GLOBAL_ID, &task))
        dprintf(log, "%u %u %u %.1f\n", step.job, step.id, task, microseconds);
    close(log);
    return rc;
}

int slurm_spank_exit(spank_t sp, UNUSED int ac, UNUSED char *argv[])
{
    if (step.has_request && run_step(sp, "--end"))
        slurm_error("spank-container: step %u.%u is not undone; the Epilog tries again", step.job, step.id);
    return 0; /* what is left behind is not the user's fault, and a failure here would fail the job */
}
