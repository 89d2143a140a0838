/*
 * floor.c: what entering a container costs the kernel alone.
 *
 *   floor NS COUNT PROGRAM      for each of COUNT children prints "SETNS CONFINE EXECVE", in microseconds:
 *
 * open(2) and setns(2) of the pinned namespace NS; emptying the capability bounding set, for which the kernel wants one
 * prctl(2) for each capability; and execve(2) of PROGRAM, until its image has replaced the child's.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
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
    static double begun, entered, confined; /* a vfork(2) child writes to its parent's memory */
    char *const program[] = {argc == 4 ? argv[3] : NULL, NULL};
    int status;

    if (argc != 4)
        errx(64, "usage: floor NS COUNT PROGRAM");
    for (int left = atoi(argv[2]); left > 0; left--) {
        pid_t pid = vfork(); /* the parent goes on when the child has executed the program */
        if (pid == 0) {
            begun = now();
            int ns = open(argv[1], O_RDONLY | O_CLOEXEC);
            if (ns < 0 || setns(ns, CLONE_NEWNS))
                _exit(71);
            entered = now();
            for (int cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
                ;
            confined = now();
            execv(program[0], program);
            _exit(72);
        }
        double executed = now();
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
            errx(1, "a child ended with wait status %d", status);
        printf("%.1f %.1f %.1f\n", entered - begun, confined - entered, executed - confined);
    }
    return 0;
}
