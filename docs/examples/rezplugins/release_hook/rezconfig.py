"""What the settings of these plugins are, where rez's configuration does not say."""
pkgcache_manifest = {
    # The program, by its path, or as PATH has it.
    'program': 'pkgcache',
}
