/*
 * Going through a tree that somebody else may be changing: by descriptors, one name at a time, so
 * that no symbolic link is followed and no path is too long. It keeps one descriptor open, however
 * deep the tree is.
 */
#pragma once

#include <sys/stat.h>

/**
 * Calls `visit` for everything in a tree but its directories. Other file systems are not entered.
 *
 * @param dirfd where `name` starts
 * @param name  of the root, a directory
 * @return      0: that was all; 1: a part could not be read, or was exchanged meanwhile; or -errno:
 *              the root cannot be read, or there was no memory
 */
int descent_visit(int dirfd, const char *name,
                  void (*visit)(void *context, const struct stat *status), void *context);
