"""A release hook for rez: publishes what was released, so that caches need not walk it. An example.

After a release, it runs `pkgcache manifest` on all variants of the package: also on those that were there
before, since a release writes the definition anew. What goes wrong is printed, and the release stays.

The directory `rezplugins` that this file lies in belongs into a directory of rez's plugin_path:

    release_hooks = ["pkgcache_manifest"]
    plugin_path = ["/usr/local/share/pkgcache"]
"""
import os
import subprocess

from rez.release_hook import ReleaseHook
from rez.utils.logging_ import print_warning


class PkgcacheManifestReleaseHook(ReleaseHook):
    """Writes LOCATION/.pkgcache/manifests/NAME/VERSION."""

    schema_dict = {'program': str}

    @classmethod
    def name(cls):
        """What rez calls it."""
        return 'pkgcache_manifest'

    def post_release(self, user, install_path, variants, **kwargs):
        """Called when all variants are where they belong."""
        if not variants:
            return
        package = os.path.dirname(variants[0].parent.uri)
        try:
            result = subprocess.run([self.settings.program, '-q', 'manifest', '--', package],
                                    stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                    encoding='utf-8', errors='replace', check=False)
        except OSError as error:
            print_warning(f'No manifest was published: {self.settings.program}: {error.strerror}')
            return
        if result.returncode != 0:
            print_warning(f'Not all manifests were published: {result.stderr.strip()}')


def register_plugin():
    """What rez asks a plugin for."""
    return PkgcacheManifestReleaseHook
