/*
 * spank_container.c: the part of spank-container that lives inside Slurm's own processes.
 *
 * It owns the SPANK interface and nothing else: it collects --image and --volume, lets `spank-container submit` judge
 * them, and on the node moves each task into the mount namespace that the Prolog has built and pinned. It never
 * parses an image, a volume or JSON, never mounts, and never runs anything of the image.
 *
 *   sbatch salloc srun   init, options, init_post_opt     submit(): run `COMMAND submit`, hand its JSON to the job
 *   slurmstepd (root)    init, options, init_post_opt     prepare_step(): the step's own container, the environment
 *   the task (root)      task_init_privileged             enter(): setns(2). This is THE line; look for it there.
 *   slurmstepd (root)    exit                             end_step()
 *
 * Two rules come from Slurm. Every failure is a NEGATIVE number: positive ones were ignored before 25.05. And the
 * task fails in task_init_privileged, nowhere else: only there does a failure end the step with a non-zero status
 * and leave the node in service, in every release and for srun, salloc and sbatch alike (spank(8), Errors).
 *
 * Slurm loads this file only into the release whose headers it was compiled with. glibc and spank.h, nothing else.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Built with -fvisibility=hidden: what spank.h declares is what Slurm may see, all else is static. */
#pragma GCC visibility push(default)
#include <slurm/spank.h>
SPANK_PLUGIN(spank_container, 1)
#pragma GCC visibility pop

enum {
	REQUEST_MAX = 64 * 1024,     /* the canonical JSON of a request */
	FAILED_MAX = 8 * 1024,       /* what a job is told at most about its failure */
	ENV_MAX = 1024 * 1024,       /* jobs/JOB/env */
	ENV_RECORD_MAX = 128 * 1024, /* the kernel's MAX_ARG_STRLEN; Slurm drops longer ones without an error */
	NO_CONTAINER = -1,           /* open_container(): there is none */
	UNSAFE = -2,                 /* open_container(): there is something that we must not trust */
};

/* Steps above this are not the user's: the batch script, salloc's shell, the extern step (slurm.h,
 * SLURM_MAX_NORMAL_STEP_ID, the same from 22.05 to 26.05). */
#define LAST_NORMAL_STEP 0xfffffff0u

/* Slurm puts an option into the environment under this name, and under SLURM_SPANK_ with this name after it. */
#define OPTION_VARIABLE "_SLURM_SPANK_OPTION_spank_container_"
/* SPANK_CONTAINER_REQUEST in the Prolog is SLURM_SPANK_CONTAINER_REQUEST in the job. */
#define JOB_REQUEST "SLURM_SPANK_CONTAINER_REQUEST"
/* A step's own request, from srun to the node. Names in SLURM_ survive --export=NONE in every release. */
#define STEP_REQUEST "SLURM_SPANK_CONTAINER_STEP_REQUEST"

/* Arguments in plugstack.conf. */
static const char *command = "/opt/spank-container/bin/spank-container";
static const char *state = "/run/spank-container";
static const char *timing; /* append "JOB STEP TASK MICROSECONDS" for every entry to this file; for `dev bench entry` */

/* The options so far, ready to be arguments of `COMMAND submit`. */
static struct {
	bool given;
	char *image;    /* "--image=REF" */
	char **volumes; /* "--volume=SPEC" */
	size_t n_volumes;
	bool submitted; /* by an earlier component of a heterogeneous job */
} options;

/* On the node: the request of this step, if it has one, as the variable that `COMMAND step` reads. */
#define REQUEST_VARIABLE "SPANK_CONTAINER_REQUEST="
static char step_request[sizeof(REQUEST_VARIABLE) + REQUEST_MAX];
static bool environment_applied;

struct step {
	uint32_t job, id;
};

/* One sentence for whoever has to act; always -1, so that a failure is `return refuse(...)`. */
__attribute__((format(printf, 1, 2))) static int refuse(const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	slurm_error("spank-container: %s", text);
	return -1;
}

/* ------------------------------------------------------------------------------------ running the command */

static int reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return refuse("cannot learn how %s ended: %m; is SIGCHLD ignored?", command);
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return refuse("%s was killed by signal %d; try again", command, WTERMSIG(status));
}

