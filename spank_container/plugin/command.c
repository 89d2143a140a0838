/* command.c: running COMMAND, as srun and as slurmstepd, whatever state they are in. */
#include "spank_container.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Read to the end, but at most `size` - 1 bytes, and put a NUL after them; the length, or -1. */
ssize_t read_text(int fd, char *text, size_t size)
{
    size_t have = 0;
    ssize_t got;

    while ((got = TEMP_FAILURE_RETRY(read(fd, text + have, size - 1 - have))) > 0)
        have += got;
    text[have] = '\0';
    return got < 0 ? -1 : (ssize_t)have;
}

/* Run the command to its end: its status, or -1. What it prints is put into `text`, if there is one.
 * srun may have threads, so no code of ours runs between fork and exec: posix_spawn(3) does it all. */
int run_command(char *const argv[], char *const env[], char *text, size_t size)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int ends[2], status;
    pid_t pid = -1;

    if (pipe2(ends, O_CLOEXEC))
        return refuse("cannot make a pipe: %m; try again");
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    /* Output before input: whoever started sbatch may have closed descriptor 0, and then the pipe may be there. */
    if (text)
        posix_spawn_file_actions_adddup2(&files, ends[1], STDOUT_FILENO);
    else /* slurmstepd's own output is its pipe to slurmd */
        posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &none); /* slurmstepd blocks nearly all signals */
    posix_spawnattr_setsigdefault(&attributes, &all);
    void (*on_child)(int) = signal(SIGCHLD, SIG_DFL); /* who ignores it, as sbatch's caller may, cannot wait */
    int error = posix_spawn(&pid, command, &files, &attributes, argv, env);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    close(ends[1]);
    if (text && read_text(ends[0], text, size) < 0)
        text[0] = '\0';
    close(ends[0]); /* a command that prints without end dies of this */
    bool waited = !error && TEMP_FAILURE_RETRY(waitpid(pid, &status, 0)) == pid;
    signal(SIGCHLD, on_child);
    if (error)
        return refuse("cannot run %s: %s; the administrator must repair it", command, strerror(error));
    if (!waited || !WIFEXITED(status))
        return refuse("%s did not come to its own end; try again", command);
    return WEXITSTATUS(status);
}
