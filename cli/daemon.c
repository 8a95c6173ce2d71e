/* Using the daemon. */
#include "cli/daemon.h"

#include "cli/exit.h"
#include "cli/output.h"

#include <errno.h>

enum use { USE_AUTO, USE_NEVER, USE_REQUIRE }; /* the order of the setting's choices */

static enum use use_of(const struct options *options)
{
    return (enum use)options->settings.values[SETTING_DAEMON].number;
}

int daemon_connect(const struct options *options, struct pkgcache_client **ret)
{
    const struct setting_value *values = options->settings.values;
    struct pkgcache_error error;
    *ret = NULL;
    if (use_of(options) == USE_NEVER ||
        pkgcache_client_open(values[SETTING_CACHE].text, values[SETTING_SOCKET].text, ret,
                             &error) == 0)
        return -1;
    if (use_of(options) == USE_REQUIRE)
        return output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    if (error.code != ENOENT && error.code != ECONNREFUSED)
        output_verbose(options, "%s", error.message);
    return -1;
}

bool daemon_is_required(const struct options *options)
{
    return use_of(options) == USE_REQUIRE;
}

bool daemon_is_passed_over(const struct options *options, int result)
{
    if (daemon_is_required(options))
        return false;
    return result == -EAGAIN || result == -EPERM || result == -ECONNRESET || result == -ETIMEDOUT ||
           result == -ENOSYS || result == -EBADMSG || result == -EMSGSIZE;
}
