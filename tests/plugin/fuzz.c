/*
 * fuzz.c: the plugin reads random jobs/1/env files, and must judge each as another parser does.
 *
 *   fuzz STATE SECONDS    prints how many it tried and how many were valid; 2 and the bytes at the first difference
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <slurm/spank.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int errors;
static char *environment[4]; /* of the job: three variables, or fewer */

/* ---- As much of Slurm as that takes ----------------------------------------------------------------------------- */

spank_context_t spank_context(void)
{
    return S_CTX_REMOTE;
}

spank_err_t spank_option_register(spank_t sp, struct spank_option *option)
{
    (void)sp, (void)option;
    return ESPANK_SUCCESS;
}

/* Step 1 of job 1. */
spank_err_t spank_get_item(spank_t sp, spank_item_t item, ...)
{
    va_list args;

    (void)sp;
    va_start(args, item);
    if (item == S_JOB_ENV)
        *va_arg(args, char ***) = environment;
    else
        *va_arg(args, uint32_t *) = 1;
    va_end(args);
    return ESPANK_SUCCESS;
}

spank_err_t spank_getenv(spank_t sp, const char *name, char *buffer, int size)
{
    (void)sp, (void)name, (void)buffer, (void)size;
    return ESPANK_ENV_NOEXIST;
}

/* Reads all of both, for AddressSanitizer to see. */
spank_err_t spank_setenv(spank_t sp, const char *name, const char *value, int overwrite)
{
    (void)sp, (void)overwrite;
    return strlen(name) + strlen(value) ? ESPANK_SUCCESS : ESPANK_ERROR;
}

spank_err_t spank_unsetenv(spank_t sp, const char *name)
{
    size_t length = strlen(name);
    char **one = environment;

    (void)sp;
    while (*one && (strncmp(*one, name, length) || (*one)[length] != '='))
        one++;
    for (; *one; one++)
        one[0] = one[1];
    return length ? ESPANK_SUCCESS : ESPANK_ERROR;
}

/* The words are the records' own: read them all. */
spank_err_t spank_prepend_task_argv(spank_t sp, int argc, const char *argv[])
{
    size_t length = 0;

    (void)sp;
    for (int i = 0; i < argc; i++)
        length += strlen(argv[i]) + 1;
    return length ? ESPANK_SUCCESS : ESPANK_ERROR;
}

spank_err_t spank_job_control_setenv(spank_t sp, const char *name, const char *value, int overwrite)
{
    (void)sp, (void)name, (void)value, (void)overwrite;
    return ESPANK_ERROR;
}

void slurm_error(const char *format, ...)
{
    (void)format;
    errors++;
}

/* ---- Inputs, and the other parser ------------------------------------------------------------------------------- */

static uint64_t random_state = 88172645463325252u;

static uint32_t random_number(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state >> 11) % below;
}

static size_t make_records(char *buffer)
{
    static const char likely[] = "A_z9=\0=B\n \0\xc3-\0+A\0@/\0>\0";
    size_t length = random_number(64);

    for (size_t i = 0; i < length; i++)
        buffer[i] = random_number(12) ? likely[random_number(sizeof(likely))] : (char)random_number(256);
    if (length && random_number(4))
        buffer[length - 1] = '\0';
    return length;
}

/* The rules once more, as a state machine rather than with the library's string functions. */
static bool is_valid(const char *buffer, size_t length)
{
    enum { BEGIN, NAME, ANY, SOME, SLASH, NOTHING } expected = BEGIN;

    for (size_t i = 0; i < length; i++) {
        char c = buffer[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_', digit = c >= '0' && c <= '9';
        if (c == '\0') {
            if (expected == BEGIN || expected == SOME || expected == SLASH)
                return false;
            expected = BEGIN;
        } else if (expected == BEGIN) {
            expected = letter ? NAME : c == '>' ? ANY : c == '+' ? SOME : c == '@' ? SLASH : NOTHING;
            if (expected == NOTHING && c != '-')
                return false;
        } else if (expected == NAME) {
            if (c != '=' && !letter && !digit)
                return false;
            expected = c == '=' ? ANY : NAME;
        } else if (expected == NOTHING || (expected == SLASH && c != '/')) {
            return false;
        } else {
            expected = ANY;
        }
    }
    return expected == BEGIN;
}

int main(int argc, char **argv)
{
    char path[4096], argument[4096], buffer[64];
    char *args[] = {argument};
    long rounds = 0, valid = 0;

    if (argc != 3)
        return 1;
    time_t end = time(NULL) + atoi(argv[2]);
    snprintf(argument, sizeof(argument), "state=%s", argv[1]);
    snprintf(path, sizeof(path), "%s/jobs/1/env", argv[1]);
    if (slurm_spank_init(NULL, 1, args))
        return 1;
    for (; time(NULL) < end; rounds++) {
        size_t length = make_records(buffer);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0 || write(fd, buffer, length) != (ssize_t)length)
            return 1;
        close(fd);
        errors = 0;
        memcpy(environment, (char *[]){"A_z=1", "B=2", "9", NULL}, sizeof(environment));
        slurm_spank_init_post_opt(NULL, 1, args);
        close(fd + 1); /* the container's directory, which the plugin keeps open for as long as slurmstepd lives */
        if ((errors == 0) != is_valid(buffer, length)) {
            fwrite(buffer, 1, length, stdout);
            return 2;
        }
        valid += errors == 0;
    }
    printf("%ld %ld\n", rounds, valid);
    return 0;
}