/* srun may have threads already, so nothing of ours runs between fork and exec: posix_spawn(3) does it all. */
static pid_t spawn(char *const argv[], char *const env[], int out)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t signals;
	pid_t pid = -1;

	posix_spawn_file_actions_init(&files);
	/* In this order, since a caller of sbatch may have closed 0 or 1, and the pipe may be there now. */
	posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	sigemptyset(&signals); /* slurmstepd blocks nearly all of them */
	posix_spawnattr_setsigmask(&attributes, &signals);
	sigfillset(&signals);
	posix_spawnattr_setsigdefault(&attributes, &signals);
	errno = posix_spawn(&pid, command, &files, &attributes, argv, env);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	return errno ? refuse("cannot run %s: %m; the administrator must repair the installation", command) : pid;
}

/* Read to the end or until `size` is full; how much it was, or -1. */
static ssize_t read_all(int fd, char *buffer, size_t size)
{
	size_t have = 0;

	while (have < size) {
		ssize_t got = read(fd, buffer + have, size - have);
		if (got == 0)
			break;
		if (got < 0 && errno != EINTR)
			return -1;
		if (got > 0)
			have += got;
	}
	return have;
}

/* Run the command as the user and read what it prints, at most `size` bytes; the status, or -1 when there is none. */
static int run_and_read(char *const argv[], char *output, size_t size, ssize_t *length)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return refuse("cannot make a pipe: %m; close some files and try again");
	pid = spawn(argv, environ, ends[1]);
	close(ends[1]);
	*length = pid < 0 ? -1 : read_all(ends[0], output, size);
	close(ends[0]);
	if (pid < 0)
		return -1;
	if (*length < 0 || (size_t)*length == size)
		kill(pid, SIGKILL); /* it has more to say than we read, and would wait for us */
	return reap(pid);
}

/* ------------------------------------------------------------------------- options, in every context */

static int set_image(const char *value)
{
	char *text;

	if (asprintf(&text, "--image=%s", value) < 0)
		return refuse("out of memory");
	free(options.image);
	options.image = text;
	return 0;
}

/* The same text twice is one volume: Slurm may deliver an option from the environment and from the command line,
 * and on the node, before 24.05, from the launch message and from the environment. */
static int add_volume(const char *value)
{
	char **grown, *text;

	if (options.submitted) /* the next component of a heterogeneous job, or the same words read again for it */
		while (options.n_volumes)
			free(options.volumes[--options.n_volumes]);
	options.submitted = false;
	for (size_t i = 0; i < options.n_volumes; i++)
		if (!strcmp(options.volumes[i] + strlen("--volume="), value))
			return 0;
	grown = reallocarray(options.volumes, options.n_volumes + 1, sizeof(*grown));
	if (!grown || (options.volumes = grown, asprintf(&text, "--volume=%s", value) < 0))
		return refuse("out of memory");
	options.volumes[options.n_volumes++] = text;
	return 0;
}

static int on_option(int which, const char *value, int remote)
{
	(void)remote;
	options.given = true;
	return which == 'i' ? set_image(value) : add_volume(value);
}

static struct spank_option option_table[] = {
	{"image", "REF",
		"run the tasks in this image: docker:NAME[:TAG][@DIGEST], id:DIGEST or local:/; a step takes the job's "
		"image "
		"if it gives none itself; 'none' is the host",
		1, 'i', on_option},
	{"volume", "SRC:DST[:FLAG]",
		"show the directory or file SRC as DST in the container; flags are ro, rw and perNodeCache=size=SIZE; "
		"may be "
		"repeated, or several joined by ';'",
		1, 'v', on_option},
};

static bool no_image(void)
{
	return options.image && !strcmp(options.image, "--image=none");
}

/* ------------------------------------------------------------- sbatch, salloc and srun, as the user */

static bool inside_job(void)
{
	return getenv("SLURM_JOB_ID") || getenv("SLURM_JOBID");
}

/* Slurm feeds the options of a job to every command that runs in it (C.3 of Slurm's behaviour: through
 * SLURM_SPANK__SLURM_SPANK_OPTION_...). A step has the job's container anyway, and an sbatch inside a job is another
 * job: what counts is what is typed for this command. Outside a job these variables are the user's own words. */
