/*
 * pkgcache, the program; and the map of the house.
 *
 * One entry for each directory: what it is for, then its files; "slot" stands for slot.c and
 * slot.h. Each directory uses only those above it in this list.
 *
 * engine/           libcopyengine: copies, removes and reads directory trees; knows no packages.
 *                   Public header: copyengine.h
 *   engine          starts and ends the threads, accepts jobs
 *   job, cancel     one job: counters, first error, progress, heartbeats, its end; ended early
 *   schedule        decides which thread does what next; a fair share for each job
 *   tuner, limit    how many operations are in flight; the bandwidth limit
 *   walk, directory reads directories, for copies and for remove and scan
 *   worker          a thread that copies batches of files
 *   transfer        one file, step by step: reflink (FICLONE) first, else transfer_data:
 *                   copy_file_range, sendfile, read and write; transfer_scan: reads only
 *   attr, symlink, hard_link      what a copy keeps beside contents
 *   manifest, digest              the record of a tree, with a digest of each file
 *   device          what file systems can do, and whether they are remote
 *   io              the table of operations; io_ring: io_uring; io_threads: plain system calls
 *   compiler, clock, thread, wake, processors      small things for both libraries
 *
 * cache/            libpkgcache: the cache that is shared with rez. Public header: pkgcache.h
 *  util/            text buffers, UTF-8, files, names in a directory, errors
 *   share           modes and groups of new files in a shared cache
 *   spread          makes calls on slow storage in parallel
 *  json/            reads and writes JSON as Python does, since handles are hashed and compared
 *   json            the reader; json_string, json_write: the writer; repr: Python's repr
 *   json_build      what pkgcache says, with cJSON
 *  owner/           who is alive
 *   owner, process  identifies a process; decides whether the owner of a record has ended
 *   owner_file      the same for a file, with its last heartbeat and the grace time
 *   heartbeat       beats as long as copies make progress
 *   watch           waits for other processes' copies (inotify, pidfd)
 *  lock/            the lock of a cache, which is shared with rez
 *   lock            takes and releases it; lock_file, lock_record: its file, and who holds it
 *   rezlock         decides whether the rez that holds it is dead
 *  store/           what lies in a cache, and look-ups
 *   cache           opens a cache, creates its directories
 *   handle          what identifies a variant; its hash directory
 *   slot            publishes a payload: reserve, announce, place, commit; decides whether a copier
 *                   is dead (slot_copier_is_gone)
 *   sidecar         writes and reads sidecars; staging: directories of unfinished copies
 *   lookup, recall  is a variant cached; the same again, as long as nothing has changed
 *   tree, list      walks all slots; lists all variants
 *   used, size      when a payload was used, and how large it is
 *   damage, heal    judges what is damaged; repairs it
 *   remove, lease   removes a variant; protects it from clean
 *   slot_manifest, manifest_reader      digests of a payload
 *   pending         rez's queue on disk; log: the log file
 *   stats           counts hits, misses, copies; summary, figures: what stats prints
 *  warm/            copies variants into the cache
 *   warm, run       drives many variants; addition, addition_*: the stages of one
 *   roots, refusal  checks the roots; what must not be cached, and why
 *   space           is there room for a copy
 *   flush           group commit: flushes payloads to disk
 *   waiting         who waits until when, for which directory
 *  clean/
 *   clean           deletes what is removed, stalled, damaged or abandoned; old logs
 *   evict           removes variants by age and by size
 *   inuse           finds in /proc what is in use
 *   clean_state     where a clean with a time limit stopped
 *  verify/          reads payloads again (payload), compares manifests (comparison), repair
 *  doctor/          examines and changes nothing: doctor_machine, _disk, _lock, _tree
 *  rez/             what rez writes
 *   sources, sources_*        from what the command line names to variants and their roots
 *   context, uri    .rxt files; URIs
 *   repository      finds the root of a handle or URI; repository_visit: all below a directory
 *   definition      package.py (parsed by pyliteral*) and package.yaml (yaml*); definition_rez and
 *                   rezpython ask rez about what is computed
 *   cachable        what definitions and settings allow
 *   requirement, version      as rez reads and prints them
 *   rezconfig*      rez's settings
 *   settings        pkgcache's settings: flags, variables, defaults, help
 *  service/         the daemon, and its client
 *   server          the loop; listener: the socket, one daemon for a cache
 *   queue, serve    rez's queue
 *   connection*     one client's requests and answers; message: JSON-RPC; peer: who the client is
 *   methods         answers get, warm, lease, ...: one function each
 *   jobs*           what clients want copied; warming: from sources to a job; copier: its thread
 *   errands         threads for slow calls: holds (leases), upkeep (clean, stats, list)
 *   precedence      priorities of threads; notify: systemd; report: the daemon's figures
 *   client*         the other end of the socket, for programs
 *
 * cli/              the programs
 *   options         the command line and --help; cmd_*: one command each; exit: exit codes
 *   fill            what warm and add share; daemon: whether the daemon does it
 *   output, progress    what is printed
 *   rez_*           the program rez-pkg-cache
 *
 * tests/            unit/: one file per source; program/: whole programs, in Python; vectors/: what
 *                   rez printed; slowfs, a slow file system
 * fuzz/             one target per parser
 * bench/            run.py compares with other tools; look-ups, locks, the daemon
 * docs/             for users: manual pages, library, daemon, rez, performance; for developers:
 *                   design, protocol, publishing
 */
#include "cli/options.h"
#include "cli/standard.h"

int main(int argc, char **argv)
{
    struct options options;
    standard_keep_descriptors();
    int code = options_read(argc, argv, &options);
    if (code < 0)
        code = options.command->run(&options);
    options_free(&options);
    return standard_end(code);
}
