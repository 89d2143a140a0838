/*
 * driver.c: plays Slurm's part around the plugin, in the order in which Slurm calls it.
 *
 *   driver SCRIPT OUTPUT
 *
 * The script has one word and its values per line, separated by tabs; read_line() knows the words. What happens goes to
 * OUTPUT as JSON, one object a line. The order is Slurm's: `_opt_args` in sbatch and srun (options from the
 * environment, then from the command line, then init_post_opt, once for each part of a heterogeneous job), and in
 * slurmstepd `spank_init_remote` (options from the launch message, then from the environment, then init_post_opt), a
 * fork for each task with task_init_privileged, and exit.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <slurm/spank.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPTION_PREFIX "_SLURM_SPANK_OPTION_spank_container_"
#define MOST 600
#define LINE (2 * 1024 * 1024)

struct pair {
    char *name, *value;
};

struct list {
    struct pair pairs[MOST];
    int n;
};

static spank_context_t context = S_CTX_ERROR;
static struct list options, script_options, message;
static char *arguments[MOST], *probes[MOST];
static char *job_environment[MOST + 1]; /* NAME=VALUE, as Slurm has it */
static char *job_argv[MOST], **task_argv = job_argv;
static int n_arguments, n_probes, n_argv, parts, fails_item = -1, refuses_option = -1;
static uint32_t job_id, step_id, uid, gid, restarts, tasks = 1, task_id, lacks;
static bool old_release, ambient, in_task;
static struct {
    struct spank_option *option;
    bool found;
    char *value;
} registered[16];
static int n_registered, output;

/* ---- What it says ----------------------------------------------------------------------------------------------- */

static char *quoted(const char *text)
{
    char *result = malloc(6 * strlen(text) + 3), *to = result;

    *to++ = '"';
    for (; *text; text++)
        if (*text == '"' || *text == '\\' || (unsigned char)*text < ' ' || (unsigned char)*text > '~')
            to += sprintf(to, "\\u%04x", (unsigned char)*text);
        else
            *to++ = *text;
    strcpy(to, "\"");
    return result;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    char *line;
    va_list args;

    va_start(args, format);
    int length = vasprintf(&line, format, args);
    va_end(args);
    if (length < 0 || write(output, line, length) != length)
        abort();
    free(line);
}

static int say_call(const char *name, int rc)
{
    say("{\"call\": \"%s\", \"rc\": %d}\n", name, rc);
    return rc;
}

static void say_command(void)
{
    for (char **word = task_argv; *word; word++) {
        char *text = quoted(*word);
        say("{\"word\": %s}\n", text);
        free(text);
    }
}

static char *json_object(const struct list *list)
{
    char *text = strdup("{"), *grown;

    for (int i = 0; i < list->n; i++) {
        char *name = quoted(list->pairs[i].name), *value = quoted(list->pairs[i].value);
        if (asprintf(&grown, "%s%s%s: %s", text, i ? ", " : "", name, value) < 0)
            abort();
        free(name);
        free(value);
        free(text);
        text = grown;
    }
    if (asprintf(&grown, "%s}", text) < 0)
        abort();
    free(text);
    return grown;
}

static void drop(struct list *list, int i)
{
    free(list->pairs[i].name);
    free(list->pairs[i].value);
    list->pairs[i] = list->pairs[--list->n];
}

static void add(struct list *list, const char *name, const char *value)
{
    if (list->n == MOST)
        abort();
    list->pairs[list->n++] = (struct pair){strdup(name), value ? strdup(value) : NULL};
}

/* ---- The environment of the job, as slurmstepd has it --------------------------------------------------------------
 */

/* The place of a variable, or the end. */
static char **place_of(const char *name)
{
    size_t length = strlen(name);
    char **one = job_environment;

    while (*one && (strncmp(*one, name, length) || (*one)[length] != '='))
        one++;
    return one;
}

