/* Which variants are not cachable, and what says so. */
#include "cli/policy.h"

#include "cache/rez/repository.h"
#include "cache/util/text.h"
#include "cli/output.h"

#include <stdio.h>
#include <string.h>

enum {
    SAYERS_MAX = 16,     /* there are nine: cache/rez/cachable.c, and two here */
    EXAMINED_MAX = 1000, /* variants */
};

#define NO_PAYLOAD  "that they have no payload"
#define NOT_LOCAL   "--local=no"
#define REZ_DEFAULT "rez's default_"

/* How many variants one setting, or attribute, forbids. */
struct sayer {
    const char *said_by;
    size_t count;
};

struct sayers {
    struct sayer items[SAYERS_MAX];
    size_t count;
};

bool policy_is(const struct source_variant *variant, const struct pkgcache_result *result)
{
    return variant->is_policy && variant->is_refused && result->status == PKGCACHE_SKIPPED;
}

static void add_sayer(struct sayers *sayers, const char *said_by)
{
    size_t at = 0;
    while (at < sayers->count && strcmp(sayers->items[at].said_by, said_by) != 0)
        at++;
    if (at == SAYERS_MAX)
        return;
    if (at == sayers->count)
        sayers->items[sayers->count++] = (struct sayer){said_by, 0};
    sayers->items[at].count++;
}

/* Whether setting default_cachable helps: rez asks it after narrower ones. */
static bool is_default(const char *said_by)
{
    return strncmp(said_by, REZ_DEFAULT, strlen(REZ_DEFAULT)) == 0 &&
           !strstr(said_by, "default_cachable_per_");
}

static const char *advise(const struct sayers *sayers)
{
    for (size_t i = 0; i < sayers->count; i++)
        if (is_default(sayers->items[i].said_by))
            return "Set default_cachable = True in rez's configuration (~/.rezconfig.py), or "
                   "cachable = True in a package's definition";
    return "Change that for the packages that are to be cached";
}

/* "A (3 variants), B (1 variant) forbid it" */
static void write_sayers(const struct sayers *sayers, struct text *text)
{
    for (size_t i = 0; i < sayers->count; i++) {
        const struct sayer *sayer = &sayers->items[i];
        text_printf(text, "%s%s (%zu %s)", i > 0 ? ", " : "", sayer->said_by, sayer->count,
                    output_plural(sayer->count, "variant", "variants"));
    }
    text_printf(text, " forbid%s it", sayers->count == 1 ? "s" : "");
}

void policy_explain(const struct source_variants *variants)
{
    struct sayers sayers = {.count = 0};
    CLEANUP_TEXT struct text text = {0};
    for (size_t i = 0; i < variants->count; i++)
        add_sayer(&sayers, variants->items[i].said_by ? variants->items[i].said_by : NO_PAYLOAD);
    write_sayers(&sayers, &text);
    if (text.error == 0)
        printf("nothing may be cached: %s. %s\n", text.bytes, advise(&sayers));
}

/* --- doctor --- */

/* What was seen of the packages that rez finds. */
struct examination {
    bool takes_local;
    struct sayers sayers;
    size_t count;        /* of variants that could be read */
    struct text unread;  /* why the first that could not be was not */
    struct text allowed; /* the first variant that may be cached, and what says so */
    void (*on_finding)(void *context, const struct pkgcache_finding *finding);
    void *context;
};

/* A directory's worth of visits, until one variant may be cached. */
static int examine_variant(void *context, const char *path,
                           const struct repository_variant *variant,
                           const struct pkgcache_error *error)
{
    struct examination *examination = context;
    (void)path;
    if (error) { /* warm names them all */
        if (examination->unread.length == 0)
            text_append_string(&examination->unread, error->message);
        return 0;
    }
    examination->count++;
    if (variant->cachable && (examination->takes_local || !variant->local)) {
        text_printf(&examination->allowed, "%s may be cached: %s says so", variant->uri,
                    variant->said_by);
        return 1;
    }
    add_sayer(&examination->sayers, variant->cachable ? NOT_LOCAL : variant->said_by);
    return examination->count >= EXAMINED_MAX;
}

static void report(const struct examination *examination, enum pkgcache_severity severity,
                   const char *text, const char *advice)
{
    const struct pkgcache_finding finding = {
        .severity = severity, .subject = "rez", .text = text, .advice = advice};
    examination->on_finding(examination->context, &finding);
}

/* Tells what was seen. @return 0 or -ENOMEM */
static int conclude(const struct examination *examination)
{
    CLEANUP_TEXT struct text text = {0};
    if (examination->allowed.length > 0 || examination->allowed.error < 0) {
        if (examination->allowed.error == 0)
            report(examination, PKGCACHE_SEVERITY_OK, examination->allowed.bytes, NULL);
        return examination->allowed.error;
    }
    if (examination->count == 0 && examination->unread.length > 0)
        report(examination, PKGCACHE_SEVERITY_PROBLEM, examination->unread.bytes, NULL);
    if (examination->count == 0)
        return examination->unread.error;
    if (examination->count < EXAMINED_MAX)
        text_append_string(&text, "nothing may be cached: ");
    else
        text_printf(&text, "nothing of the first %d variants may be cached: ", EXAMINED_MAX);
    write_sayers(&examination->sayers, &text);
    if (text.error == 0)
        report(examination, PKGCACHE_SEVERITY_WARNING, text.bytes, advise(&examination->sayers));
    return text.error;
}

/* @return 1: all is known; 0: go on; or -errno */
static int examine_directory(struct examination *examination, struct repositories *repositories,
                             const char *directory, struct pkgcache_error *error)
{
    int result = repositories_visit(repositories, directory, examine_variant, examination, error);
    return result == -EINVAL || result == -ENOMEM || result > 0 ? result : 0;
}

static int examine_all(struct examination *examination, struct rezconfig *config,
                       const char *const *directories, size_t count, struct pkgcache_error *error)
{
    struct rules rules = {0};
    struct repositories *repositories = NULL;
    int result = rules_read(config, &rules, error);
    if (result == 0)
        result = repositories_new(config, &repositories);
    if (count == 0) {
        directories = (const char *const *)rules.repositories;
        count = rules.repository_count;
    }
    for (size_t i = 0; i < count && result == 0; i++)
        result = examine_directory(examination, repositories, directories[i], error);
    repositories_free(repositories);
    rules_free(&rules);
    return MIN(result, 0);
}

int policy_examine(struct settings *settings, const char *const *directories, size_t count,
                   void (*on_finding)(void *context, const struct pkgcache_finding *finding),
                   void *context)
{
    struct examination examination = {.takes_local = settings->values[SETTING_LOCAL].number != 0,
                                      .on_finding = on_finding,
                                      .context = context};
    struct rezconfig *config = NULL;
    struct pkgcache_error error = {0};
    int result = settings_rez(settings, &config);
    if (result == 0)
        result = examine_all(&examination, config, directories, count, &error);
    if (result == 0)
        result = conclude(&examination);
    else if (result == -EINVAL)
        report(&examination, PKGCACHE_SEVERITY_PROBLEM, error.message,
               "Mend rez's configuration: warm reads it, too");
    text_free(&examination.unread);
    text_free(&examination.allowed);
    return result == -EINVAL ? 0 : result;
}
