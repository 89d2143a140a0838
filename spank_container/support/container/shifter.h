/* shifter.h: what the two parts of the container's `shifter` know of each other. */
#ifndef SHIFTER_H
#define SHIFTER_H

#define _GNU_SOURCE
#include <stdbool.h>

#ifndef FILES
#define FILES "/opt/spank-container/" /* entrypoint, cmd, variables: a NUL ends each word; workdir: a line */
#endif

/* What was asked for. */
extern struct asked {
    bool clear, in_workdir, by_entrypoint;
    const char *workdir, *entrypoint; /* NULL: the image's */
    const char **settings, **files;
    int n_settings, n_files;
} asked;

void refuse(const char *hint, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));
void *needed(void *memory);
char **read_words(const char *path, int end);
void apply_environment(void);

#endif
