/*
 * What rez's Python is started with. Nothing of it is looked for in the current directory, which
 * may be anybody's: not the program, and no module.
 */
#pragma once

#include "cache/util/text.h"

/**
 * Written in front of a script that Python runs with -c: Python puts the current directory on its
 * path then. (What it imports before that, it looks for in PYTHONPATH and where it is installed.)
 */
#define REZPYTHON_PRELUDE "import sys; sys.path[:] = [p for p in sys.path if p[:1] == '/']\n"

/** Starts as `struct rezpython_environment environment = {0};`. */
struct rezpython_environment {
    char **variables;        /* as of execve(2) */
    struct text path;        /* PATH=..., of absolute elements */
    struct text python_path; /* PYTHONPATH=..., the same */
};

/**
 * Makes it of this process's own environment.
 *
 * @param ret ended with rezpython_environment_free, also on failure
 * @return    0 or -ENOMEM
 */
int rezpython_environment_make(struct rezpython_environment *ret);

void rezpython_environment_free(struct rezpython_environment *environment);

/**
 * Finds a program as execvp(3) does, but for what PATH names relative to the current directory.
 *
 * @param name with a slash: that file
 * @param ret  its path, allocated
 * @return     0; -ENOENT; -ENOMEM
 */
int rezpython_find_program(const struct rezpython_environment *environment, const char *name,
                           char **ret);
