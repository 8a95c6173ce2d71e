/* Project ids of directories. */
#include "cache/util/project.h"

#include <linux/fs.h>
#include <sys/ioctl.h>

bool project_find(int fd, uint32_t *ret)
{
    struct fsxattr attributes;
    if (ioctl(fd, FS_IOC_FSGETXATTR, &attributes) < 0 ||
        !(attributes.fsx_xflags & FS_XFLAG_PROJINHERIT))
        return false;
    *ret = attributes.fsx_projid;
    return true;
}

void project_follow(int fd, int directory_fd)
{
    struct fsxattr attributes;
    uint32_t project;
    uint32_t own;
    if (!project_find(directory_fd, &project) || (project_find(fd, &own) && own == project) ||
        ioctl(fd, FS_IOC_FSGETXATTR, &attributes) < 0)
        return;
    attributes.fsx_projid = project;
    attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
    (void)ioctl(fd, FS_IOC_FSSETXATTR, &attributes);
}