static void forget_inherited(void)
{
	unsetenv(STEP_REQUEST);
	if (!inside_job())
		return;
	unsetenv(OPTION_VARIABLE "image");
	unsetenv(OPTION_VARIABLE "volume");
	unsetenv("SLURM_SPANK_" OPTION_VARIABLE "image");
	unsetenv("SLURM_SPANK_" OPTION_VARIABLE "volume");
	if (spank_context() == S_CTX_ALLOCATOR)
		unsetenv(JOB_REQUEST);
}

/* Let `COMMAND submit` judge the options; it tells the user itself why it refuses. Its canonical JSON, or NULL. */
static const char *submit(bool for_step)
{
	static char json[REQUEST_MAX + 2]; /* a newline at its end, and one byte to see that there is more */
	char **argv = calloc(options.n_volumes + 5, sizeof(*argv));
	ssize_t length = -1;
	size_t n = 0;
	int status;

	if (!argv)
		return refuse("out of memory"), NULL;
	argv[n++] = (char *)command;
	argv[n++] = "submit";
	if (options.image)
		argv[n++] = options.image;
	for (size_t i = 0; i < options.n_volumes; i++)
		argv[n++] = options.volumes[i];
	if (for_step)
		argv[n++] = "--step";
	status = run_and_read(argv, json, sizeof(json), &length);
	free(argv);
	if (status)
		return NULL;
	if (length > 0 && json[length - 1] == '\n')
		length--;
	json[length] = '\0';
	if (length < 2 || json[0] != '{' || json[length - 1] != '}' || strcspn(json, "\n\r") != (size_t)length)
		return refuse("%s submit gave no request; the administrator must repair the installation", command),
		       NULL;
	return json;
}

/* What the parts of `srun A : B` ask for must not differ: Slurm sends the options and the environment of the last
 * part to all of them. (Parts that each get a job of their own may have an image each.) */
static int check_parts_agree(const char *request, bool in_job)
{
	static char *first;

	if (!first)
		first = strdup(request);
	if (!first)
		return refuse("out of memory");
	if (first[0] != request[0] || (in_job && strcmp(first, request)))
		return refuse(
			"the parts of one srun cannot differ in --image or --volume; start them with one srun each");
	return 0;
}

static int submit_options(spank_t sp)
{
	bool in_job = spank_context() == S_CTX_LOCAL && inside_job();
	const char *request = "";
	bool failed;

	if (no_image() && options.n_volumes)
		return refuse("--image=none has no place for a --volume; leave one of them out");
	if (no_image())
		request = "none";
	else if (options.given && !(request = submit(in_job)))
		return -1;
	options.submitted = true;
	if (spank_context() == S_CTX_LOCAL && check_parts_agree(request, in_job))
		return -1;
	if (request[0] != '{')
		return 0;
	if (in_job)
		failed = setenv(STEP_REQUEST, request, 1) != 0;
	else
		failed = spank_job_control_setenv(sp, "CONTAINER_REQUEST", request, 1) != ESPANK_SUCCESS;
	return failed ? refuse("cannot hand the request to the job; try again") : 0;
}

/* --------------------------------------------------------------------------- on the node, as root */

static int identify(spank_t sp, struct step *step)
{
	if (spank_get_item(sp, S_JOB_ID, &step->job) || spank_get_item(sp, S_JOB_STEPID, &step->id))
		return refuse("Slurm does not say which job and step this is; update Slurm");
	return 0;
}

/* `COMMAND step` builds the step's own container, `COMMAND step --end` undoes it. Nothing of the user's environment
 * comes near it but the request, which it parses from scratch. */
