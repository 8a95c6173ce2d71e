/* Symbolic links of the copy: to the letter, or so that they keep their meaning. */
#pragma once

#include "engine/job.h"

enum { SYMLINK_TARGET_MAX = COPYENGINE_LINK_SIZE }; /* the longest that can be made */

/** What "inside the tree" means for links. */
struct symlink_root {
    char *absolute; /* the source as given, made absolute */
    char *resolved; /* the same with every link on the way resolved; NULL: it has no path, and links
                       stay as they are */
};

/** @param ret freed with symlink_forget_root, whatever is returned @return 0 or -errno */
int symlink_find_root(const char *source, struct symlink_root *ret);

void symlink_forget_root(struct symlink_root *root);

/**
 * Finds what a link of a copy must say to reach what the link reaches at the source.
 *
 * @param parent_fd the directory of the link, at the source
 * @param parent    its path relative to the root: "" or "a/b"; no name of it is a link
 * @param name      of the link
 * @param target    what the link says
 * @param ret       what its copy shall say
 * @return          0; -ENAMETOOLONG: `ret` is the target, and the copy leads elsewhere; or -ENOMEM
 */
int symlink_keep_meaning(const struct symlink_root *root, int parent_fd, const char *parent,
                         const char *name, const char *target, char ret[static SYMLINK_TARGET_MAX]);

/** Finds out what "inside the tree" means for a job. @return 0 or -errno */
int symlink_learn_root(struct copyengine_job *job);

/**
 * Copies one link.
 *
 * @param name of the link, in the directory
 * @return     false: failed, and the job knows
 */
bool symlink_copy(const struct io_port *port, struct directory *directory, const char *name);

/**
 * Makes a link, and gives it its time and owner.
 *
 * @param target what it is to say
 * @param source whose owner it gets, if owners are kept; NULL: its own
 * @param mtime  that it shall have; becomes what it has
 * @return       0 or -errno
 */
int64_t symlink_make(const struct io_port *port, const struct directory *directory,
                     const char *name, const char *target, const struct statx *source,
                     struct timespec *mtime);

/** Goes on without a link that its server does not let be read, and warns. @return true */
bool symlink_leave_out(struct directory *directory, const char *name);

/**
 * Reads what a link of the source says, and its attributes.
 *
 * @param target     filled in, with a NUL
 * @param ret_status filled in
 * @return           0 or -errno
 */
int64_t symlink_read(const struct io_port *port, const struct directory *directory,
                     const char *name, char target[static SYMLINK_TARGET_MAX],
                     struct statx *ret_status);
