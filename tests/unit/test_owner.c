/* Owners' records, and telling whether their processes are gone. */
#include "cache/owner/owner.h"

#include "engine/clock.h"
#include "engine/compiler.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define FIRST "pkgcache-owner 1\n"
#define BOOT  "1b079086-d0c6-4659-bb12-433e6ae57c45"

static struct owner self(void)
{
    struct owner owner;
    owner_of_this_process(&owner);
    return owner;
}

static int parse(const char *text, struct owner *ret_owner)
{
    return owner_parse(text, strlen(text), ret_owner);
}

static void expect_bad(const char *text)
{
    struct owner owner = {.pid = 77};
    cr_expect(parse(text, &owner) == -EBADMSG, "accepted: %s", text);
    cr_expect(owner.pid == 77, "changed the result: %s", text);
}

static pid_t fork_child(void (*run)(void))
{
    pid_t pid = fork();
    cr_assert(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run();
        _exit(0);
    }
    return pid;
}

static void run_forever(void)
{
    for (;;)
        pause();
}

static struct owner owner_of(pid_t pid)
{
    struct owner owner = self();
    struct process process;
    cr_assert(process_read(pid, &process) == 0);
    owner.pid = pid;
    owner.start_ticks = process.start_ticks;
    return owner;
}

Test(owner, knows_this_process)
{
    struct owner owner = self();
    cr_expect(owner.pid == getpid());
    cr_expect(owner.start_ticks > 0);
    cr_expect(owner.pid_namespace > 0);
    cr_expect(strlen(owner.boot) == OWNER_BOOT_LENGTH);
    cr_expect(owner.host[0] && owner.command[0]);
    cr_expect_str_eq(owner.staging, "");
    struct owner again = self();
    cr_expect(owner_is_same(&owner, &again));
}

Test(owner, reads_what_it_writes)
{
    char text[OWNER_TEXT_MAX];
    struct owner owner = self(), again;
    strcpy(owner.staging, "a-1_B.2");
    size_t length = owner_format(&owner, text);
    cr_expect(length == strlen(text) && text[length - 1] == '\n');
    cr_assert(owner_parse(text, length, &again) == 0, "%s", text);
    cr_expect(owner_is_same(&owner, &again));
    cr_expect_str_eq(again.staging, owner.staging);
    cr_expect_str_eq(again.host, owner.host);
    cr_expect_str_eq(again.command, owner.command);
    cr_expect(owner.boot_time_ns && again.boot_time_ns == owner.boot_time_ns);
}

Test(owner, writes_the_longest_record)
{
    char text[OWNER_TEXT_MAX];
    struct owner owner = {.pid = INT32_MAX,
                          .start_ticks = INT64_MAX,
                          .pid_namespace = UINT64_MAX,
                          .boot = BOOT,
                          .boot_time_ns = INT64_MAX};
    struct owner again;
    memset(owner.host, 'h', OWNER_HOST_MAX);
    memset(owner.command, 'c', PROCESS_COMMAND_MAX);
    memset(owner.staging, 's', OWNER_STAGING_MAX);
    size_t length = owner_format(&owner, text);
    cr_assert(owner_parse(text, length, &again) == 0);
    cr_expect(owner_is_same(&owner, &again));
    cr_expect_str_eq(owner.staging, again.staging);
}

Test(owner, cleans_hostile_names)
{
    char text[OWNER_TEXT_MAX];
    struct owner owner = {.pid = 1, .host = "a\nboot " BOOT, .command = "\xff\x1b[31m"}, again;
    strcpy(owner.staging, "../x");
    cr_assert(owner_parse(text, owner_format(&owner, text), &again) == 0);
    cr_expect_str_eq(again.host, "a?boot " BOOT);
    cr_expect_str_eq(again.command, "??[31m");
    cr_expect_str_eq(again.boot, "");
    cr_expect_str_eq(again.staging, "");
}

Test(owner, passes_over_unknown_keys)
{
    struct owner owner;
    cr_assert(parse(FIRST "colour blue\npid 5\nempty \ncolour red\n\nwhat follows is not read",
                    &owner) == 0);
    cr_expect(owner.pid == 5);
}

