/* A module of the name service that does what NSS_TEST says: for the user 4711, who is in a thousand groups. */
#include <errno.h>
#include <grp.h>
#include <nss.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

static int mode_is(const char *mode)
{
    const char *wanted = getenv("NSS_TEST");

    return wanted && !strcmp(wanted, mode);
}

static void hang(void)
{
    for (;;)
        pause();
}

/* As a module that minds no alarm. */
static void hang_deaf(void)
{
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    hang();
}

EXPORTED enum nss_status _nss_test_getpwuid_r(uid_t uid, struct passwd *entry, char *buffer, size_t size, int *error)
{
    static char name[] = "many", locked[] = "*", gecos[] = "A: B\nroot2:x:0:0::/:", home[] = "/home/a:b";
    static char shell[] = "/bin/\nsh";

    (void)buffer, (void)size, (void)error;
    if (uid != 4711)
        return NSS_STATUS_NOTFOUND;
    if (mode_is("account hangs"))
        hang();
    if (mode_is("account crashes"))
        raise(SIGSEGV);
    *entry = (struct passwd){name, locked, uid, 4711, gecos, home, shell};
    return NSS_STATUS_SUCCESS;
}

EXPORTED enum nss_status _nss_test_initgroups_dyn(const char *user, gid_t primary, long *start, long *size,
                                                  gid_t **groups, long limit, int *error)
{
    (void)primary, (void)limit, (void)error;
    if (strcmp(user, "many"))
        return NSS_STATUS_NOTFOUND;
    if (mode_is("groups hang"))
        hang_deaf();
    for (gid_t number = 51000; number > 50000; number--) {
        if (*start == *size) {
            *size = 2 * *size + 1;
            *groups = realloc(*groups, *size * sizeof(gid_t));
        }
        (*groups)[(*start)++] = number;
    }
    return NSS_STATUS_SUCCESS;
}

EXPORTED enum nss_status _nss_test_getgrgid_r(gid_t number, struct group *entry, char *buffer, size_t size, int *error)
{
    static char *nobody[] = {NULL}, locked[] = "*";

    (void)error;
    if (number <= 50000 || number > 51000 || number == 50003)
        return NSS_STATUS_NOTFOUND;
    if (number == 50010 && mode_is("a name hangs"))
        hang();
    if (number == 50010 && mode_is("a name crashes"))
        raise(SIGSEGV);
    snprintf(buffer, size, "project %u", number);
    *entry = (struct group){buffer, locked, number, nobody};
    return NSS_STATUS_SUCCESS;
}
