/* environment.c: the variables of the command that `shifter` executes. */
#include "shifter.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The beginnings of the names that belong to Slurm, to MPI and to the choice of GPUs, from values/variables.py. */
static const char *const kept[] = {KEPT};

static bool is_kept(const char *name)
{
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        if (!strncmp(name, kept[i], strlen(kept[i])))
            return true;
    return false;
}

static void clear_variables(void)
{
    char **others = environ;

    for (char **one = environ; *one; one++)
        if (is_kept(*one))
            *others++ = *one;
    *others = NULL;
}

static void set_variable(const char *where, const char *setting)
{
    size_t length = strspn(setting, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
    int shown = strcspn(setting, "="); /* a value may be a secret */

    if (setting[length] != '=')
        refuse("write NAME=VALUE; a name has letters, digits and _", "%s: this sets no variable: %.*s", where, shown,
               setting);
    if (!length || isdigit((unsigned char)setting[0]))
        refuse("letters, digits and _, and no digit at the beginning", "%s: this is no name: %.*s", where, shown,
               setting);
    char *name = needed(strndup(setting, length));
    if (is_kept(name))
        refuse("leave it out", "%s: %s is not for you to set", where, name);
    if (setenv(name, setting + length + 1, 1))
        refuse("try again", "%s: %s", where, strerror(errno));
    free(name);
}

/* Blank lines and comments are passed over, and quotes are part of a value, as with Shifter. */
static void set_variables(const char *path)
{
    FILE *file = fopen(path, "re");
    char *line = NULL, where[4200];
    size_t size = 0;
    int number = 0;

    if (!file)
        refuse("name a file that the container has", "--env-file: %s: %s", path, strerror(errno));
    while (getline(&line, &size, file) > 0) {
        line[strcspn(line, "\r\n")] = '\0';
        char *setting = line + strspn(line, " \t");
        snprintf(where, sizeof(where), "--env-file: %s, line %d", path, ++number);
        if (*setting && *setting != '#')
            set_variable(where, setting);
    }
    if (ferror(file))
        refuse("name a file that can be read", "--env-file: %s: %s", path, strerror(errno));
    fclose(file);
    free(line);
}

/* Shifter's order: what is there, or the image's own; then the files; then --env. */
void apply_environment(void)
{
    if (asked.clear) {
        char **settings = read_words(FILES "variables", '\0');
        clear_variables();
        while (*settings)
            putenv(*settings++);
    }
    for (int i = 0; i < asked.n_files; i++)
        set_variables(asked.files[i]);
    for (int i = 0; i < asked.n_settings; i++)
        set_variable("--env", asked.settings[i]);
}
