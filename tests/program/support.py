"""What whole-program tests share: running the program, temporary directories, packages, waiting.

From the environment: PKGCACHE_PROGRAM and PKGCACHE_SLOWFS (the programs; launch lies beside the
latter), PKGCACHE_BACKEND (handed on), PKGCACHE_TEST_SCALE (0.1 makes trees and repetitions a tenth),
PKGCACHE_TEST_SEED.
"""
import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import uuid
from typing import NamedTuple

import cachecheck
import rezlike
import trees

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
PROGRAM = os.environ.get('PKGCACHE_PROGRAM') or os.path.join(TOP, 'build', 'pkgcache')
SLOWFS = os.environ.get('PKGCACHE_SLOWFS') or os.path.join(TOP, 'build', 'tests', 'slowfs')
LAUNCH = os.path.join(os.path.dirname(SLOWFS), 'launch')
# rezlike.py as a program; compiled where this is (see run.py), which takes it as long as the rest of a start.
REZLIKE = f"""import sys
sys.pycache_prefix, sys.dont_write_bytecode = {sys.pycache_prefix!r}, {sys.dont_write_bytecode!r}
sys.path.insert(0, {HERE!r})
import rezlike
sys.exit(rezlike.main(sys.argv[1:]))
"""
APART = 'PKGCACHE_TEST_APART' in os.environ  # see tests/apart.c
SCALE = float(os.environ.get('PKGCACHE_TEST_SCALE') or 1)
# For what should take a moment: nothing depends on speed. A farm has more patience: Slurm is slow on a busy machine.
PATIENCE_S = 60 / min(1, SCALE) * float(os.environ.get('PKGCACHE_TEST_PATIENCE') or 1)
NOBODY = 65534
# Handles of the locations /svr/packages-NUMBER, otherwise the same, share one hash directory.
SAME_HASH = [28300, 46134, 67116, 96559, 101487, 127102, 129833, 144796, 151534, 187394, 247243, 267603,
             295308, 323071, 370999, 380564, 401282, 409357, 492085, 495711, 527138, 577714, 627012,
             682044, 686269, 692398, 734179, 766888, 821438, 842312]

DONE, FAILED, USAGE, MISSING, PARTLY, LOCKED, FINDINGS = range(7)
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM


def scaled(count, least=1):
    """A count for this run: fewer under sanitizers."""
    return max(least, int(count * min(1, SCALE)))


def once(case):
    """Marks a case that starts no engine: it runs with the first backend only (see run.py)."""
    case.once = True
    return case


# --- temporary things ----------------------------------------------------------------------------

def temporary_name(directory):
    """A name that tests/cleanup knows to be ours, and of which run."""
    run = os.environ.get('PKGCACHE_TEST_RUN') or os.getpid()
    return os.path.join(directory, f'pkgcache-test-{run}-{uuid.uuid4().hex[:12]}')


def at_the_end(register, function, *arguments):
    """Has the function called once: when `register` (addCleanup, stack.callback) says, else at exit."""
    def once():
        atexit.unregister(once)
        function(*arguments)
    atexit.register(once)
    register(once)


def wait_until(condition, what, timeout=PATIENCE_S):
    """Returns the condition's value as soon as it is true; fails after the timeout.

    To look costs: what takes longer is looked at more rarely.
    """
    since = time.monotonic()
    while True:
        value = condition()
        if value:
            return value
        waited = time.monotonic() - since
        if waited > timeout:
            raise AssertionError(f'waited {timeout:.0f} s for {what}')
        time.sleep(min(0.002 + waited / 20, 0.03))


# --- processes -------------------------------------------------------------------------------

def spawn(command, uid=None, pass_fds=(), **options):
    """Starts a process that does not outlive this one; only from the main thread."""
    if APART and uid is None:  # the namespace ends with this process, and all in it
        return subprocess.Popen(command, pass_fds=pass_fds, **options)
    running, writer = os.pipe()
    try:
        process = subprocess.Popen([LAUNCH, str(writer), str(-1 if uid is None else uid), *command],
                                   pass_fds=(writer, *pass_fds), **options)
    finally:
        os.close(writer)
        with open(running, 'rb') as pipe:  # read to its end, which comes once the program runs
            error = pipe.read()
    if error:
        process.wait()
        raise OSError(int(error), os.strerror(int(error)), command[0])
    return process


def end_process(process):
    """Sees a process of ours to its end, by force if it must be."""
    try:
        process.wait(timeout=PATIENCE_S if process.poll() is None else 0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def kill_process(process):
    """Kills a process of ours, also when it is stopped, and closes its pipes."""
    if process.poll() is None:
        process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


def wait_stopped(process):
    """Returns when the process has stopped itself; fails when it ended instead."""
    def stopped():
        state = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT | os.WNOHANG)
        if state is None:
            return False
        if state.si_code != os.CLD_STOPPED:
            raise AssertionError(f'process ended instead of stopping: {finish(process)}')
        return True
    wait_until(stopped, 'a process to stop itself')


