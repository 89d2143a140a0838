/*
 * shifter.c: `shifter [OPTION...] [CMD [ARGUMENT...]]` in the container. This is the container already, so all that it
 * does is to set variables, to go to a folder, and to execute CMD: `srun shifter CMD` works as it did with Shifter.
 *
 * A static program, since an image may have another C library or none, and no shell. `spank-container install` compiles
 * it. It has no privileges, and reads nothing but what the Prolog has written into the container for it.
 *
 * Before Slurm 23.11 the plugin lets it be executed in the place of a task's command: see launch().
 */
#include "shifter.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LAUNCHED "SPANK_CONTAINER_ARGV"

enum { REFUSED = 1, NOT_EXECUTABLE = 126, NOT_FOUND = 127 }; /* Shifter's, and a shell's */

struct asked asked;

static const char help[] = "usage: shifter [OPTION...] [CMD [ARGUMENT...]]\n"
                           "Execute CMD, or a shell, in the container that this is already.\n\n"
                           "  -e, --env=NAME=VALUE        set a variable; may be repeated\n"
                           "      --env-file=FILE         set the variables in FILE: lines of NAME=VALUE\n"
                           "  -E, --clearenv              keep of the environment only the image's own, and\n"
                           "                              what Slurm, MPI and the GPUs need\n"
                           "  -w, --workdir[=DIR]         start in DIR, or in the image's own folder\n"
                           "      --entrypoint[=PROGRAM]  put PROGRAM, or the image's own, before CMD;\n"
                           "                              also --entry\n"
                           "  -h, --help                  this text\n"
                           "      --version               the version\n\n"
                           "--image and --volume are options of sbatch, salloc and srun. -m, -n and -v are\n"
                           "Shifter's, and do nothing here.\n";

void refuse(const char *hint, const char *format, ...)
{
    va_list values;

    va_start(values, format);
    fputs("spank-container: shifter: ", stderr);
    vfprintf(stderr, format, values);
    fprintf(stderr, "\nhint: %s\n", hint);
    va_end(values);
    exit(REFUSED);
}

void *needed(void *memory)
{
    if (!memory)
        refuse("try again", "out of memory");
    return memory;
}

__attribute__((noreturn)) static void execute(char **words)
{
    execvp(words[0], words);
    int status = errno == ENOENT || errno == ENOTDIR ? NOT_FOUND : NOT_EXECUTABLE;
    fprintf(stderr, "shifter: %s: %s\n", words[0], strerror(errno));
    exit(status);
}

static char **join(char **first, char **second)
{
    size_t n = 0, m = 0;

    while (first[n])
        n++;
    while (second[m])
        m++;
    char **words = needed(calloc(n + m + 1, sizeof(char *)));
    memcpy(words, first, n * sizeof(char *));
    memcpy(words + n, second, m * sizeof(char *));
    return words;
}

/* ---- For the plugin --------------------------------------------------------------------------------------------- */

/* The variable has the words to execute before our own arguments, each as LENGTH:BYTES. */
static void launch(char **arguments)
{
    char *list = getenv(LAUNCHED), *words[512] = {NULL}, *colon;
    size_t n = 0;

    if (!list)
        return;
    list = needed(strdup(list));
    unsetenv(LAUNCHED);
    while (*list) {
        size_t length = strtoul(list, &colon, 10);
        if (*colon != ':' || length > strlen(colon + 1) || n == sizeof(words) / sizeof(words[0]) - 1)
            break;
        words[n++] = needed(strndup(colon + 1, length));
        list = colon + 1 + length;
    }
    if (*list || !n)
        refuse("only the plugin sets it", "%s is malformed", LAUNCHED);
    execute(join(words, arguments));
}

/* ---- Files of the container ------------------------------------------------------------------------------------- */

/* The words of a file; none where there is no file. */
char **read_words(const char *path, int end)
{
    char **words = needed(calloc(1, sizeof(char *))), *word = NULL;
    FILE *file = fopen(path, "re");
    size_t size = 0;
    ssize_t length;

    for (size_t n = 0; file && (length = getdelim(&word, &size, end, file)) > 0; n++) {
        if (word[length - 1] == end)
            word[length - 1] = '\0';
        words = needed(realloc(words, (n + 2) * sizeof(char *)));
        words[n] = needed(strdup(word));
        words[n + 1] = NULL;
    }
    if (file)
        fclose(file);
    free(word);
    return words;
}

