/* Errands of the daemon: with which options their threads open the cache. */
#include "tests/unit/place.h"

#include "cache/service/errands.h"
#include "cache/store/cache.h"
#include "engine/compiler.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

/** Asks a thread which temporary repositories its cache has. */
struct question {
    struct errand errand;
    char *temporary_path;
};

static void run_question(struct errand *errand, struct pkgcache *cache,
                         struct pkgcache_error *error)
{
    struct question *question = CONTAINER_OF(errand, struct question, errand);
    question->temporary_path = strdup(cache ? cache->options.temporary_path : error->message);
}

/* Whether the thread's cache has this path. */
static bool has_path(struct errands *errands, int wake_fd, const char *path)
{
    struct question question = {.errand = {.run = run_question}};
    struct pollfd wait = {.fd = wake_fd, .events = POLLIN};
    eventfd_t count;
    cr_assert_eq(errands_add(errands, &question.errand), 0);
    while (errands_take_done(errands) != &question.errand)
        poll(&wait, 1, -1);
    eventfd_read(wake_fd, &count);
    bool same = strcmp(question.temporary_path, path) == 0;
    free(question.temporary_path);
    return same;
}

/* As settings have them: the text goes with the settings. */
static struct shared_options *make_options(const char *path)
{
    char text[32];
    snprintf(text, sizeof(text), "%s", path);
    const struct pkgcache_options options = {.size = sizeof(options), .temporary_path = text};
    struct shared_options *shared = shared_options_new(&options);
    memset(text, 'x', sizeof(text));
    cr_assert_not_null(shared);
    return shared;
}

Test(errands, own_their_options, .timeout = PATIENCE_S)
{
    char directory[PLACE_BYTES];
    struct errands *errands;
    struct pkgcache_error error;
    CLEANUP_CLOSE int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct shared_options *first = make_options("/first");
    struct shared_options *second = make_options("/second");
    cr_assert_not_null(place_make(directory));
    cr_assert_eq(errands_start(directory, first, 1, wake_fd, &errands, &error), 0);
    shared_options_release(first); /* before any thread has opened the cache */
    cr_expect(has_path(errands, wake_fd, "/first"));
    errands_reload(errands, second);
    shared_options_release(second);
    cr_expect(has_path(errands, wake_fd, "/second"));
    errands_stop(errands);
    const struct timespec until = {.tv_sec = time(NULL) + PATIENCE_S};
    cr_assert(errands_join(errands, &until));
    errands_free(errands);
    cr_assert_eq(copyengine_remove_tree(NULL, AT_FDCWD, directory, NULL), 0);
}