/* unsetenvp: the others close the gap. */
static void unset(const char *name)
{
    char **one = place_of(name);

    free(*one);
    for (; *one; one++)
        one[0] = one[1];
}

static void set(const char *name, const char *value)
{
    unset(name);
    if (place_of(name) == job_environment + MOST || asprintf(place_of(name), "%s=%s", name, value) < 0)
        abort();
}

static const char *get(const char *name)
{
    const char *found = *place_of(name);

    return found ? found + strlen(name) + 1 : NULL;
}

static void say_job_environment(void)
{
    struct list all = {.n = 0};

    for (char **one = job_environment; *one; one++) {
        char *name = strndup(*one, strcspn(*one, "="));
        add(&all, name, *one + strlen(name) + 1);
        free(name);
    }
    char *text = json_object(&all);
    say("{\"task_environment\": %s}\n", text);
    free(text);
    while (all.n)
        drop(&all, 0);
}

/* ---- Slurm's functions, as the plugin sees them ----------------------------------------------------------------- */

spank_context_t spank_context(void)
{
    return context;
}

spank_err_t spank_option_register(spank_t sp, struct spank_option *option)
{
    (void)sp;
    if (n_registered == refuses_option)
        return ESPANK_BAD_ARG;
    registered[n_registered++].option = option;
    return ESPANK_SUCCESS;
}

spank_err_t spank_get_item(spank_t sp, spank_item_t item, ...)
{
    const uint32_t values[] = {[S_JOB_UID] = uid,
                               [S_JOB_GID] = gid,
                               [S_JOB_ID] = job_id,
                               [S_JOB_STEPID] = step_id,
                               [S_TASK_GLOBAL_ID] = task_id,
                               [S_SLURM_RESTART_COUNT] = restarts};
    va_list args;

    (void)sp;
    if (context != S_CTX_REMOTE || (int)item == fails_item)
        return ESPANK_NOT_REMOTE;
    va_start(args, item);
    if (item == S_JOB_ENV) {
        *va_arg(args, char ***) = job_environment;
    } else if (item == S_JOB_ARGV) {
        *va_arg(args, int *) = n_argv;
        *va_arg(args, char ***) = job_argv;
    } else {
        *va_arg(args, uint32_t *) = values[item];
    }
    va_end(args);
    return ESPANK_SUCCESS;
}

spank_err_t spank_getenv(spank_t sp, const char *name, char *buffer, int size)
{
    const char *value = get(name);

    (void)sp;
    if (context != S_CTX_REMOTE)
        return ESPANK_NOT_REMOTE;
    if (!value)
        return ESPANK_ENV_NOEXIST;
    snprintf(buffer, size, "%s", value);
    return strlen(value) >= (size_t)size ? ESPANK_NOSPACE : ESPANK_SUCCESS;
}

spank_err_t spank_setenv(spank_t sp, const char *name, const char *value, int overwrite)
{
    (void)sp;
    if (context != S_CTX_REMOTE)
        return ESPANK_NOT_REMOTE;
    if (!strcmp(name, "SLURM_REFUSES"))
        return ESPANK_ERROR;
    if (in_task)
        say("{\"set_in_task\": \"%s\"}\n", name);
    if (!overwrite && get(name))
        return ESPANK_ENV_EXISTS;
    set(name, value);
    return ESPANK_SUCCESS;
}

spank_err_t spank_unsetenv(spank_t sp, const char *name)
{
    (void)sp;
    if (context != S_CTX_REMOTE)
        return ESPANK_NOT_REMOTE;
    if (!strcmp(name, "SLURM_STAYS"))
        return ESPANK_ERROR;
    unset(name);
    return ESPANK_SUCCESS;
}

