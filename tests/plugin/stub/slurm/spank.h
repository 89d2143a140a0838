/*
 * What the plugin uses of Slurm's <slurm/spank.h>, for the tests: the driver plays Slurm's part behind it.
 * test_build.py holds the numbers against the real headers of every release that it finds.
 */
#ifndef SPANK_H
#define SPANK_H

#include <errno.h>

#define SLURM_VERSION_NUM(a, b, c) (((a) << 16) + ((b) << 8) + (c))
#ifndef SLURM_VERSION_NUMBER /* the tests compile the plugin for two releases: its source looks at the number */
#define SLURM_VERSION_NUMBER SLURM_VERSION_NUM(24, 11, 0)
#endif

typedef struct spank_handle *spank_t;
typedef int(spank_f)(spank_t spank, int ac, char *argv[]);

extern spank_f slurm_spank_init;
extern spank_f slurm_spank_init_post_opt;
extern spank_f slurm_spank_task_init_privileged;
extern spank_f slurm_spank_task_init;
extern spank_f slurm_spank_exit;

typedef enum {
    S_JOB_UID = 0,
    S_JOB_GID = 1,
    S_JOB_ID = 2,
    S_JOB_STEPID = 3,
    S_JOB_ARGV = 9,
    S_JOB_ENV = 10,
    S_TASK_GLOBAL_ID = 12,
    S_SLURM_RESTART_COUNT = 29,
} spank_item_t;

#define ESPANK_SUCCESS 0
typedef enum {
    ESPANK_ERROR = 3000,
    ESPANK_BAD_ARG,
    ESPANK_NOT_TASK,
    ESPANK_ENV_EXISTS,
    ESPANK_ENV_NOEXIST,
    ESPANK_NOSPACE,
    ESPANK_NOT_REMOTE,
} spank_err_t;

typedef enum {
    S_CTX_ERROR,
    S_CTX_LOCAL,
    S_CTX_REMOTE,
    S_CTX_ALLOCATOR,
    S_CTX_SLURMD,
    S_CTX_JOB_SCRIPT,
} spank_context_t;

typedef int (*spank_opt_cb_f)(int val, const char *optarg, int remote);

struct spank_option {
    char *name;
    char *arginfo;
    char *usage;
    int has_arg;
    int val;
    spank_opt_cb_f cb;
};

spank_context_t spank_context(void);
spank_err_t spank_option_register(spank_t spank, struct spank_option *opt);
spank_err_t spank_get_item(spank_t spank, spank_item_t item, ...);
spank_err_t spank_getenv(spank_t spank, const char *var, char *buf, int len);
spank_err_t spank_setenv(spank_t spank, const char *var, const char *val, int overwrite);
spank_err_t spank_unsetenv(spank_t spank, const char *var);
spank_err_t spank_prepend_task_argv(spank_t spank, int argc, const char *argv[]);
spank_err_t spank_job_control_setenv(spank_t sp, const char *name, const char *value, int overwrite);

void slurm_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define SPANK_PLUGIN(__name, __ver)                                                                                    \
    const char plugin_name[] = #__name;                                                                                \
    const char plugin_type[] = "spank";                                                                                \
    const unsigned int plugin_version = SLURM_VERSION_NUMBER;                                                          \
    const unsigned int spank_plugin_version = __ver;

#endif
