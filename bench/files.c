/*
 * files.c: small files, as programs and builds have them.
 *
 *   files ROUNDS COUNT FOLDER...      for each round and FOLDER prints seconds: "INDEX CREATE STAT READ REMOVE SYNC"
 *
 * COUNT files of 4 KiB in folders of a hundred are created, looked at, read and removed, with their folders; and a
 * twentieth as many are created and brought to disk one by one. The folders take turns, backwards in every other round.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { EACH = 100, SIZE = 4096 };

static char content[SIZE];

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + time.tv_nsec / 1e9;
}

static const char *file(int number)
{
    static char path[64];

    snprintf(path, sizeof(path), "bench-%d/%d", number / EACH, number);
    return path;
}

static const char *folder(int number)
{
    static char path[64];

    snprintf(path, sizeof(path), "bench-%d", number / EACH);
    return path;
}

static void create(int number, int sync)
{
    if (number % EACH == 0 && mkdir(folder(number), 0700))
        err(1, "mkdir %s", folder(number));
    int opened = open(file(number), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (opened < 0 || write(opened, content, SIZE) != SIZE || (sync && fsync(opened)) || close(opened))
        err(1, "creating %s", file(number));
}

static void look(int number, int unused)
{
    struct stat status;

    (void)unused;
    if (stat(file(number), &status) || status.st_size != SIZE)
        err(1, "stat %s", file(number));
}

static void readit(int number, int unused)
{
    (void)unused;
    int opened = open(file(number), O_RDONLY | O_CLOEXEC);
    if (opened < 0 || read(opened, content, SIZE) != SIZE || close(opened))
        err(1, "reading %s", file(number));
}

static void discard(int number, int last)
{
    if (unlink(file(number)) || ((number % EACH == EACH - 1 || number == last) && rmdir(folder(number))))
        err(1, "removing %s", file(number));
}

static void all(void (*what)(int, int), int count, int argument)
{
    double begun = now();

    for (int number = 0; number < count; number++)
        what(number, argument);
    printf(" %.6f", now() - begun);
}

static void all_of_it(int count)
{
    all(create, count, 0);
    all(look, count, 0);
    all(readit, count, 0);
    all(discard, count, count - 1);
    all(create, count / 20, 1);
    for (int number = 0; number < count / 20; number++)
        discard(number, count / 20 - 1);
}

int main(int argc, char *argv[])
{
    if (argc < 4 || atoi(argv[2]) < 20)
        errx(64, "usage: files ROUNDS COUNT FOLDER..., COUNT at least 20");
    memset(content, 'x', SIZE);
    for (int round = 0; round < atoi(argv[1]); round++) {
        for (int turn = 3; turn < argc; turn++) {
            int index = round % 2 ? argc + 2 - turn : turn;
            if (chdir(argv[index]))
                err(1, "%s", argv[index]);
            printf("%d", index - 3);
            all_of_it(atoi(argv[2]));
            printf("\n");
        }
    }
    return 0;
}
