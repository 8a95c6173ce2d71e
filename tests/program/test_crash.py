"""The program is killed after each of its steps: what is found is whole, and a rerun completes."""
import os
import shutil
import signal
import unittest

import steps
import support
import trees
from support import DONE


class Killed(steps.StepsTest):
    """Each command, killed after its first step, after its second, and so on to its end."""

    def sweep(self, name, stride=1):
        """Runs a command until a run ends by itself."""
        command = steps.COMMANDS[name]
        threads = 'all' if steps.FULL_SWEEP else 'main'
        before = self.path('before')
        if not command.unique:
            command.prepare(self)
            if os.path.exists(self.cache):
                os.rename(self.cache, before)
        for number in steps.numbers(stride):
            self.begin_with(before, command)
            result = support.finish(self.start_command(
                command, **self.steps_environment(number, signal.SIGKILL, threads)))
            if result.code != -signal.SIGKILL:
                break
            with self.subTest(f'{name}, step {number}: {result.err.strip()}'):
                self.check(command, number)
        print(f'{name}: at most {number - 1} steps')
        self.assert_code(result, DONE)
        self.assert_end(command)
        self.assertGreater(number, 5, f'{steps.STEPS} does not see the steps')

    def begin_with(self, before, command):
        """The cache is as it was before."""
        trees.remove_tree(self.cache)
        if command.unique:
            command.prepare(self)
        elif os.path.exists(before):
            shutil.copytree(before, self.cache, symlinks=True)

    def check(self, command, number):
        """Whoever comes next finds nothing partial, and has no trouble."""
        self.assert_meanwhile(command)
        if number % 2 and os.path.exists(os.path.join(self.cache, '.sys')):  # else after the rerun
            self.assert_code(self.run_program('--cache', self.cache, 'clean'), DONE)
            self.assert_sound(self.variants, cleaned=True, partial=True, ill=command.ill(self))
        self.rerun(command)
        self.assert_end(command)

    def test_add(self):
        """One variant."""
        self.sweep('add')

    def test_warm(self):
        """Several at once."""
        self.sweep('warm', stride=3)

    def test_reuse(self):
        """A new version of what is cached, from a pack."""
        self.sweep('reuse', stride=3)

    def test_reuse_published(self):
        """The same by a published manifest."""
        self.sweep('reuse_published', stride=3)

    def test_unpack(self):
        """From a pack."""
        self.sweep('unpack', stride=3)

    def test_unpack_piped(self):
        """From a pack that comes through a pipe."""
        self.sweep('unpack_piped', stride=3)

    def test_pack(self):
        """A pack is there as a whole, or not at all."""
        self.sweep('pack')

    def test_pack_over_older(self):
        """The one before is there until the new one is."""
        self.sweep('pack_over_older', stride=2)

    def test_heal(self):
        """What is stalled or damaged is taken away and copied anew."""
        self.sweep('heal', stride=4)

    def test_remove(self):
        """Two of three."""
        self.sweep('remove')

    def test_repair(self):
        """One payload of three is copied anew, and found all the time."""
        self.sweep('repair', stride=3)

    def test_clean(self):
        """What nobody needs."""
        self.sweep('clean', stride=4)


if __name__ == '__main__':
    unittest.main()
