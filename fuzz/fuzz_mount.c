/* Lines of mountinfo, in which whoever mounts chooses two paths. Both are absolute, and hold no
 * NUL; and what is below a directory begins with it. */
#include "engine/mount.h"
#include "fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct mount_line mount; /* of two PATH_MAX */
    char *line = calloc(1, size + 1);
    FUZZ_CHECK(line);
    memcpy(line, data, size);
    if (mount_line_parse(line, &mount)) {
        FUZZ_CHECK(mount.root[0] == '/' && mount.point[0] == '/');
        FUZZ_CHECK(strlen(mount.root) < PATH_MAX && strlen(mount.point) < PATH_MAX);
        FUZZ_CHECK(mount_path_below(mount.root, mount.root));
        const char *below = mount_path_below(mount.point, mount.root);
        FUZZ_CHECK(!below || *below == '/' || *below == '\0');
    }
    free(line);
    return 0;
}