Test(owner, refuses_what_is_no_record)
{
    expect_bad("");
    expect_bad("pkgcache-owner 1");
    expect_bad("pkgcache-owner 2\npid 5\n");
    expect_bad(FIRST);
    expect_bad(FIRST "\npid 5\n");
    expect_bad(FIRST "pid 5");
    expect_bad(FIRST "pid\n");
    expect_bad(FIRST " pid 5\n");
    expect_bad(FIRST "pid \n");
    expect_bad(FIRST "pid 0\n");
    expect_bad(FIRST "pid 05\n");
    expect_bad(FIRST "pid -5\n");
    expect_bad(FIRST "pid 5 \n");
    expect_bad(FIRST "pid 2147483648\n");
    expect_bad(FIRST "pid 99999999999999999999999\n");
    expect_bad(FIRST "pid 5\npid 5\n");
    expect_bad(FIRST "pid 5\nstart 9223372036854775808\n");
    expect_bad(FIRST "pid 5\nboot x\n");
    expect_bad(FIRST "pid 5\nboot 1b079086-d0c6-4659-bb12-433e6ae57c4/\n");
    expect_bad(FIRST "pid 5\nstaging ../../etc\n");
    expect_bad(FIRST "pid 5\nstaging .hidden\n");
    expect_bad(FIRST "pid 5\nhost a\tb\n");
    expect_bad(FIRST "pid 5\nstaging "
                     "01234567890123456789012345678901234567890123456789012345678901234\n");
    char *large = calloc(1, 5000);
    cr_assert(large);
    memset(large, '\n', 4999);
    memcpy(large, FIRST "pid 5\n", strlen(FIRST "pid 5\n"));
    expect_bad(large);
    free(large);
}

Test(owner, sees_itself_alive)
{
    struct owner owner = self();
    cr_expect(owner_judge(&owner, &owner, NULL) == OWNER_ALIVE);
}

Test(owner, proves_a_killed_process_gone)
{
    struct owner me = self();
    pid_t pid = fork_child(run_forever);
    struct owner child = owner_of(pid);
    cr_expect(owner_judge(&child, &me, NULL) == OWNER_ALIVE);
    kill(pid, SIGKILL);
    /* Nobody has waited for it yet: a zombie, that has let go of everything. */
    siginfo_t info;
    cr_assert(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
    cr_expect(owner_judge(&child, &me, NULL) == OWNER_GONE);
    cr_assert(waitpid(pid, NULL, 0) == pid);
    cr_expect(owner_judge(&child, &me, NULL) == OWNER_GONE);
}

static void *sleep_on(void *argument)
{
    (void)argument;
    run_forever();
    return NULL;
}

static void leave_a_thread_behind(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, sleep_on, NULL) == 0)
        pthread_exit(NULL);
}