static int run_step_command(spank_t sp, const struct step *step, char *verb_option)
{
	char ids[5][64];
	char *argv[] = {(char *)command, "step", verb_option, NULL};
	char *env[] = {
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", step_request, ids[0], ids[1], ids[2], ids[3], ids[4], NULL};
	uint32_t restarts = 0;
	uid_t uid;
	gid_t gid;
	pid_t pid;
	int null;

	if (spank_get_item(sp, S_JOB_UID, &uid) || spank_get_item(sp, S_JOB_GID, &gid))
		return refuse("Slurm does not say whose job %u is; update Slurm", step->job);
	spank_get_item(sp, S_SLURM_RESTART_COUNT, &restarts);
	snprintf(ids[0], sizeof(ids[0]), "SLURM_JOB_ID=%u", step->job);
	snprintf(ids[1], sizeof(ids[1]), "SLURM_STEP_ID=%u", step->id);
	snprintf(ids[2], sizeof(ids[2]), "SLURM_JOB_UID=%u", uid);
	snprintf(ids[3], sizeof(ids[3]), "SLURM_JOB_GID=%u", gid);
	snprintf(ids[4], sizeof(ids[4]), "SLURM_JOB_RESTART_COUNT=%u", restarts);
	/* Not slurmstepd's own standard output: that is its pipe to slurmd. */
	if ((null = open("/dev/null", O_WRONLY | O_CLOEXEC)) < 0)
		return refuse("cannot open /dev/null: %m; the administrator must look at this node");
	pid = spawn(argv, env, null);
	close(null);
	return pid < 0 ? -1 : reap(pid);
}

/* A descriptor of jobs/JOB, or of jobs/JOB/steps/STEP for a step with a request of its own. From the state directory
 * down no link is followed, and that directory itself must be root's alone. */
static int open_container(const struct step *step)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	char path[PATH_MAX];
	struct stat st;
	int root, dir;

	/* All that a job without an image ever pays. */
	snprintf(path, sizeof(path), "%s/jobs/%u", state, step->job);
	if (lstat(path, &st) && errno == ENOENT)
		return NO_CONTAINER;
	if ((root = open(state, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		return refuse("cannot open %s: %m; the administrator must look at this node", state), UNSAFE;
	if (fstat(root, &st) || st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH))) {
		close(root);
		return refuse("%s is not root's alone; the administrator must set its owner and mode", state), UNSAFE;
	}
	snprintf(path, sizeof(path), step_request[0] ? "jobs/%u/steps/%u" : "jobs/%u", step->job, step->id);
	dir = syscall(SYS_openat2, root, path, &how, sizeof(how));
	close(root);
	if (dir < 0 && errno != ENOENT)
		return refuse("cannot open %s/%s: %m; the administrator must look at this node", state, path), UNSAFE;
	return dir < 0 ? NO_CONTAINER : dir;
}

static bool has(int dir, const char *name)
{
	return faccessat(dir, name, F_OK, 0) == 0;
}

static ssize_t read_file(int dir, const char *name, char *buffer, size_t size)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read_all(fd, buffer, size);

	if (fd >= 0)
		close(fd);
	return length;
}

/* The text of `failed`, line by line: so it stands in the job's own output. */
static int tell_failure(int dir)
{
	char text[FAILED_MAX + 1], *rest = NULL;
	ssize_t length = read_file(dir, "failed", text, FAILED_MAX);

	if (length <= 0)
		return refuse("the container could not be built, and the reason is lost; ask the administrator");
	text[length] = '\0';
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		slurm_error("spank-container: %s", line);
	return -1;
}

static bool is_name(const char *text)
{
	if (!*text || (*text >= '0' && *text <= '9'))
		return false;
	return text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789")] == '\0';
}

/* One record of jobs/JOB/env: NAME=VALUE sets, NAME alone unsets. */
static int apply_record(spank_t sp, char *record)
{
	char *value = strchr(record, '=');

	if (value)
		*value++ = '\0';
	if (!is_name(record))
		return refuse(
			"the container's environment has a record without a proper name; the administrator must look "
			"at this node");
	if (value && strlen(record) + strlen(value) + 2 > ENV_RECORD_MAX)
		return refuse("%s in the container's environment is too long; shorten it in the image", record);
	if (value ? spank_setenv(sp, record, value, 1) : spank_unsetenv(sp, record))
		return refuse("Slurm does not take %s into the environment; the administrator must look at this node",
			record);
	return 0;
}

