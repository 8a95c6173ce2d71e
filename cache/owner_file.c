/* Files that say who owns what lies beside them. What follows from it is their users' business. */
#include "cache/owner_file.h"

#include "engine/clock.h"
#include "engine/compiler.h"

#include <sys/stat.h>

void owner_file_look(int fd, const struct owner *self, unsigned grace_s, struct owner_file *ret)
{
    char text[OWNER_TEXT_MAX];
    struct stat status = {0};
    *ret = (struct owner_file){.state = OWNER_UNKNOWN};
    if (fstat(fd, &status) < 0)
        return;
    ssize_t length = pread(fd, text, sizeof(text), 0);
    bool known = length > 0 && owner_parse(text, (size_t)length, &ret->owner) == 0;
    if (!known)
        ret->owner = (struct owner){0};
    ret->state = owner_judge(known ? &ret->owner : NULL, self, &status.st_mtim);
    uint64_t now_s = clock_ns(CLOCK_REALTIME) / NS_PER_S;
    ret->overdue = (int64_t)now_s - status.st_mtim.tv_sec > (int64_t)grace_s;
}