/* From 23.11 on, and in a process of the task's own: nothing of it is ever freed. */
spank_err_t spank_prepend_task_argv(spank_t sp, int argc, const char *argv[])
{
    char **longer = calloc(argc + n_argv + 1, sizeof(char *));

    (void)sp;
    if (!in_task || !longer)
        return ESPANK_NOT_TASK;
    for (int i = 0; i < argc; i++)
        longer[i] = strdup(argv[i]);
    for (int i = 0; i < n_argv; i++)
        longer[argc + i] = task_argv[i];
    task_argv = longer;
    return ESPANK_SUCCESS;
}

spank_err_t spank_job_control_setenv(spank_t sp, const char *name, const char *value, int overwrite)
{
    char *quoted_name = quoted(name), *quoted_value = quoted(value);

    (void)sp;
    (void)overwrite;
    if (context != S_CTX_LOCAL && context != S_CTX_ALLOCATOR)
        return ESPANK_ERROR;
    say("{\"job_control\": %s, \"value\": %s}\n", quoted_name, quoted_value);
    free(quoted_name);
    free(quoted_value);
    return ESPANK_SUCCESS;
}

void slurm_error(const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0) /* Slurm knows %m too */
        abort();
    va_end(args);
    char *json = quoted(text);
    say("{\"error\": %s}\n", json);
    free(json);
    free(text);
}

/* ---- sbatch, salloc and srun ------------------------------------------------------------------------------------ */

/* _do_option_cb: NULL where getopt(3) has found no value. */
static int hand_over(int i, const char *value, int remote)
{
    int rc = registered[i].option->cb(registered[i].option->val, value, remote);

    if (rc)
        return say_call("option", rc);
    if (registered[i].option->has_arg) {
        free(registered[i].value);
        registered[i].value = value ? strdup(value) : NULL;
    }
    registered[i].found = true;
    return 0;
}

/* _opt_env_name: "-" becomes "_". */
static const char *variable(const char *prefix, int i)
{
    static char name[256];

    snprintf(name, sizeof(name), "%s" OPTION_PREFIX "%s", prefix, registered[i].option->name);
    for (char *one = name; *one; one++)
        *one = *one == '-' ? '_' : *one;
    return name;
}

static int option_number(const char *name)
{
    for (int i = 0; i < n_registered; i++)
        if (!strcmp(registered[i].option->name, name))
            return i;
    abort();
}

/* spank_process_env_options: in every part, after the script's options and before the command line's. */
static int process_environment(void)
{
    for (int i = 0; i < n_registered; i++) {
        const char *value = getenv(variable("SLURM_SPANK_", i));
        if (value && hand_over(i, value, 0))
            return -1;
    }
    return 0;
}

/* Those of one part. */
static int hand_over_all(const struct list *list, int part)
{
    for (int i = 0; i < list->n; i++)
        if (*list->pairs[i].name == '0' + part &&
            hand_over(option_number(list->pairs[i].name + 1), list->pairs[i].value, 0))
            return -1;
    return 0;
}

static int submit_part(int part)
{
    if (hand_over_all(&script_options, part) || process_environment() || hand_over_all(&options, part))
        return -1;
    for (int i = 0; i < n_registered; i++) { /* _option_setenv, and sbatch's set_spank_env */
        if (registered[i].found)
            setenv(variable("", i), registered[i].value ?: "", 1);
        if (registered[i].found && context == S_CTX_ALLOCATOR)
            setenv(variable("SLURM_SPANK_", i), registered[i].value ?: "(null)", 1);
    }
    return say_call("init_post_opt", slurm_spank_init_post_opt(NULL, n_arguments, arguments));
}

static void say_environment(void)
{
    struct list all = {.n = 0};

    for (char **one = environ; *one; one++) {
        char *name = strndup(*one, strcspn(*one, "="));
        if (strstr(name, "SLURM"))
            add(&all, name, strchr(*one, '=') + 1);
        free(name);
    }
    char *text = json_object(&all);
    say("{\"environ\": %s}\n", text);
    free(text);
    while (all.n)
        drop(&all, 0);
}