static int apply_records(spank_t sp, char *records, size_t length)
{
	if (length > ENV_MAX)
		return refuse("the container's environment is larger than 1 MiB; use an image with a smaller one");
	if (length && records[length - 1])
		return refuse("the container's environment is cut short; the administrator must look at this node");
	for (char *record = records, *next; record < records + length; record = next) {
		next = record + strlen(record) + 1;
		if (apply_record(sp, record))
			return -1;
	}
	return 0;
}

static int apply_environment(spank_t sp, int dir)
{
	char *records = malloc(ENV_MAX + 1);
	ssize_t length = records ? read_file(dir, "env", records, ENV_MAX + 1) : -1;
	int rc;

	if (length < 0)
		rc = refuse("cannot read the container's environment: %m; the administrator must look at this node");
	else
		rc = apply_records(sp, records, length);
	free(records);
	return rc;
}

/* In slurmstepd, once a step, before any task. Nothing here fails the step: a failure in init_post_opt may drain the
 * node. What goes wrong is found again, and told, in task_init_privileged.
 *
 * The environment is set here rather than in each task because Slurm's setenvf() clears 256 KiB for every variable. */
static int prepare_step(spank_t sp)
{
	struct step step;
	spank_err_t rc;
	int dir;

	if (identify(sp, &step) || step.id > LAST_NORMAL_STEP)
		return 0;
	rc = spank_getenv(sp, STEP_REQUEST, step_request + strlen(REQUEST_VARIABLE), REQUEST_MAX);
	if (rc != ESPANK_ENV_NOEXIST) {
		memcpy(step_request, REQUEST_VARIABLE, strlen(REQUEST_VARIABLE));
		spank_unsetenv(sp, STEP_REQUEST); /* an srun inside the step is another step */
		if (rc == ESPANK_SUCCESS && !no_image())
			run_step_command(sp, &step, NULL);
	}
	if (no_image() || (dir = open_container(&step)) < 0)
		return 0;
	environment_applied = has(dir, "ready") && !apply_environment(sp, dir);
	close(dir);
	return 0;
}

static int end_step(spank_t sp)
{
	struct step step;
	int dir;

	if (!step_request[0] || identify(sp, &step) || (dir = open_container(&step)) < 0)
		return 0;
	close(dir);
	return run_step_command(sp, &step, "--end") ? -1 : 0;
}

/* ------------------------------------------------------------------------------- in the task, as root */

/* A variable counts even when it is empty or longer than we care to read. */
static bool in_environment(spank_t sp, const char *name)
{
	char nothing[1];

	return spank_getenv(sp, name, nothing, sizeof(nothing)) != ESPANK_ENV_NOEXIST;
}

/* No program of the image, setuid or with file capabilities, can win anything back after this. The effective set
 * stays as it is: Slurm still has to become the user, which empties it. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
	int cap = 0;

	while (!prctl(PR_CAPBSET_DROP, cap, 0, 0, 0))
		cap++;
	if (errno != EINVAL || cap == 0) /* EINVAL: the kernel has no more */
		return refuse("cannot empty the capability bounding set: %m; is slurmd running as root?");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
		return refuse("cannot clear the ambient capabilities: %m; the kernel is too old");
	if (syscall(SYS_capget, &header, sets))
		return refuse("cannot read the capabilities: %m; the kernel is too old");
	sets[0].inheritable = sets[1].inheritable = 0;
	if (syscall(SYS_capset, &header, sets))
		return refuse("cannot clear the inheritable capabilities: %m; is slurmd running as root?");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return refuse("cannot set no_new_privs: %m; the kernel is too old");
	return 0;
}

