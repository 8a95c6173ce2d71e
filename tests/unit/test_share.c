/* What modes new files and directories get in a cache of several users. */
#include "cache/util/share.h"

#include <criterion/criterion.h>

Test(share, one_user_s_cache_is_left_to_the_umask)
{
    cr_expect(share_file_bits(S_IFDIR | 0755) == 0);
    cr_expect(share_directory_bits(S_IFDIR | 0755) == 0);
    cr_expect(share_directory_bits(S_IFDIR | 01755) == 0);
}

Test(share, a_group_may_write)
{
    cr_expect(share_file_bits(S_IFDIR | 02775) == 0060);
    cr_expect(share_directory_bits(S_IFDIR | 02770) == 0070);
}

Test(share, everybody_may_write)
{
    cr_expect(share_file_bits(S_IFDIR | 0777) == 0066);
    cr_expect(share_directory_bits(S_IFDIR | 0777) == 0077);
}

Test(share, sticky_files_are_read_by_all_and_written_by_one)
{
    cr_expect(share_file_bits(S_IFDIR | 01777) == 0044);
    cr_expect(share_directory_bits(S_IFDIR | 01777) == 01077);
    cr_expect(share_file_bits(S_IFDIR | 03770) == 0040);
}