class Result(NamedTuple):
    """How a process ended and what it said."""
    code: int
    out: str
    err: str
    seconds: float

    def json(self):
        """The one JSON document on its standard output."""
        return json.loads(self.out)


def finish(process, timeout=None, since=None):
    """Waits for a process of ours and returns its Result; fails when it takes too long."""
    since = since or time.monotonic()
    try:
        out, err = process.communicate(timeout=timeout or PATIENCE_S * 3)
    except subprocess.TimeoutExpired as error:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f'process took too long; it said: {out!r} {err!r}') from error
    return Result(process.returncode, decode(out), decode(err), time.monotonic() - since)


def decode(output):
    """Output as text, undecodable bytes as Python has them."""
    return os.fsdecode(output or b'')


# --- packages --------------------------------------------------------------------------------

class Variant(NamedTuple):
    """A handle, and where the payload is."""
    handle: dict
    root: str

    @property
    def argument(self):
        """The handle as a command takes it."""
        return json.dumps(self.handle)


def make_handle(location='/svr/packages', name='foo', version='1.0', index=None, **others):
    """A handle as rez has them; other keys as given."""
    return {'key': 'filesystem.variant',
            'variables': {'location': location, 'name': name, 'version': version, 'index': index,
                          'repository_type': 'filesystem', **others}}


def write_manifest(path, variants):
    """Writes what `warm` takes: variants with or without a root."""
    entries = [{'handle': variant.handle, **({'root': variant.root} if variant.root else {})}
               for variant in variants]
    with open(path, 'w', encoding='utf-8') as file:
        file.write(json.dumps({'variants': entries}))  # dump() is slower by ten
    return path


# --- the test case ---------------------------------------------------------------------------

