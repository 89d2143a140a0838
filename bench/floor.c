/*
 * floor.c: what entering a container costs the kernel alone. For each of COUNT children, the microseconds of
 * open(2) + setns(2) into the pinned namespace NS, and of these with the execve(2) of PROGRAM in it.
 *
 *   floor NS COUNT PROGRAM      prints "ENTERED EXECUTED" for each child
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

int main(int argc, char *argv[])
{
    static double begun, entered; /* a vfork(2) child writes to its parent's memory */
    char *const program[] = {argc == 4 ? argv[3] : NULL, NULL};
    int status;

    if (argc != 4)
        errx(64, "usage: floor NS COUNT PROGRAM");
    for (int left = atoi(argv[2]); left > 0; left--) {
        /* The parent goes on when the child has executed the program. */
        pid_t pid = vfork();
        if (pid == 0) {
            begun = now();
            int ns = open(argv[1], O_RDONLY | O_CLOEXEC);
            if (ns < 0 || setns(ns, CLONE_NEWNS))
                _exit(71);
            entered = now();
            execv(program[0], program);
            _exit(72);
        }
        double executed = now();
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
            errx(1, "a child ended with wait status %d", status);
        printf("%.1f %.1f\n", entered - begun, executed - begun);
    }
    return 0;
}
