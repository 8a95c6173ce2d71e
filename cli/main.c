/*
 * pkgcache, the program; and the map of the house.
 *
 * One entry for each directory: what it is for, then its files. "slot" means slot.c and slot.h,
 * "jobs*" all files that begin so. Each directory uses only those above it in this list.
 *
 * engine/               libcopyengine: copies, removes and reads directory trees. Knows files,
 *                       rings and threads, no packages. Public header: copyengine.h
 *   engine              starts and ends the threads (engine_thread), accepts jobs; engine_common:
 *                       what all jobs of an engine share
 *   worker              a thread that copies batches of files
 *   schedule            decides which thread does what next; a fair share for each job
 *   tuner               how many operations are in flight, found by hill climbing
 *   limit, delay        the bandwidth limit: until when a file waits, and those that wait
 *   copy, remove, scan  the three kinds of job: what each does with a directory and its entries
 *   walk                reads directories (directory, source), piece by piece (finding)
 *   file                a file under way: what all steps and threads know of it
 *   transfer            one file, step by step; transfer_scan: of a scan; scan_note: what a scan
 *                       could not read
 *   transfer_copy       a file of a copy: opens it, tries reflink (FICLONE), sets attributes
 *   transfer_data       without reflink: chooses copy_file_range, sendfile, or read and write
 *   attr, symlink, hard_link    what a copy keeps beside contents
 *   manifest, digest    the record of a tree, with a digest of each file
 *   job                 one job: counters, first error, progress; finish, release, cancel: its end
 *   device              what file systems can do, and whether they are remote
 *   io                  the table of operations; io_ring: io_uring; io_threads: plain system calls
 *   compiler, assertion, clock, thread, wake, processors    small things for both libraries
 *
 * cache/                libpkgcache: the cache that is shared with rez. Public header: pkgcache.h
 *  util/                text buffers, UTF-8, files, names in a directory, errors, SHA-1
 *   real                numbers as Python reads and prints them
 *   record              the line format of small records: owners, the lock
 *   share               modes and groups of new files in a shared cache
 *   spread              makes calls on slow storage in parallel
 *  json/                reads and writes JSON as Python does, since handles are hashed and compared
 *   json                the reader; json_value: the types; json_members: duplicate keys
 *   json_write          the writer, with json_string; repr: Python's repr
 *   json_build          what pkgcache itself says, with cJSON; json_stream: piece by piece
 *  owner/               who is alive
 *   owner, process      identifies a process; proves that the owner of a record has ended
 *   owner_file          the same for a file, with its last heartbeat and the grace time
 *   heartbeat           beats as long as copies make progress
 *   watch               waits for other processes' copies (inotify, pidfd)
 *  lock/                the lock of a cache, which is shared with rez
 *   lock                takes, releases and breaks it; lock_file, lock_record: its file, its holder
 *   rezlock             judges whether the rez process that holds it is dead
 *  store/               what lies in a cache, and look-ups
 *   open, cache         opens and closes a cache; creates its directories
 *   handle              what identifies a variant; its hash directory
 *   slot                publishes a payload: reserve, announce, place, commit
 *   slot_name           how slots are named
 *   sidecar             the text of a sidecar: makes and reads it
 *   staging             directories of unfinished copies; writes the files that slot renames
 *   lookup              is a variant cached; is the copier of a slot dead, or overdue
 *   recall              repeated look-ups, as long as nothing has changed
 *   get                 pkgcache_get and get_many, and whether it was a hit or a miss
 *   tree, list          walks all slots; lists all variants
 *   used, size          when a payload was last used; how large it is
 *   damage, heal        judges what is damaged in a slot; deletes it
 *   remove, lease       removes a variant; protects it from clean
 *   slot_manifest       digests of a payload; manifest_reader: reads them
 *   pending, log        rez's queue on disk; the log file
 *   stats               counts hits, misses, copies; summary: adds what is cached now
 *   figures             the names of all figures, as JSON and for Prometheus
 *   status, elements    answers of public calls; arrays of callers with older or newer headers
 *  warm/                copies variants into the cache
 *   warm, run           drives many variants; addition, addition_*: the stages of one (run.h)
 *   roots, refusal      checks the roots; what must not be cached, and why
 *   space               is there room for a copy
 *   flush               group commit: flushes payloads to disk
 *   wait_queue          additions that wait: until when, for changes in which directory
 *  clean/               clean: deletes what is removed, stalled, damaged or abandoned; old logs
 *   evict               removes variants by age and by size
 *   inuse               finds in /proc what is in use
 *   cleaning            one clean under way: the lock, reports, time limit, what is in use
 *   clean_state         where a clean with a time limit stopped
 *  verify/              verify: reads payloads again
 *   payload, comparison one payload; compares two manifests
 *   repair              copies damaged payloads from their source again
 *  doctor/              doctor: examines and changes nothing
 *   doctor_*            one subject each: machine, disk, lock, tree; doctor_report: findings
 *  rez/                 what rez writes
 *   sources             from what is named to what is copied, in stages: source_names (contexts,
 *                       manifests, directories), source_handles, source_missing, source_roots,
 *                       source_additions
 *   context, uri        what a .rxt file says; the parts of a URI
 *   layout              makes handles of URIs: which part is the name, which the version
 *   repository          finds the root of a handle; repository_visit: all variants in a directory
 *   definition*         what package.py and package.yaml say; pyliteral* and yaml* parse them
 *   rezpython           asks rez about what is computed
 *   cachable            what definitions and settings allow
 *   requirement, version    as rez reads and prints them
 *   values              JSON values that the parsers of Python and YAML build
 *   rezconfig*          rez's settings; rezconfig_value: one as a number or a path
 *   settings            pkgcache's settings, one row each: flag, variable, default, help
 *  service/             the daemon, and its client
 *   service, loop       puts the parts together (server.h); descriptors, timers, tasks
 *   listener            the socket, and that a cache has one daemon
 *   connection, peer    one client's lines; which user it is
 *   requests, message   from lines to calls (JSON-RPC); call: answers them
 *   methods             one function for each method: warm, lease, ...
 *   look_ups            answers get and get_many
 *   jobs, job_report    what clients want copied; what they are told of it
 *   warming, copier     from sources to a job; the thread that copies
 *   rooting             roots of variants that were removed after they were named
 *   errands             threads for slow calls: holds (leases), upkeep (clean, stats), listing
 *   queue, serve        rez's queue
 *   precedence, notify  priorities of threads; systemd
 *   report              the daemon's own figures
 *   client*             the other end of the socket, for programs
 *
 * cli/                  the programs
 *   options_read        commands, flags that are no settings, --help; exit: exit codes
 *   cmd_*               one command each; signals: ends them cleanly
 *   named_variants      the variants of the command line, for get, remove and verify
 *   fill, daemon        what warm and add share; whether the daemon does it
 *   output, progress    what is printed; output_parts: sizes, lines of JSON
 *   rez_*               the program rez-pkg-cache: rez_pkg_cache its main(), rez_program what its
 *                       commands share
 *
 * tests/                unit/: one file per source; program/: whole programs, in Python;
 *                       vectors/: what rez printed; slowfs: a slow file system
 * fuzz/                 one target per parser
 * bench/                run.py compares with other tools; also look-ups, locks, the daemon
 * docs/                 for users: manual pages, library, daemon, rez, performance;
 *                       for developers: design, protocol, publishing
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