/* The task goes into the mount namespace that the Prolog has pinned. Slurm repeats its chdir() after this, inside. */
static int enter(int dir)
{
	int ns = openat(dir, "mnt.ns", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (ns < 0)
		return refuse("cannot open the container's namespace: %m; the administrator must look at this node");
	if (setns(ns, CLONE_NEWNS)) {
		close(ns);
		return refuse("cannot enter the container: %m; the administrator must look at this node");
	}
	close(ns);
	return drop_capabilities();
}

/* What the state directory says about this job or step decides, and it fails closed. */
static int join_container(spank_t sp, const struct step *step)
{
	bool on_host = step->id > LAST_NORMAL_STEP; /* the batch script and salloc's shell: they call srun */
	bool asked = options.given || step_request[0] || in_environment(sp, JOB_REQUEST);
	int rc, dir = open_container(step);

	if (dir == UNSAFE)
		return -1;
	if (dir >= 0 && has(dir, "failed"))
		rc = tell_failure(dir);
	else if (on_host)
		rc = 0;
	else if (options.given && !step_request[0] && step->id != 0) /* not the first step of a job that srun made */
		rc = refuse("`srun --jobid` from outside the job cannot take --image or --volume; set SLURM_JOB_ID=%u "
			    "instead of --jobid",
			step->job);
	else if (dir >= 0 && has(dir, "ready"))
		rc = environment_applied || !apply_environment(sp, dir) ? enter(dir) : -1;
	else if (asked)
		rc = refuse(
			"the Prolog did not prepare this node for job %u; ask the administrator whether Slurm's Prolog "
			"and PrologFlags=Alloc are set",
			step->job);
	else
		rc = 0;
	if (dir >= 0)
		close(dir);
	return rc;
}

static double microseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static void log_time(spank_t sp, const struct step *step, int fd, double begin)
{
	uint32_t task = 0;

	spank_get_item(sp, S_TASK_GLOBAL_ID, &task);
	dprintf(fd, "%u %u %u %.1f\n", step->job, step->id, task, microseconds() - begin);
	close(fd);
}

static int init_task(spank_t sp)
{
	double begin = microseconds();
	struct step step;
	int fd, rc;

	if (identify(sp, &step))
		return -1;
	if (no_image() && step.id <= LAST_NORMAL_STEP)
		return 0;
	/* The file is the host's, so it is opened before the task goes away. */
	fd = timing ? open(timing, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600) : -1;
	rc = join_container(sp, &step);
	if (fd >= 0)
		log_time(sp, &step, fd, begin);
	return rc;
}

/* ------------------------------------------------------------------------------------- what Slurm calls */

static int set_argument(const char *argument)
{
	static const struct {
		const char *name;
		const char **value;
	} known[] = {{"command=", &command}, {"state=", &state}, {"timing=", &timing}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		size_t length = strlen(known[i].name);

		if (strncmp(argument, known[i].name, length))
			continue;
		if (argument[length] != '/')
			return refuse("'%s' in plugstack.conf is not an absolute path; correct it", argument);
		*known[i].value = argument + length;
		return 0;
	}
	return refuse("'%s' in plugstack.conf means nothing; use command=PATH, state=DIR or timing=PATH", argument);
}

/* slurmd itself and its Prolog and Epilog load the plugin as well; there it has nothing to do. */
static bool concerns_us(void)
{
	spank_context_t context = spank_context();

	return context == S_CTX_LOCAL || context == S_CTX_ALLOCATOR || context == S_CTX_REMOTE;
}

int slurm_spank_init(spank_t sp, int ac, char *argv[])
{
	if (!concerns_us())
		return 0;
	for (int i = 0; i < ac; i++)
		if (set_argument(argv[i]))
			return -1;
	if (spank_context() != S_CTX_REMOTE)
		forget_inherited();
	for (size_t i = 0; i < sizeof(option_table) / sizeof(option_table[0]); i++)
		if (spank_option_register(sp, &option_table[i]))
			return refuse(
				"Slurm does not take the option --%s; is it another plugin's?", option_table[i].name);
	return 0;
}

/* Slurm has called on_option() for every option by now. Once for each component of a heterogeneous job. */
int slurm_spank_init_post_opt(spank_t sp, int ac, char *argv[])
{
	(void)ac, (void)argv;
	if (!concerns_us())
		return 0;
	return spank_context() == S_CTX_REMOTE ? prepare_step(sp) : submit_options(sp);
}

int slurm_spank_task_init_privileged(spank_t sp, int ac, char *argv[])
{
	(void)ac, (void)argv;
	return spank_context() == S_CTX_REMOTE ? init_task(sp) : 0;
}

int slurm_spank_exit(spank_t sp, int ac, char *argv[])
{
	(void)ac, (void)argv;
	return spank_context() == S_CTX_REMOTE ? end_step(sp) : 0;
}
