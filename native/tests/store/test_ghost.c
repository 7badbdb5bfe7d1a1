/* The ghost: remembers the last so many keys, and little else. */
#include "base/hash.h"
#include "store/ghost.h"
#include "tests/check.h"

static uint64_t hash_of(uint64_t i)
{
    fe_hash_seed seed = {1, 2};
    return fe_hash(&seed, (const uint8_t *)&i, sizeof i);
}

TEST(what_was_added_lately_is_known_once)
{
    fe_alloc alloc;
    fe_trash_list trash = {0};
    fe_ghost ghost = {0};
    fe_alloc_init(&alloc);
    fe_ghost_resize(&ghost, &alloc, &trash, 4096);
    for (uint64_t i = 0; i < 2000; i++)
        fe_ghost_add(&ghost, hash_of(i));
    uint64_t known = 0, again = 0, strangers = 0;
    for (uint64_t i = 0; i < 2000; i++)
        known += fe_ghost_take(&ghost, hash_of(i));
    for (uint64_t i = 0; i < 2000; i++)
        again += fe_ghost_take(&ghost, hash_of(i));
    for (uint64_t i = 10000; i < 20000; i++)
        strangers += fe_ghost_take(&ghost, hash_of(i));
    CHECK(known > 1940); /* few buckets overflow at half load */
    CHECK(again < 5);
    CHECK(strangers < 10);
    fe_ghost_close(&ghost, &alloc);
    CHECK_INT(0, fe_alloc_used_all(&alloc));
}

TEST(what_is_older_than_the_capacity_is_forgotten)
{
    fe_alloc alloc;
    fe_trash_list trash = {0};
    fe_ghost ghost = {0};
    fe_alloc_init(&alloc);
    fe_ghost_resize(&ghost, &alloc, &trash, 1 << 16);
    fe_ghost_set_capacity(&ghost, 1000);
    for (uint64_t i = 0; i < 5000; i++)
        fe_ghost_add(&ghost, hash_of(i));
    uint64_t old = 0, young = 0;
    for (uint64_t i = 0; i < 3900; i++)
        old += fe_ghost_take(&ghost, hash_of(i));
    for (uint64_t i = 4100; i < 5000; i++)
        young += fe_ghost_take(&ghost, hash_of(i));
    CHECK(old < 5);
    CHECK(young > 890);
    fe_ghost_close(&ghost, &alloc);
}

TEST(without_memory_it_knows_nothing)
{
    fe_alloc alloc;
    fe_trash_list trash = {0};
    fe_ghost ghost = {0};
    fe_alloc_init(&alloc);
    fe_alloc_fail_after(&alloc, 0);
    fe_ghost_resize(&ghost, &alloc, &trash, 4096);
    fe_ghost_add(&ghost, hash_of(1));
    CHECK(!fe_ghost_take(&ghost, hash_of(1)));
    fe_ghost_close(&ghost, &alloc);
}

int main(void)
{
    RUN(what_was_added_lately_is_known_once);
    RUN(what_is_older_than_the_capacity_is_forgotten);
    RUN(without_memory_it_knows_nothing);
    return check_done();
}