class ProgramTest(unittest.TestCase):
    """A test that runs the program: with a directory of its own, and no settings but its own."""

    longMessage = True

    def setUp(self):
        self.directory = self.make_directory()
        self.cache = os.path.join(self.directory, 'cache')
        self.environment = self.make_environment()

    def make_directory(self):
        """A directory that is removed after the test."""
        path = temporary_name(tempfile.gettempdir())
        os.mkdir(path, 0o755)
        at_the_end(self.addCleanup, trees.remove_tree, path)
        return path

    def path(self, *names):
        """A path in the test's directory."""
        return os.path.join(self.directory, *names)

    def make_environment(self):
        """The environment with no settings of rez's or ours but those of the test run."""
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith(('REZ_', 'PKGCACHE_', 'XDG_'))}
        environment.update(HOME=self.directory, LC_ALL='C.UTF-8', REZ_DISABLE_HOME_CONFIG='1',
                           XDG_CONFIG_HOME=os.path.join(self.directory, 'config'),
                           PKGCACHE_SYSTEM_CONFIG='',  # not the machine's
                           PKGCACHE_SPACE_BUFFER='0')  # test disks are small
        if 'PKGCACHE_BACKEND' in os.environ:
            environment['PKGCACHE_BACKEND'] = os.environ['PKGCACHE_BACKEND']
        return environment

    def enter(self, context):
        """Enters a context that ends with the test."""
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value

    # Running

    def start(self, *arguments, uid=None, program=None, stdin=subprocess.DEVNULL, **environment):
        """Starts the program; environment variables by name."""
        process = spawn([program or PROGRAM, *map(os.fsencode, map(str, arguments))], uid=uid,
                        stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                        env={**self.environment, **environment})
        at_the_end(self.addCleanup, kill_process, process)
        return process

    def skip_with_sanitizers(self, why):
        """They need things of their own."""
        with open(PROGRAM, 'rb') as program:
            binary = program.read()
        if b'__asan_init' in binary or b'__tsan_init' in binary:
            self.skipTest(why)

    def run_program(self, *arguments, timeout=None, **options):
        """Runs the program to its end and returns its Result."""
        since = time.monotonic()
        return finish(self.start(*arguments, **options), timeout, since)

    def run_with_input(self, text, *arguments, **options):
        """Runs the program with this text as its standard input."""
        process = self.start(*arguments, stdin=subprocess.PIPE, **options)
        process.stdin.write(text.encode())
        process.stdin.close()
        process.stdin = None
        return finish(process)

    def start_rez(self, *arguments):
        """Starts the stand-in for rez (rezlike.py)."""
        process = spawn([sys.executable, '-S', '-c', REZLIKE, *map(str, arguments)], stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                        env={**os.environ, 'MALLOC_PERTURB_': '0'})
        at_the_end(self.addCleanup, kill_process, process)
        return process

    def warm(self, variants, *arguments, **options):
        """Runs `warm` with a manifest of these variants."""
        manifest = write_manifest(self.path(f'manifest-{uuid.uuid4().hex}.json'), variants)
        return self.run_program('--cache', self.cache, 'warm', manifest, *arguments, **options)

    def get(self, *variants):
        """Runs `get` and returns the roots, None for those that are missing."""
        result = self.run_program('--cache', self.cache, 'get',
                                  *[variant.argument for variant in variants])
        roots = [line or None for line in result.out.split('\n')[:-1]]
        self.assertEqual(len(roots), len(variants), result)
        self.assert_code(result, MISSING if None in roots else DONE)
        return roots

    def listing(self):
        """Runs `list --json` and returns what it printed."""
        result = self.run_program('--cache', self.cache, '--json', 'list')
        self.assert_code(result, DONE)
        return result.json()

    def program_for_anybody(self):
        """The program where any user can run it."""
        copy = self.path('pkgcache')
        if not os.path.exists(copy):
            with open(PROGRAM, 'rb') as source, open(copy, 'wb') as target:
                target.write(source.read())
            os.chmod(copy, 0o755)
        return copy

    # Making packages

    def make_variants(self, count, files=20, seed=None):
        """Variants with random payloads, half of them of one package."""
        seed = trees.random_seed() if seed is None else seed
        print(f'{count} variants of {files} files from seed {seed}')
        variants = []
        for number in range(count):
            name = 'shared' if number % 2 else f'package{number}'
            root = self.path('repository', name, '1.0', str(number))
            os.makedirs(os.path.dirname(root), exist_ok=True)
            trees.TreeMaker(root, seed + number, largest=1 << 17).make(files)
            handle = make_handle(self.path('repository'), name, '1.0', number)
            variants.append(Variant(handle, root))
        return variants

    def make_variant(self, name='foo', files=None, **handle):
        """One variant, with the contents {relative path: bytes} or a few small files."""
        root = self.path('roots', uuid.uuid4().hex)
        contents = {f'{number // 5}/{number}': b'%d\n' % number * 100 for number in range(20)}
        trees.make_plain_tree(root, contents if files is None else files)
        return Variant(make_handle(self.path('repository'), name, **handle), root)

    def same_hash_variants(self, count):
        """Variants whose handles share one hash directory; 30 at most."""
        root = self.make_variant().root
        handles = [make_handle(f'/svr/packages-{number}') for number in SAME_HASH[:count]]
        self.assertEqual(len(handles), count)
        directories = {rezlike.hash_directory('', handle) for handle in handles}
        self.assertEqual(len(directories), 1, directories)
        return [Variant(handle, root) for handle in handles]

    # Judging

    def assert_code(self, result, *codes):
        """The program ended with one of these exit codes."""
        self.assertIn(result.code, codes, f'exit {result.code}; it said: {result.out}{result.err}')

    def assert_refused(self, result, *codes, about=()):
        """It ended with one of these codes, and said `pkgcache: WHAT: WHY` with these words in it."""
        self.assert_code(result, *codes)
        self.assert_message(result, about)

    def assert_message(self, result, about=()):
        """Standard error has lines `pkgcache: WHAT: WHY`, and these words in them."""
        self.assertRegex(result.err, r'(?m)^pkgcache: .+: .+$', result)
        for word in about:
            self.assertIn(str(word), result.err)

    def assert_same_tree(self, source, copy, **how):
        """The copy equals its source."""
        differences = trees.compare_trees(source, copy, **how)
        self.assertEqual(differences[:20], [], f'{len(differences)} differences')

    def assert_cached(self, *variants):
        """Each variant is found and its payload equals its source."""
        for variant, root in zip(variants, self.get(*variants)):
            self.assertIsNotNone(root, variant)
            self.assert_same_tree(variant.root, root)

    def assert_sound(self, variants, **how):
        """The cache breaks no rule (cachecheck.py)."""
        problems = cachecheck.check_cache(self.cache, variants, **how)
        self.assertEqual(problems[:20], [], f'{len(problems)} problems')

    @contextlib.contextmanager
    def untouched(self, *directories):
        """Nothing in these directories changes in the meantime."""
        before = [trees.snapshot(directory) for directory in directories]
        yield
        for directory, expected in zip(directories, before):
            self.assertEqual(trees.snapshot(directory), expected, f'{directory} was touched')


def boot_time():
    """When this machine started, in seconds since the epoch."""
    with open('/proc/stat', encoding='ascii') as file:
        for line in file:
            if line.startswith('btime '):
                return int(line.split()[1])
    raise AssertionError('/proc/stat has no btime')
