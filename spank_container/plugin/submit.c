/*
 * submit.c: the options, and what becomes of them in sbatch, salloc and srun, as the user.
 *
 * It gives every option that was said to `COMMAND submit`, in the order in which Slurm hands them over; what they mean,
 * and which of two wins, is decided there.
 */
#include "spank_container.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    WORDS_MAX = 512,
    OUTPUT_MAX = REQUEST_MAX + 8 * 1024, /* of `COMMAND submit`: the request, and a few variables */
};

#define OPTION_VARIABLE "_SLURM_SPANK_OPTION_spank_container_" /* how Slurm names an option's variable */
#define JOB_OPTION "SLURM_SPANK_" OPTION_VARIABLE              /* and how in the environment of a job */

struct options options;

static int on_option(int which, const char *value, int remote);

/* In the order of --help. The third from last: 0 no value, 1 a value, 2 perhaps a value; then the place in the table.
 */
enum { IMAGE, VOLUME, WRITABLE, ENV, ENV_FILE, CLEARENV, WORKDIR, ENTRYPOINT, N_OPTIONS };
static struct spank_option table[N_OPTIONS] = {
    {"image", "REF", "run in this image, docker:NAME[:TAG] or id:DIGEST; 'none': on the host", 1, IMAGE, on_option},
    {"volume", "SRC:DST[:FLAG]", "show the host's SRC as DST in the container; FLAG: ro, rw, perNodeCache=size=SIZE", 1,
     VOLUME, on_option},
    {"image-writable", "[SIZE|/DIR]", "let the image's files be changed, in memory or in the cache at DIR", 2, WRITABLE,
     on_option},
    {"image-env", "NAME=VALUE", "set a variable in the container", 1, ENV, on_option},
    {"image-env-file", "FILE", "set the variables that FILE has, NAME=VALUE in each line", 1, ENV_FILE, on_option},
    {"image-clearenv", NULL, "keep nothing of the job's environment but what Slurm, MPI and the GPUs need", 0, CLEARENV,
     on_option},
    {"image-workdir", "[DIR]", "start in DIR, or in the image's own folder", 2, WORKDIR, on_option},
    {"image-entrypoint", "[CMD]", "put CMD before the command, or the image's own ENTRYPOINT", 2, ENTRYPOINT,
     on_option},
};

/* What was said, as the words that `COMMAND submit` takes. */
static struct {
    int which;
    char *text; /* --NAME or --NAME=VALUE */
} words[WORDS_MAX];
static size_t n_words;

/* Of a heterogeneous job's later part: its words are the part's before; the last of them was read again. */
static bool later, stale[N_OPTIONS], replayed[N_OPTIONS];

static void remove_word(size_t i)
{
    free(words[i].text);
    memmove(&words[i], &words[i + 1], (--n_words - i) * sizeof(words[0]));
}

/* The same text counts once, the last time: Slurm hands over an option from the environment and from the command line.
 */
static int add_word(int which, const char *value)
{
    bool bare = !*value && table[which].has_arg != 1;
    char *text;

    if (asprintf(&text, "--%s%s%s", table[which].name, bare ? "" : "=", value) < 0)
        return refuse("out of memory; try again");
    for (size_t i = n_words; i-- > 0;)
        if (words[i].which == which && (stale[which] || !strcmp(words[i].text, text)))
            remove_word(i);
    stale[which] = false; /* this part says what it wants */
    if (n_words == WORDS_MAX)
        return free(text), refuse("more than %d options for the container; join volumes with ';', or put variables "
                                  "into a file for --image-env-file",
                                  WORDS_MAX);
    words[n_words].which = which;
    words[n_words++].text = text;
    return 0;
}

/* The variable that Slurm makes of an option: what is neither letter nor digit becomes '_' (plugstack.c, spank.c). */
static const char *variable(const char *prefix, int which)
{
    static char name[128];

    snprintf(name, sizeof(name), "%s%s", prefix, table[which].name);
    for (char *dash = name; (dash = strchr(dash, '-'));)
        *dash = '_';
    return name;
}

/* Where an option has no value, Slurm gives NULL, "" or, in a job's environment, "(null)". */
static const char *plain(const char *value)
{
    return value && strcmp(value, "(null)") ? value : "";
}

/* sbatch and salloc read a part's last words once more for the next part, from the variables that they made of them. */
static int on_option(int which, const char *value, int remote)
{
    const char *before = later ? getenv(variable(JOB_OPTION, which)) : NULL;

    value = plain(value);
    if (before && !strcmp(plain(before), value) && !replayed[which])
        return replayed[which] = true, 0;
    options.given = true;
    if (which == IMAGE)
        options.host = !strcmp(value, "none");
    return remote ? 0 : add_word(which, value); /* the node has what came of the words */
}

int register_options(spank_t sp)
{
    for (int i = 0; i < N_OPTIONS; i++)
        if (spank_option_register(sp, &table[i]))
            return refuse("Slurm does not take the option --%s; is it another plugin's?", table[i].name);
    return 0;
}