/* ---- Folder and command ----------------------------------------------------------------------------------------- */

static void change_folder(void)
{
    const char *folder = asked.workdir;

    if (!folder)
        folder = read_words(FILES "workdir", '\n')[0];
    if (!folder || !*folder)
        refuse("name one: --workdir=DIR", "No workdir specified on command line or in image definition.");
    if (chdir(folder))
        refuse("name another", "--workdir: %s: %s", folder, strerror(errno));
}

/* As Docker combines them: an entrypoint is given CMD, or what the image says in its place; our own says all itself. */
static char **with_entrypoint(char **words)
{
    if (asked.entrypoint)
        return join((char *[]){(char *)asked.entrypoint, NULL}, words);
    char **entrypoint = read_words(FILES "entrypoint", '\0');
    if (!*entrypoint)
        refuse("name one: --entrypoint=PROGRAM", "Image does not have a defined entrypoint.");
    return join(entrypoint, *words ? words : read_words(FILES "cmd", '\0'));
}

/* The user's shell on the host need not be in the image. */
static char **shell(void)
{
    static char *words[2];
    char *users = getenv("SHELL");

    words[0] = users && !access(users, X_OK) ? users : "/bin/sh";
    return words;
}

/* ---- Options ---------------------------------------------------------------------------------------------------- */

enum { ENV_FILE = 256, ENTRYPOINT, VERSION_OPTION };

static const struct option options[] = {
    {"help", no_argument, NULL, 'h'},
    {"verbose", no_argument, NULL, 'v'},
    {"version", no_argument, NULL, VERSION_OPTION},
    {"image", required_argument, NULL, 'i'},
    {"volume", required_argument, NULL, 'V'},
    {"workdir", optional_argument, NULL, 'w'},
    {"entrypoint", optional_argument, NULL, ENTRYPOINT},
    {"entry", optional_argument, NULL, ENTRYPOINT},
    {"module", required_argument, NULL, 'm'},
    {"env", required_argument, NULL, 'e'},
    {"env-file", required_argument, NULL, ENV_FILE},
    {"clearenv", no_argument, NULL, 'E'},
    {NULL, 0, NULL, 0},
};

__attribute__((noreturn)) static void show(const char *text)
{
    fputs(text, stdout);
    exit(fclose(stdout) ? REFUSED : 0);
}

static void read_option(int letter, char *word)
{
    switch (letter) {
    case 'e':
        asked.settings[asked.n_settings++] = optarg;
        break;
    case ENV_FILE:
        asked.files[asked.n_files++] = optarg;
        break;
    case 'E':
        asked.clear = true;
        break;
    case 'w':
        asked.in_workdir = true;
        asked.workdir = optarg;
        break;
    case ENTRYPOINT:
        asked.by_entrypoint = true;
        asked.entrypoint = optarg;
        break;
    case 'm':
        fprintf(stderr, "shifter: --module=%s does nothing: the site decides what is added to the container\n", optarg);
        break;
    case 'n':
    case 'v':
        break;
    case 'h':
        show(help);
    case VERSION_OPTION:
        show("shifter of spank-container " VERSION "\n");
    case 'i':
    case 'V':
        refuse("give --image and --volume to sbatch, salloc or srun", "%s: this is the container already", word);
    case ':':
        refuse("shifter --help", "%s needs a value", word);
    default:
        refuse("shifter --help", "there is no option %s in the container", word);
    }
}

int main(int argc, char **argv)
{
    int letter, place = 1;

    launch(argv + 1);
    asked.settings = needed(calloc(argc, sizeof(char *)));
    asked.files = needed(calloc(argc, sizeof(char *)));
    /* +: options end at the first word that is none, as with Shifter; a colon after it: what is wrong is told here. */
    while ((letter = getopt_long(argc, argv, "+:hvi:V:w::e:Em:n", options, NULL)) != -1) {
        read_option(letter, argv[place]);
        place = optind;
    }
    apply_environment();
    if (asked.in_workdir)
        change_folder();
    argv += optind;
    execute(asked.by_entrypoint ? with_entrypoint(argv) : *argv ? argv : shell());
}
