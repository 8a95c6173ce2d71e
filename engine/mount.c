/*
 * The kernel says of a descriptor by which mount it was opened, and of each mount which part of
 * which file system it shows. Together with the path of the descriptor that is its place in the
 * file system. Device numbers are those of mountinfo: fstat(2) has others for subvolumes of Btrfs.
 */
#include "engine/mount.h"

#include "engine/compiler.h"
#include "engine/copyengine.h"

#include <ctype.h>
#include <string.h>

/** A place in a file system. */
struct place {
    unsigned major;
    unsigned minor;
    char path[PATH_MAX];
};

/* The byte that is written as \ooo; -1: none is. */
static int read_octal(const char *text)
{
    enum { DIGITS = 3, BASE = 8, MAXIMUM = 255 };
    int value = 0;
    if (*text != '\\')
        return -1;
    for (int i = 1; i <= DIGITS; i++) {
        if (text[i] < '0' || text[i] >= '0' + BASE)
            return -1;
        value = value * BASE + text[i] - '0';
    }
    return value <= MAXIMUM ? value : -1;
}

/* Takes a path, in which space, tab, line feed and backslash are written as \ooo. Returns what
 * follows, or NULL. */
static const char *take_path(const char *text, char ret[PATH_MAX])
{
    size_t length = 0;
    for (; *text && *text != ' '; length++) {
        if (length == PATH_MAX - 1)
            return NULL;
        int octal = read_octal(text);
        unsigned char byte = octal >= 0 ? (unsigned char)octal : (unsigned char)*text;
        memcpy(&ret[length], &byte, 1);
        text += octal >= 0 ? 4 : 1;
    }
    ret[length] = '\0';
    return length > 0 && *ret == '/' && *text == ' ' ? text + 1 : NULL;
}

/* Takes a number and what has to follow it. Returns what follows that, or NULL. */
static const char *take_number(const char *text, char end, unsigned *ret)
{
    char *after;
    if (!text || !isdigit((unsigned char)*text))
        return NULL;
    errno = 0;
    unsigned long number = strtoul(text, &after, 10);
    if (errno || number > UINT_MAX || *after != end)
        return NULL;
    *ret = (unsigned)number;
    return after + 1;
}

bool mount_line_parse(const char *line, struct mount_line *ret)
{
    unsigned parent;
    *ret = (struct mount_line){.id = 0};
    const char *rest = take_number(line, ' ', &ret->id);
    rest = take_number(rest, ' ', &parent);
    rest = take_number(rest, ':', &ret->major);
    rest = take_number(rest, ' ', &ret->minor);
    rest = rest ? take_path(rest, ret->root) : NULL;
    return rest && take_path(rest, ret->point);
}

const char *mount_path_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    if (length > 0 && directory[length - 1] == '/')
        length--;
    bool below =
        strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
    return below ? path + length : NULL;
}

/* Finds out by which mount a descriptor was opened. */
static bool find_mount_id(int fd, unsigned *ret)
{
    static const char key[] = "mnt_id:\t";
    char path[48];
    char line[128];
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    CLEANUP_FCLOSE FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, key, strlen(key)) == 0)
            return take_number(line + strlen(key), '\n', ret);
    return false;
}

static bool find_mount(unsigned id, struct mount_line *ret)
{
    CLEANUP_FREE char *line = NULL;
    size_t size = 0;
    CLEANUP_FCLOSE FILE *file = fopen("/proc/self/mountinfo", "re");
    while (file && getline(&line, &size, file) > 0)
        if (mount_line_parse(line, ret) && ret->id == id)
            return true;
    return false;
}

static bool find_place(int fd, struct place *ret)
{
    char link[48];
    char path[PATH_MAX];
    CLEANUP_FREE struct mount_line *mount = malloc(sizeof(*mount)); /* threads have small stacks */
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof(path) - 1);
    unsigned id;
    if (!mount || length <= 0 || !find_mount_id(fd, &id) || !find_mount(id, mount))
        return false;
    path[length] = '\0';
    const char *below = mount_path_below(path, mount->point);
    if (!below)
        return false;
    *ret = (struct place){.major = mount->major, .minor = mount->minor};
    const char *root = strcmp(mount->root, "/") == 0 ? "" : mount->root;
    return snprintf(ret->path, sizeof(ret->path), "%s%s", root, below) < (int)sizeof(ret->path);
}

bool copyengine_is_inside(int fd, int directory_fd)
{
    CLEANUP_FREE struct place *places = calloc(2, sizeof(*places));
    return places && find_place(fd, &places[0]) && find_place(directory_fd, &places[1]) &&
           places[0].major == places[1].major && places[0].minor == places[1].minor &&
           mount_path_below(places[0].path, places[1].path);
}
