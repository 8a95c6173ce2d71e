"""rez's `filesystem` repositories, with payloads that pkgcache copies. An example.

For a rez that asks repositories to copy payloads into its package cache (variant.copy_payload, proposed in
https://github.com/AcademySoftwareFoundation/rez/pull/1993). Then rez itself copies as `pkgcache copy` does: also
where it copies in its own process (package_cache_async = False), or where its rez-pkg-cache was not replaced.

The directory `rezplugins` that this file lies in belongs into a directory of rez's plugin_path:

    export REZ_PLUGIN_PATH=/usr/local/share/pkgcache
"""
import importlib.util
import os
import subprocess

import rez
from rez.exceptions import PackageRepositoryError


def load_built_in():
    """The plugin of this name that comes with rez."""
    path = os.path.join(os.path.dirname(os.path.dirname(rez.__file__)), 'rezplugins',
                        'package_repository', 'filesystem.py')
    spec = importlib.util.spec_from_file_location('rez_built_in_filesystem', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class FileSystemPackageRepository(load_built_in().FileSystemPackageRepository):
    """The same, but for how payloads are copied."""

    def copy_variant_payload(self, variant_resource, path):
        """Copies a payload to a path that does not exist yet."""
        root = variant_resource.root
        if not isinstance(root, str) or not os.path.isdir(root):
            raise PackageRepositoryError(f'The variant has no root: {root}')
        result = subprocess.run(['pkgcache', '-q', 'copy', root, path], stdin=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, encoding='utf-8', check=False)
        if result.returncode != 0:
            raise PackageRepositoryError(result.stderr.strip())
        return True


def register_plugin():
    """What rez asks a plugin for."""
    return FileSystemPackageRepository