static void play_submission(void)
{
    int rc = say_call("init", slurm_spank_init(NULL, n_arguments, arguments));

    for (int part = 0; !rc && part <= parts; part++)
        rc = submit_part(part);
    say_environment();
    say_call("exit", slurm_spank_exit(NULL, n_arguments, arguments));
}

/* ---- slurmstepd ------------------------------------------------------------------------------------------------- */

static void receive_options(void)
{
    for (int i = 0; i < message.n; i++)
        hand_over(option_number(message.pairs[i].name), message.pairs[i].value, 1);
    for (int i = 0; i < n_registered; i++) {
        const char *value = get(variable("", i));
        if (value &&
            (old_release || !registered[i].found)) /* from 24.05 on, one of the message is not looked up again */
            hand_over(i, value, 1);
        unset(variable("", i));
    }
}

static void say_status(const char *when)
{
    static const char *const wanted[] = {"CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:"};
    char line[256], name[32], value[128];
    FILE *file = fopen("/proc/self/status", "re");

    while (file && fgets(line, sizeof(line), file))
        for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
            if (!strncmp(line, wanted[i], strlen(wanted[i])) && sscanf(line, "%31[^:]: %127s", name, value) == 2)
                say("{\"status\": \"%s\", \"name\": \"%s\", \"value\": \"%s\"}\n", when, name, value);
    if (file)
        fclose(file);
}

static void say_namespace(const char *where)
{
    char target[64] = "";

    if (readlink("/proc/self/ns/mnt", target, sizeof(target) - 1) < 0)
        abort();
    say("{\"namespace\": \"%s\", \"is\": \"%s\"}\n", where, target);
}

/* As a badly set up daemon might hand them down: too many capabilities, or too few. */
static void change_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

    if (!ambient && !lacks)
        return;
    syscall(SYS_capget, &header, sets);
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
        sets[i].inheritable = ambient ? sets[i].permitted : 0;
    if (lacks)
        sets[0].effective &= ~(1u << lacks);
    if (syscall(SYS_capset, &header, sets))
        abort();
    if (ambient && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0))
        abort();
}

