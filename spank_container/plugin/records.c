/*
 * records.c: jobs/JOB/env, which Python has written and root alone can have touched. NUL-terminated, in order:
 *
 *   NAME=VALUE  NAME    set a variable; unset it
 *   +PREFIX     -       remember what to keep; unset every variable that begins with none of these
 *   @/DIR               start in this folder of the container
 *   >WORD               put WORD before the task's command; several in this order
 *
 * Variables change once a step, before its tasks; folder and words are the task's own, when it is in the container.
 */
#include "spank_container.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ENV_MAX = 1024 * 1024 };

static char records[ENV_MAX + 2], *end = records;

static char *next(char *record)
{
    return record + strlen(record) + 1;
}

static bool is_kept(const char *variable, const char *before)
{
    for (char *record = records; record < before; record = next(record))
        if (record[0] == '+' && !strncmp(variable, record + 1, strlen(record + 1)))
            return true;
    return false;
}

static int set_variable(spank_t sp, char *record)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    size_t name = strspn(record, allowed);
    char *value = record[name] == '=' ? record + name + 1 : NULL;

    if (!name || strchr("0123456789", record[0]) || (record[name] && !value))
        return refuse("the container's environment is malformed" BROKEN_NODE);
    record[name] = '\0';
    int rc = value ? spank_setenv(sp, record, value, 1) : spank_unsetenv(sp, record);
    if (rc)
        return refuse("Slurm does not take %s from the container's environment" BROKEN_NODE, record);
    if (value)
        record[name] = '='; /* apply_to_task() walks over all records once more */
    return 0;
}

/* Slurm's unsetenvp() closes the gap in its array, so the next variable comes to the place of the one that goes. */
static int unset_others(spank_t sp, const char *here)
{
    char **variable = NULL, *name;

    if (spank_get_item(sp, S_JOB_ENV, &variable))
        return refuse("Slurm does not tell the job's environment" BROKEN_NODE);
    while (variable && *variable) {
        char *equals = strchr(*variable, '=');
        if (!equals || is_kept(*variable, here)) {
            variable++;
            continue;
        }
        if (!(name = strndup(*variable, equals - *variable)) || spank_unsetenv(sp, name))
            return free(name), refuse("Slurm does not clear the job's environment" BROKEN_NODE);
        free(name);
    }
    return 0;
}

static int apply_record(spank_t sp, char *record)
{
    char kind = record[0];

    if ((kind == '+' && record[1]) || (kind == '@' && record[1] == '/') || kind == '>')
        return 0;
    return kind == '-' && !record[1] ? unset_others(sp, record) : set_variable(sp, record);
}

/* What of it is the whole step's. */
int apply_environment(spank_t sp)
{
    ssize_t length = read_file("env", records, sizeof(records));

    end = records;
    if (length < 0)
        return refuse("cannot read the container's environment: %m" BROKEN_NODE);
    if (length > ENV_MAX)
        return refuse("the container's environment is larger than 1 MiB; use an image with a smaller one");
    if (length && records[length - 1])
        return refuse("the container's environment is cut short" BROKEN_NODE);
    for (char *record = records; record < records + length; record = next(record))
        if (apply_record(sp, record))
            return -1;
    end = records + length;
    return 0;
}

#if SLURM_VERSION_NUMBER >= SLURM_VERSION_NUM(23, 11, 0)

static int prepend(spank_t sp, int n, const char *said[])
{
    if (spank_prepend_task_argv(sp, n, said))
        return refuse("Slurm does not take the entrypoint" BROKEN_NODE);
    return 0;
}

#else

/* Before 23.11 the words of a command can be exchanged, but none added: S_JOB_ARGV is the array that execve(2) gets
 * (slurmstepd/task.c:520), as long as it was, in a process of the task's own that will free nothing of it. So the
 * `shifter` of the container goes into the place of the command, and finds in a variable what to run instead of itself:
 * the words, each as LENGTH:BYTES. With --multi-prog a task has another array (slurmstepd_job.c:185), out of reach. */
#define LAUNCHER "/opt/spank-container/bin/shifter"
#define LAUNCHED "SPANK_CONTAINER_ARGV"

static int prepend(spank_t sp, int n, const char *said[])
{
    char **argv = NULL, *text = NULL;
    size_t size;
    int argc = 0;

    if (spank_get_item(sp, S_JOB_ARGV, &argc, &argv) || argc < 1)
        return refuse("Slurm does not tell the task's command" BROKEN_NODE);
    const char *list_of_programs = argc > 1 ? argv[1] + strspn(argv[1], " \t\n") : "";
    if (strchr("0123456789*#", *list_of_programs) && strchr(list_of_programs, '\n'))
        return refuse("--image-entrypoint does not go with --multi-prog before Slurm 23.11; start an srun for each");
    FILE *list = open_memstream(&text, &size);
    for (int i = 0; list && i < n; i++)
        fprintf(list, "%zu:%s", strlen(said[i]), said[i]);
    if (!list || fprintf(list, "%zu:%s", strlen(argv[0]), argv[0]) < 0 || fclose(list))
        return refuse("out of memory; try again");
    int rc = spank_setenv(sp, LAUNCHED, text, 1);
    free(text);
    if (rc)
        return refuse("Slurm does not take the entrypoint" BROKEN_NODE);
    argv[0] = LAUNCHER;
    return 0;
}

#endif

/* What of it is this task's: as the user, in the container, after Slurm went to the job's folder. */
int apply_to_task(spank_t sp)
{
    int n = 0;

    for (char *record = records; record < end; record = next(record)) {
        if (record[0] == '@' && chdir(record + 1))
            return refuse("cannot go to the folder %s in the container: %m; give another to --image-workdir",
                          record + 1);
        n += record[0] == '>';
    }
    if (!n)
        return 0;
    const char **said = calloc(n, sizeof(said[0])), **one = said;
    if (!said)
        return refuse("out of memory; try again");
    for (char *record = records; record < end; record = next(record))
        if (record[0] == '>')
            *one++ = record + 1;
    int rc = prepend(sp, n, said);
    free(said);
    return rc;
}