/* Slurm puts the options of a job before every Slurm command that runs in it. But a step has the job's container
 * anyway, and an sbatch inside a job is another job: there, only what was typed for this command counts. Outside a job
 * the variables are the user's own words (spank(8), "Options"). */
void forget_inherited(void)
{
    static const char *const of_a_job[] = {JOB_REQUEST, "SLURM_SPANK_SHIFTER_IMAGE", "SLURM_SPANK_SHIFTER_IMAGEREQUEST",
                                           "SLURM_SPANK_SHIFTER_IMAGETYPE"};

    unsetenv(STEP_REQUEST);
    if (!getenv("SLURM_JOB_ID"))
        return;
    for (int i = 0; i < N_OPTIONS; i++) {
        unsetenv(variable(OPTION_VARIABLE, i));
        unsetenv(variable(JOB_OPTION, i));
    }
    for (size_t i = 0; spank_context() == S_CTX_ALLOCATOR && i < sizeof(of_a_job) / sizeof(of_a_job[0]); i++)
        unsetenv(of_a_job[i]);
}

/* Run `COMMAND submit -` with the words in its environment: everybody can read a command line in /proc, and what stands
 * in a script may be for nobody's eyes. */
static int run_submit(bool for_step, char *text, size_t size)
{
    static const char own[] = "SPANK_CONTAINER_WORD";
    char *argv[] = {(char *)command, "submit", "-", for_step ? "--step" : NULL, NULL};
    size_t theirs = 0, ours = 0;

    while (environ && environ[theirs])
        theirs++;
    char **env = calloc(1 + n_words + theirs + 1, sizeof(env[0]));
    bool whole = env && asprintf(&env[ours++], "%sS=%zu", own, n_words) > 0;
    for (size_t i = 0; i < n_words && whole; i++)
        whole = asprintf(&env[ours++], "%s_%zu=%s", own, i, words[i].text) > 0;
    if (!whole)
        return refuse("out of memory; try again");
    for (size_t i = 0, n = ours; i < theirs; i++)
        if (strncmp(environ[i], own, strlen(own)))
            env[n++] = environ[i];
    int rc = run_command(argv, env, text, size);
    while (ours--)
        free(env[ours]);
    free(env);
    return rc;
}

/* `COMMAND submit` tells the user itself why it refuses. It prints the canonical JSON of what the options ask for, and
 * then lines NAME=VALUE for the job. */
static int make_request(bool for_step, char **request, char **variables)
{
    static char text[OUTPUT_MAX + 2];

    if (run_submit(for_step, text, sizeof(text)))
        return -1;
    size_t all = strlen(text), length = strcspn(text, "\n");
    *request = *variables = text;
    strsep(variables, "\n");
    if (text[0] != '{' || text[length - 1] != '}' || length > REQUEST_MAX || all > OUTPUT_MAX)
        return refuse("%s submit printed no request; the administrator must repair it", command);
    return 0;
}

/* Lines NAME=VALUE: what the job then has as SLURM_SPANK_NAME, and its Prolog as SPANK_NAME. */
static int give_variables(spank_t sp, char *lines)
{
    for (char *line; (line = strsep(&lines, "\n")) && (*line || lines);) {
        size_t name = strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");
        if (!name || line[name] != '=')
            return refuse("%s submit printed more than a request; the administrator must repair it", command);
        line[name] = '\0';
        if (spank_job_control_setenv(sp, line, line + name + 1, 1))
            return refuse("Slurm does not take %s; try again", line);
    }
    return 0;
}

/* Slurm calls this for each part of a heterogeneous job, with the options of the parts before it still there. */
int submit_options(spank_t sp)
{
    bool srun = spank_context() == S_CTX_LOCAL, in_job = srun && getenv("SLURM_JOB_ID");
    char *request = options.host ? "none" : "", *variables = NULL;
    static bool had_image;
    static char *first;

    if (options.host && had_image && !srun) /* its steps have the variables of the first part, which ask for an image */
        return refuse("--image=none cannot follow a part with an image; give it to the srun of this part");
    if (options.given && !options.host && make_request(in_job, &request, &variables))
        return -1;
    later = true;
    memset(stale, true, sizeof(stale));
    memset(replayed, false, sizeof(replayed));
    first = first ? first : strdup(request);
    if (srun && first && strcmp(first, request)) /* what its last part says is sent to the nodes of all parts */
        return refuse("the parts of one srun cannot differ in --image, --volume and their kin; start an srun for each");
    if (request[0] != '{')
        return 0;
    had_image = true;
    if (in_job ? setenv(STEP_REQUEST, request, 1) : (int)spank_job_control_setenv(sp, "CONTAINER_REQUEST", request, 1))
        return refuse("Slurm does not take the request; try again");
    return give_variables(sp, variables);
}
