class Manager:
    def get_resource(self, key, repository_type, **where):
        assert key == 'filesystem.package' and repository_type == 'filesystem'
        return where


package_repository_manager = Manager()