static int count_descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void run_task(void)
{
    int before = count_descriptors();

    in_task = true;
    change_capabilities();
    int rc = say_call("task_init_privileged", slurm_spank_task_init_privileged(NULL, n_arguments, arguments));
    say_job_environment();
    say("{\"descriptors\": %d}\n", count_descriptors() - before);
    for (int i = 0; i < n_probes; i++) {
        char *path = quoted(probes[i]);
        say("{\"probe\": %s, \"there\": %s}\n", path, access(probes[i], F_OK) ? "false" : "true");
        free(path);
    }
    say_namespace("task");
    say_status("task");
    if (!rc && uid) { /* what Slurm does next: drop privileges, then for good */
        if (setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
            abort();
        say_status("user");
    }
    if (!rc && !chdir("/"))
        rc = say_call("task_init", slurm_spank_task_init(NULL, n_arguments, arguments));
    say_command();
    char *folder = quoted(getcwd(NULL, 0) ?: "");
    char *launched = quoted(get("SPANK_CONTAINER_ARGV") ?: "");
    say("{\"folder\": %s, \"launched\": %s}\n", folder, launched);
    _exit(rc ? 1 : 0);
}

static void play_step(void)
{
    sigset_t most;
    int status;

    sigfillset(&most); /* slurmstepd blocks INT, TERM, QUIT, TSTP, PIPE, USR1, USR2 and more */
    sigdelset(&most, SIGCHLD);
    sigprocmask(SIG_BLOCK, &most, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (say_call("init", slurm_spank_init(NULL, n_arguments, arguments)))
        return;
    receive_options();
    if (say_call("init_post_opt", slurm_spank_init_post_opt(NULL, n_arguments, arguments)))
        return;
    say_namespace("slurmstepd");
    say_status("slurmstepd");
    for (task_id = 0; task_id < tasks; task_id++) {
        pid_t pid = fork();
        if (pid == 0)
            run_task();
        waitpid(pid, &status, 0);
        say("{\"task\": %u, \"exit\": %d}\n", task_id, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    }
    say_call("exit", slurm_spank_exit(NULL, n_arguments, arguments));
}

/* ---- The script ------------------------------------------------------------------------------------------------- */

static spank_context_t context_number(const char *name)
{
    static const char *const names[] = {"", "srun", "slurmstepd", "sbatch", "slurmd", "job_script"};

    for (int i = 1; i < 6; i++)
        if (!strcmp(names[i], name))
            return i;
    abort();
}

static void set_number(const char *name, const char *value)
{
    const struct {
        const char *name;
        uint32_t *number;
    } known[] = {{"job", &job_id},        {"step", &step_id}, {"uid", &uid},    {"gid", &gid},
                 {"restarts", &restarts}, {"tasks", &tasks},  {"lacks", &lacks}};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (!strcmp(known[i].name, name)) {
            *known[i].number = strtoul(value, NULL, 10);
            return;
        }
    fprintf(stderr, "driver: unknown word %s\n", name);
    abort();
}

/* A script has lines, so a backslash at the end of a word stands for a newline. */
static void add_word(const char *word)
{
    job_argv[n_argv] = strdup(word);
    char *last = strrchr(job_argv[n_argv++], '\\');
    if (last && !last[1])
        *last = '\n';
}

static void read_line(char *line)
{
    char *word = strsep(&line, "\t"), *first = strsep(&line, "\t"), *second = line, part_and_name[64];

    if (!strcmp(word, "context"))
        context = context_number(first);
    else if (!strcmp(word, "argument"))
        arguments[n_arguments++] = strdup(first);
    else if (!strcmp(word, "option") || !strcmp(word, "script_option")) {
        snprintf(part_and_name, sizeof(part_and_name), "%d%s", parts, first);
        add(*word == 'o' ? &options : &script_options, part_and_name, second);
    } else if (!strcmp(word, "part"))
        parts++;
    else if (!strcmp(word, "message"))
        add(&message, first, second);
    else if (!strcmp(word, "variable"))
        setenv(first, second, 1);
    else if (!strcmp(word, "job_variable"))
        set(first, second);
    else if (!strcmp(word, "word"))
        add_word(first);
    else if (!strcmp(word, "probe"))
        probes[n_probes++] = strdup(first);
    else if (!strcmp(word, "old_release"))
        old_release = true;
    else if (!strcmp(word, "ambient"))
        ambient = true;
    else if (!strcmp(word, "fails_item"))
        fails_item = atoi(first);
    else if (!strcmp(word, "refuses_option"))
        refuses_option = atoi(first);
    else
        set_number(word, first);
}

static void free_all(void)
{
    struct list *lists[] = {&options, &script_options, &message};

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        while (lists[i]->n)
            drop(lists[i], 0);
    for (int i = 0; i < n_registered; i++)
        free(registered[i].value);
    while (*job_environment)
        unset(strndupa(*job_environment, strcspn(*job_environment, "=")));
    while (n_argv)
        free(job_argv[--n_argv]);
}

int main(int argc, char **argv)
{
    FILE *script = argc == 3 ? fopen(argv[1], "re") : NULL;
    char *line = malloc(LINE);

    /* High up, out of the way of a test that wants 0, 1 or 2 closed; tasks that have become the user can write it. */
    int low = open(argv[2], O_WRONLY | O_APPEND | O_CLOEXEC);
    output = fcntl(low, F_DUPFD_CLOEXEC, 200);
    close(low);
    while (script && fgets(line, LINE, script)) {
        line[strcspn(line, "\n")] = '\0';
        read_line(line);
    }
    free(line);
    if (script)
        fclose(script);
    if (context == S_CTX_REMOTE)
        play_step();
    else
        play_submission();
    free_all();
    return 0;
}
