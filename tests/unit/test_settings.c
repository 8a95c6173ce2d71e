/* Settings, where programs cannot show them: what rez has built in, and what is not asked for. */
#include "cache/rez/settings.h"

#include <criterion/criterion.h>
#include <string.h>

static void begin(void)
{
    clearenv();
    setenv("HOME", "/home/artist", 1);
    setenv("REZ_DISABLE_HOME_CONFIG", "1", 1);
    setenv("PKGCACHE_SYSTEM_CONFIG", "", 1);
}

static void expect(const struct settings *settings, enum setting_id id, const char *text,
                   const char *origin)
{
    const struct setting_value *value = &settings->values[id];
    cr_expect_str_eq(value->text, text);
    cr_expect_str_eq(value->origin, origin);
}

/* Our own defaults are for our own program. */
Test(settings, defaults)
{
    struct settings settings = {0};
    begin();
    cr_assert(settings_complete(&settings, SETTINGS_ALL, NULL) == 0);
    expect(&settings, SETTING_CACHE, "/home/artist/.cache/pkgcache", SETTINGS_BUILT_IN);
    expect(&settings, SETTING_SAME_DEVICE, "yes", SETTINGS_BUILT_IN);
    expect(&settings, SETTING_LOCAL, "yes", SETTINGS_BUILT_IN);
    expect(&settings, SETTING_SPACE_BUFFER, "100M", SETTINGS_BUILT_IN);
    cr_expect(settings.values[SETTING_SPACE_BUFFER].number == 100 << 20);
    settings_free(&settings);
}

/* For a program that stands in for rez's; it may have no cache. */
Test(settings, defaults_of_rez)
{
    struct settings settings = {.rez_defaults = true};
    struct settings with_cache = {.rez_defaults = true};
    begin();
    setenv("PKGCACHE_LOCAL", "yes", 1);
    cr_assert(settings_complete(&settings, SETTINGS_ALL, NULL) == 0);
    cr_expect(settings.values[SETTING_CACHE].text == NULL);
    expect(&settings, SETTING_SAME_DEVICE, "no", REZCONFIG_BUILT_IN);
    expect(&settings, SETTING_LOCAL, "yes", "PKGCACHE_LOCAL");
    expect(&settings, SETTING_LOCAL_PATH, "/home/artist/packages", REZCONFIG_BUILT_IN);
    expect(&settings, SETTING_SPACE_BUFFER, "104857600", REZCONFIG_BUILT_IN);
    expect(&settings, SETTING_MAX_VARIANT_DAYS, "30", REZCONFIG_BUILT_IN);
    expect(&settings, SETTING_LOCK_TIMEOUT, "10", SETTINGS_BUILT_IN);
    settings_free(&settings);
    setenv("REZ_CACHE_PACKAGES_PATH", "~/c", 1);
    cr_assert(settings_complete(&with_cache, SETTINGS_ALL, NULL) == 0);
    expect(&with_cache, SETTING_CACHE, "/home/artist/c", "REZ_CACHE_PACKAGES_PATH");
    settings_free(&with_cache);
}

/* rez is not asked, and need not be right; the path of local packages is, once they are refused. */
Test(settings, not_wanted)
{
    struct settings settings = {0};
    struct settings local = {0};
    struct pkgcache_error error;
    begin();
    setenv("REZ_PACKAGE_CACHE_LOCAL", "2", 1);
    setenv("REZ_LOCAL_PACKAGES_PATH_JSON", "1", 1);
    cr_assert(settings_complete(&settings, 0, NULL) == 0);
    cr_expect(settings.values[SETTING_CACHE].text == NULL);
    expect(&settings, SETTING_LOCAL, "yes", SETTINGS_BUILT_IN);
    cr_expect(settings.rez == NULL);
    settings_free(&settings);

    setenv("REZ_PACKAGE_CACHE_LOCAL", "no", 1);
    cr_expect(settings_complete(&local, SETTING_BIT(SETTING_LOCAL), &error) == -EINVAL);
    cr_expect(strstr(error.message, "local_packages_path"), "%s", error.message);
    settings_free(&local);
}

/* Those whose strings are no path. */
Test(settings, no_path)
{
    struct settings settings = {0};
    struct pkgcache_error error;
    begin();
    setenv("REZ_CACHE_PACKAGES_PATH_JSON", "\"/a\\ud800\"", 1);
    cr_expect(settings_complete(&settings, SETTINGS_ALL, &error) < 0);
    cr_expect(strstr(error.message, "cache_packages_path (from REZ_CACHE_PACKAGES_PATH_JSON)"),
              "%s", error.message);
    settings_free(&settings);
}

/* A refusal says what would have been right: both ways to give a share, no number of 19 digits. */
Test(settings, refusals)
{
    static const struct {
        enum setting_id id;
        const char *text, *expected;
    } refusals[] = {
        {SETTING_MAX_SIZE, "x", "a percentage of the disk from 1% to 100%, or a number of bytes"},
        {SETTING_MAX_SIZE, "101%",
         "a percentage of the disk from 1% to 100%, or a number of bytes"},
        {SETTING_MAX_SIZE, "80", "a size with a unit"},
        {SETTING_BWLIMIT, "x", "a number of bytes below 8388608T"},
        {SETTING_BWLIMIT, "8388608T", "a number of bytes below 8388608T"},
        {SETTING_IN_FLIGHT, "x", "a number from 0 to "},
    };
    for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
        struct settings settings = {0};
        struct pkgcache_error error = {0};
        cr_expect(settings_set(&settings, refusals[i].id, refusals[i].text, "a test", &error) ==
                  -EINVAL);
        cr_expect(strstr(error.message, refusals[i].expected), "%s", error.message);
        settings_free(&settings);
    }
    struct settings settings = {0};
    cr_expect(settings_set(&settings, SETTING_BWLIMIT, "8388607T", "a test", NULL) == 0);
    settings_free(&settings);
}