Test(owner, takes_a_process_without_its_first_thread_for_alive)
{
    struct owner me = self();
    pid_t pid = fork_child(leave_a_thread_behind);
    struct owner child = owner_of(pid);
    struct process process = {0};
    for (int i = 0; i < 500 && process.state != 'Z'; i++) {
        cr_assert(process_read(pid, &process) == 0);
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    cr_assert(process.state == 'Z');
    cr_expect(owner_judge(&child, &me, NULL) == OWNER_ALIVE);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

Test(owner, tells_a_pid_that_is_used_again)
{
    struct owner me = self(), earlier = me;
    earlier.start_ticks--;
    cr_expect(owner_judge(&earlier, &me, NULL) == OWNER_GONE);
}

Test(owner, knows_that_a_boot_ends_everything)
{
    struct owner me = self(), before = me;
    struct timespec beat = {.tv_sec = (time_t)(owner_boot_time_ns() / (int64_t)NS_PER_S) - 5};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    strcpy(before.boot, "00000000-0000-0000-0000-000000000000");
    cr_expect(owner_judge(&before, &me, &beat) == OWNER_GONE);
    before.pid_namespace++;
    cr_expect(owner_judge(&before, &me, &beat) == OWNER_GONE);
    /* A machine of the same name, or a container with a boot id of its own. */
    cr_expect(owner_judge(&before, &me, &now) == OWNER_UNKNOWN);
    cr_expect(owner_judge(&before, &me, NULL) == OWNER_UNKNOWN);
    strcpy(before.host, "another.machine");
    cr_expect(owner_judge(&before, &me, &beat) == OWNER_UNKNOWN);
}

Test(owner, does_not_guess)
{
    struct owner me = self(), other = me;
    other.pid_namespace++;
    cr_expect(owner_judge(&other, &me, NULL) == OWNER_UNKNOWN);
    other.pid_namespace = 0;
    cr_expect(owner_judge(&other, &me, NULL) == OWNER_UNKNOWN);
    other = me;
    other.start_ticks = 0;
    cr_expect(owner_judge(&other, &me, NULL) == OWNER_UNKNOWN);
    other = me;
    me.boot[0] = '\0';
    cr_expect(owner_judge(&other, &me, NULL) == OWNER_UNKNOWN);
}

Test(owner, judges_a_file_without_a_record_by_its_time)
{
    struct owner me = self(), nameless = {.pid = 1};
    struct timespec beat;
    clock_gettime(CLOCK_REALTIME, &beat);
    cr_expect(owner_judge(NULL, &me, &beat) == OWNER_UNKNOWN);
    cr_expect(owner_judge(NULL, &me, NULL) == OWNER_UNKNOWN);
    beat.tv_sec = (time_t)(owner_boot_time_ns() / (int64_t)NS_PER_S) - 5;
    cr_expect(owner_judge(NULL, &me, &beat) == OWNER_GONE);
    cr_expect(owner_judge(&nameless, &me, &beat) == OWNER_GONE);
    cr_expect(owner_judge(&me, &me, &beat) == OWNER_ALIVE);
}

Test(owner, agrees_with_the_kernel_about_the_boot)
{
    char line[256];
    long long boot_s = 0;
    CLEANUP_FCLOSE FILE *stream = fopen("/proc/stat", "re");
    cr_assert(stream);
    while (fgets(line, sizeof(line), stream) && sscanf(line, "btime %lld", &boot_s) != 1)
        ;
    cr_expect(llabs(owner_boot_time_ns() / (long long)NS_PER_S - boot_s) <= 2);
}

Test(owner, lets_a_waiter_poll_for_the_end)
{
    struct owner me = self();
    pid_t pid = fork_child(run_forever);
    struct owner child = owner_of(pid), wrong = child;
    CLEANUP_CLOSE int fd = -1;
    int result = owner_pidfd(&child, &me, &fd);
    if (result == -ENOSYS)
        cr_skip_test("no pidfd_open");
    cr_assert(result == 0);
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    cr_expect(poll(&wait, 1, 0) == 0);
    int other_fd = -1;
    wrong.start_ticks++;
    cr_expect(owner_pidfd(&wrong, &me, &other_fd) == -ESRCH);
    wrong = child;
    wrong.pid_namespace++;
    cr_expect(owner_pidfd(&wrong, &me, &other_fd) == -EREMOTE);
    kill(pid, SIGKILL);
    cr_expect(poll(&wait, 1, 5000) == 1);
    cr_expect(owner_pidfd(&child, &me, &other_fd) == -ESRCH);
    waitpid(pid, NULL, 0);
    cr_expect(owner_pidfd(&child, &me, &other_fd) == -ESRCH);
    cr_expect(other_fd == -1);
}

static int parse_stat(const char *text, struct process *ret_process)
{
    return process_parse_stat(text, strlen(text), ret_process);
}

Test(process, reads_a_command_with_parentheses)
{
    struct process process;
    const char *numbers = "1 1 0 -1 4194304 98 0 0 0 0 0 0 0 20 0 3 0 242994 3133440 414";
    char text[256];
    snprintf(text, sizeof(text), "6694 (a) R (b\n) S 6625 6625 %s\n", numbers);
    cr_assert(parse_stat(text, &process) == 0, "%s", text);
    cr_expect_str_eq(process.command, "a) R (b\n");
    cr_expect(process.pid == 6694 && process.state == 'S');
    cr_expect(process.start_ticks == 0 || process.threads > 0);
}

Test(process, refuses_other_texts)
{
    struct process process;
    cr_expect(parse_stat("", &process) == -EBADMSG);
    cr_expect(parse_stat("1 (a) S", &process) == -EBADMSG);
    cr_expect(parse_stat("1 )a( S 1 2 3", &process) == -EBADMSG);
    cr_expect(parse_stat("0 (a) S 1 1 0 -1 4 98 0 0 0 0 0 0 0 20 0 3 0 24 31\n", &process) ==
              -EBADMSG);
    cr_expect(process_read(-1, &process) == -EINVAL);
    cr_expect(process_read(0, &process) == -EINVAL);
}

Test(process, sees_kernel_threads)
{
    struct process process;
    if (process_read(2, &process) == 0 && strcmp(process.command, "kthreadd") == 0)
        cr_expect(process.kernel_thread);
    cr_assert(process_read(getpid(), &process) == 0);
    cr_expect(!process.kernel_thread && !process_has_ended(&process));
}
