/* Files with several names: one file in the copy, too. Knows a table and files; what follows from
 * an answer is its caller's business. */
#pragma once

#include "engine/file.h"
#include "engine/io.h"

#include <pthread.h>
#include <sys/stat.h>

struct hard_link;

/** The files with several names that a job has met. */
struct hard_links {
    pthread_mutex_t lock;
    pthread_mutex_t symlink_lock; /* who makes one that has several names; taken first */
    struct hard_link **buckets;   /* NULL: none was met yet */
    size_t bucket_count;          /* a power of two */
    size_t count;
};

enum hard_link_answer {
    HARD_LINK_COPY,  /* this name comes first, or has to be a file of its own: copy it */
    HARD_LINK_MADE,  /* it is a link now to what another name was copied to */
    HARD_LINK_WAITS, /* the other name is being made; this one is in a batch of hard_link_ready */
    HARD_LINK_FAILED,
};

void hard_links_init(struct hard_links *links);
void hard_links_destroy(struct hard_links *links);

/**
 * Finds out what to do with a file that has several names, and links it if that can be done.
 *
 * @param root_fd  of the copy
 * @param source   the file's attributes
 * @param file     of HARD_LINK_COPY, hard_link_ready is to be called for it when it was made, or
 *                 never will be
 * @param ret_code of HARD_LINK_FAILED: an errno value, positive; ENOMEM: nothing was tried
 */
enum hard_link_answer hard_link_enter(struct hard_links *links, const struct io_port *port,
                                      int root_fd, const struct statx *source, struct file *file,
                                      int *ret_code);

/**
 * The file of a first name was made, or never will be.
 *
 * @return batches of the names that waited for that, for the schedule; NULL: none, also of files
 *         with one name
 */
struct batch *hard_link_ready(struct hard_links *links, struct file *file);

/*
 * Symbolic links with several names. They are made at once, by whoever reads the directory; so one
 * thread at a time makes such a one, between begin and end, and finds the first name made or not.
 */

void hard_link_begin_symlink(struct hard_links *links);
void hard_link_end_symlink(struct hard_links *links);

/**
 * Links a name to another one that was made, if that says the same.
 *
 * @param root_fd   of the copy
 * @param target    that this name is to say in the copy
 * @param source    the link's attributes
 * @param ret_mtime changed to what the other name has
 * @return          false: it has to be made
 */
bool hard_link_symlink(struct hard_links *links, const struct io_port *port, int root_fd,
                       const struct directory *directory, const char *name, const char *target,
                       const struct statx *source, struct timespec *ret_mtime);

/** A name was made; others are to be linked to it. @return 0 or -ENOMEM */
int hard_link_add_symlink(struct hard_links *links, const struct directory *directory,
                          const char *name, const char *target, const struct statx *source,
                          struct timespec mtime);
