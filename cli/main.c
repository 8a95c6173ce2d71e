/*
 * pkgcache, the program; and the map of the sources.
 *
 * One entry for each directory: what it is for, then its files. "slot" means slot.c and slot.h,
 * "jobs*" all files that begin so. Each directory uses only those above it in this list.
 *
 * engine/               libcopyengine: copies, removes and reads directory trees. Knows files,
 *                       rings and threads, no packages. Public header: copyengine.h
 *   engine              starts and ends the threads (engine_thread), accepts jobs; engine_common:
 *                       what all jobs of an engine share
 *   worker              a thread that copies batches of files
 *   schedule            decides which thread does what next; a fair share for each job; shares: of
 *                       each source; units: of supplies, and their memory; slices: files taken at
 *                       once
 *   tuner               how many operations are in flight, found by hill climbing
 *   ranges              which parts of large files are next
 *   limit, delay        the bandwidth limit: until when a file waits, and those that wait
 *   copy, remove, scan, supply   the four kinds of job: what each does with a directory and its
 *                       entries; supplied: what a supply is made of, supply_check: whether that is
 *                       a tree
 *   destination         directories that are made, and what is learned of where they are
 *   walk                reads directories (directory, source), piece by piece (finding)
 *   file                a file under way: what all steps and threads know of it
 *   transfer            one file, step by step; transfer_scan: of a scan; scan_note: what a scan
 *                       could not read; transfer_supply: all files that have bytes in one part;
 *                       transfer_origin: a file of a supply that is taken from another file
 *   transfer_copy       a file of a copy: opens it, tries reflink (FICLONE), sets attributes
 *   transfer_data       without reflink: chooses copy_file_range, sendfile, or read and write
 *   holes               which parts of a file are holes, as far as its file system tells
 *   attr, acl, symlink, hard_link   what a copy keeps beside contents
 *   manifest, digest    the record of a tree, with a digest of each file
 *   job                 one job: counters, first error, progress; finish, release, cancel: its end
 *   device              what file systems can do, and whether they are remote
 *   mount               where a directory is in its file system, whatever mount leads to it
 *   io                  the table of operations; io_ring: io_uring; io_threads: plain system calls
 *   compiler, assertion, clock, thread, wake, processors    small things for both libraries
 *   own_directory       adds permissions to a directory of this user's
 *   same_mount          opens what has a name, and looks at it, but not at what is mounted there
 *
 * cache/                libpkgcache: the cache that is shared with rez. Public header: pkgcache.h
 *  util/                text buffers, UTF-8, files, names in a directory, errors, SHA-1; own_path:
 *                       follows links of people whom we trust; access, as_user: what another user
 *                       may do; does it
 *   descent             goes through a tree that others may change, by descriptors
 *   real                numbers as Python reads and prints them
 *   record              the line format of small records: owners, the lock
 *   share               modes and groups of new files in a shared cache; project: quotas
 *   spread              makes calls on slow storage in parallel
 *   beneath             opens what is below a directory, and nothing else
 *   suggest             which name a mistyped one is close to
 *  json/                reads and writes JSON as Python does, since handles are hashed and compared
 *   json                the reader; json_value: the types; json_members: duplicate keys
 *   json_write          the writer, with json_string; repr: Python's repr
 *   visible             escapes what is not to reach a terminal
 *   json_build          what pkgcache itself says, with cJSON; json_stream: piece by piece
 *  owner/               who is alive
 *   owner, process      identifies a process; proves that the owner of a record has ended
 *   owner_file          the same for a file, with its last heartbeat and the grace time
 *   heartbeat           beats as long as copies make progress
 *   watch               waits for other processes' copies (inotify, pidfd)
 *  lock/                the lock of a cache, which is shared with rez
 *   lock                takes, releases and breaks it; lock_file, lock_record: its file
 *   lock_holder         which process has it
 *   lock_probe          whether a file system can carry it
 *   rezlock             judges whether the rez process that holds it is dead
 *  store/               what lies in a cache, and look-ups
 *   open, cache         opens and closes a cache; creates its directories
 *   advice              what to do about an error in a cache
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
 *   own                 who can have put something there
 *   foreign             tells a cache from a repository of packages
 *   damage, heal        judges what is damaged in a slot; deletes it
 *   remove, lease       removes a variant; protects it from clean
 *   slot_manifest       digests of a payload; manifest_reader: reads them
 *   pending, log        rez's queue on disk; the log file
 *   poison              what of the queue can never be served, set aside
 *   stats               counts hits, misses, copies; summary: adds what is cached now
 *   figures             the names of all figures, as JSON and for Prometheus
 *   status, elements    answers of public calls; arrays of callers with older or newer headers
 *   warnings            what a copy left out: part of a result
 *  pack/                packs: variants in one file, from which caches elsewhere are filled
 *   pack                the format's numbers, and what reader and writer share
 *   pack_reader         reads packs: pack_open, pack_head: the list of variants; pack_entries: what
 *                       one consists of; pack_frame: bytes; records, zstd_frame: the forms of both
 *   seek_table          the table of frames at the end
 *  published/           manifests beside repositories: what variants consist of
 *   published           opens one that counts; published_head: its first part
 *   published_way       the directories up to it, and who can have written there
 *   published_sources   what it was made of, and whether that was changed
 *  warm/                copies variants into the cache
 *   warm, run           drives many variants; addition, addition_*: the stages of one (run.h)
 *   roots, refusal      checks the roots; what must not be cached, and why
 *   supply              what brings a payload instead of its root; first_error: why it could not
 *   pack_supply         a variant of a pack does, frame by frame; pack_contents: what it consists
 *                       of; pack_stream: of one from a pipe, what is kept until it is needed;
 *                       pack_ahead: one with a file server is read in order
 *   published_supply    a directory does, by its published manifest; supply_origins: which files
 *                       of donors and of a source contents are taken from
 *   donors              which cached variants have contents that a new one has, by their manifests
 *   space               is there room for a copy
 *   flush               group commit: flushes payloads to disk
 *   wait_queue          additions that wait: until when, for changes in which directory
 *  clean/               clean: deletes what is removed, stalled, damaged or abandoned; old logs
 *   evict               removes variants by age and by size
 *   inuse               finds in /proc what is in use
 *   cleaning            one clean under way: the lock, reports, time limit, what is in use
 *   clean_state         where a clean with a time limit stopped
 *   sharing             clean --share: equal files (equal_files) get the same blocks (dedupe)
 *  verify/              verify: reads payloads again
 *   payload, comparison one payload; compares two manifests
 *   repairs             which damaged payloads are copied from their source again, and with whose
 *                       rights; repair: as ourselves; repair_for: as another user
 *  doctor/              doctor: examines and changes nothing
 *   doctor_*            one subject each: machine, disk, lock, tree, manifests; doctor_report:
 *                       findings
 *  rez/                 what rez writes
 *   sources             from what is named to what is copied, in stages: source_names (contexts,
 *                       manifests, directories), source_handles, source_missing, source_roots,
 *                       source_additions; source_packs: variants in packs, and whose packs
 *   context, uri        what a .rxt file says; the parts of a URI
 *   layout              makes handles of URIs: which part is the name, which the version
 *   rules               by which of its settings rez finds packages
 *   repository          finds the root of a handle; repository_visit: all variants in a directory;
 *                       repository_kind: what that directory is
 *   definition*         what package.py and package.yaml say; pyliteral* and yaml* parse them
 *   rezpython           asks rez about what is computed; rezpython_environment: with what it is
 *                       started
 *   cachable            what definitions and settings allow
 *   requirement, version    as rez reads and prints them
 *   values              JSON values that the parsers of Python and YAML build
 *   rezconfig*          rez's settings; rezconfig_merge: of several files; rezconfig_value: one as
 *                       a number or a path
 *   settings            where pkgcache's settings come from; setting_table: one row each: flag,
 *                       variable, default, help; settings_files: those that stand in files;
 *                       settings_file: their parser
 *  preload/             many nodes at once, through Slurm or another launcher
 *   farm_coordinator    what comes when
 *   farm_attempts       starts launchers, collects what nodes report; farm_silence: why one did not
 *   farm_packing, farm_cast    makes the pack; sends its parts to nodes (farm_digest)
 *   farm_directory      a run's files; farm_event: its journal; farm_history: what has happened
 *   farm_choice         which way bytes go: by what is lacking (farm_size), and what earlier runs
 *                       took (farm_rates)
 *   farm_plan           what a run is to do; farm_run: its facts; farm_report: as a file;
 *                       farm_page: as a page
 *   farm_order, farm_line    what a node is told; what it says
 *   farm_launcher       command lines of launchers; farm_slurm: Slurm's; farm_hosts: those over
 *                       ssh; farm_child: runs them
 *   farm_names          which words may stand in a command line
 *   farm_doctor*        doctor --farm: why a preload would fail on this host
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
 *   vetting, guest      what clients of other users may have copied
 *   errands             threads for slow calls: holds (leases), upkeep (clean, stats), listing
 *   queue, serve        rez's queue
 *   shared_options      with which the threads open the cache; SIGHUP makes others
 *   precedence, notify  priorities of threads; systemd
 *   report              the daemon's own figures
 *   client*             the other end of the socket, for programs
 *  packing/             makes packs, and checks them (not in libpkgcache.so)
 *   pack_writer         puts variants into a pack: what the other files read and make, in order
 *   pack_tree, xattrs   what is in a tree; tree_reading: reads trees, side by side; read_ahead: the
 *                       contents of their files, many at a time
 *   same                which bytes are there already
 *   tar_writer, tar_acl headers that tar reads; archive: loads libarchive for it
 *   frames              compresses, in parallel; index_writer, pack_output: the rest of the file
 *   pack_check          whether a pack is sound
 *  publishing/          makes published manifests (not in libpkgcache.so)
 *   publishing          a scan, its records in order (scan_order), what it does not tell (details)
 *   placing             puts one into its repository; comparing: with what the payload is now
 *
 * cli/                  the programs
 *   command_table       the tables of commands and options; options_read reads the command line by
 *                       them, help prints them, completion* print them for shells; mistakes: what
 *                       is meant by others; exit: exit codes
 *   cmd_*               one command each; signals: ends them cleanly; interruption: at once, while
 *                       nothing has begun
 *   leave               leaves the descriptors and the directory of who started a daemon
 *   named_variants      the variants of the command line, for get, remove and verify;
 *                       variant_names: what list prints, and standard input; variant_uri: what a
 *                       variant is called, for people; list_wanted: which ones list is to show
 *   report              --report of warm, dry or not
 *   policy              what may not be cached, and which settings say so: for warm and doctor
 *   fill, daemon        what warm and add share; whether the daemon does it
 *   preload_*           preload: a run that is started or followed, its table, the part on a node
 *   pack_show           lists packs, and says whether they are sound
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
    standard_ignore_signals();
    int code = options_read(argc, argv, &options);
    if (code < 0)
        code = options.command->run(&options);
    options_free(&options);
    return standard_end(code);
}
