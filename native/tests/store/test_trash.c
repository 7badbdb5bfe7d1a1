/* Mappings that wait to be unmapped. */
#include "store/trash.h"
#include "tests/check.h"

#include <string.h>

#define PIECE ((size_t)8192)

typedef struct rig {
    fe_alloc alloc;
    fe_trash_list list;
} rig;

static void rig_init(rig *r)
{
    fe_alloc_init(&r->alloc);
    r->list = (fe_trash_list){0};
}

/* A directory of `end` mappings, of the last one `last` bytes accounted; holes where `holes` has a bit. */
static fe_trash_table table_make(rig *r, uint32_t end, size_t last, uint64_t holes)
{
    uint64_t **mappings = fe_alloc_take_zeroed(&r->alloc, FE_ALLOC_INDEX, end * sizeof(*mappings));
    uint32_t left = 0;
    for (uint32_t i = 0; i < end; i++) {
        if (holes >> i & 1) continue;
        mappings[i] =
            fe_pages_reserve(&r->alloc, FE_ALLOC_INDEX, PIECE, i + 1 == end ? last : PIECE);
        left++;
    }
    return (fe_trash_table){.mappings = mappings,
                            .end = end,
                            .left = left,
                            .size = PIECE,
                            .last_counted = last,
                            .class = FE_ALLOC_INDEX};
}

static void check_held(const rig *r, uint64_t mappings, uint64_t bytes)
{
    CHECK_INT(mappings, r->list.held);
    CHECK_INT(bytes, r->list.held_bytes);
}

/* Takes everything off one by one; returns how many there were. */
static uint64_t drain(rig *r)
{
    uint64_t count = 0;
    for (fe_trash trash; fe_trash_pop(&r->list, &trash); count++) {
        memset(trash.ptr, 0xff, trash.size); /* nothing of the list is in what it gave away */
        fe_trash_unmap(&r->alloc, &trash);
    }
    CHECK_INT(0, r->list.bytes);
    CHECK_INT(0, r->list.count);
    CHECK_INT(0, r->list.bulk);
    CHECK_INT(count, r->list.taken);
    CHECK_INT(0, fe_alloc_used_all(&r->alloc));
    return count;
}

TEST(tables_are_given_back_mapping_by_mapping_with_their_directories)
{
    rig r;
    rig_init(&r);
    static const struct {
        uint32_t end;
        size_t last;
        uint64_t holes;
        uint64_t count, bytes;
    } tables[] = {
        {1, 4096, 0, 1, 4096},         {3, 4096, 0, 3, 2 * PIECE + 4096},
        {5, PIECE, 0x9, 3, 3 * PIECE}, /* the first and one in the middle are not there */
        {4, 4096, 0x8, 3, 3 * PIECE},  /* nor is the last one */
        {2, PIECE, 0x3, 0, 0},         /* an empty directory goes at once */
    };
    uint64_t count = 0, bytes = 0;
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        fe_trash_table table = table_make(&r, tables[i].end, tables[i].last, tables[i].holes);
        fe_trash_put_table(&r.list, &r.alloc, &table);
        count += tables[i].count;
        bytes += tables[i].bytes;
        CHECK_INT(count, r.list.count);
        CHECK_INT(bytes, r.list.bytes);
        CHECK_INT(bytes, r.list.bulk);
    }

    CHECK_INT(count, drain(&r));
}

TEST(bulk_is_what_is_left_of_tables_at_most)
{
    rig r;
    rig_init(&r);
    fe_trash_table table = table_make(&r, 2, PIECE, 0);
    fe_trash_put(&r.list, FE_ALLOC_LOG, fe_pages_map(&r.alloc, FE_ALLOC_LOG, 4096, 4096), 4096);

    fe_trash_put_table(&r.list, &r.alloc, &table);
    CHECK_INT(2 * PIECE + 4096, r.list.bytes);
    CHECK_INT(2 * PIECE, r.list.bulk);
    fe_trash trash;
    CHECK(fe_trash_pop(&r.list, &trash));
    CHECK_INT(4096, trash.size); /* single mappings first */
    fe_trash_unmap(&r.alloc, &trash);
    CHECK_INT(2 * PIECE, r.list.bulk);
    CHECK(fe_trash_pop(&r.list, &trash));
    fe_trash_unmap(&r.alloc, &trash);
    CHECK_INT(PIECE, r.list.bulk);

    fe_trash_empty(&r.list, &r.alloc);
    CHECK_INT(0, fe_alloc_used_all(&r.alloc));
    CHECK(!fe_trash_pop(&r.list, &trash));
}

/* A mapping that is touched, as the values are that come here. */
static void *put_mapping(rig *r, size_t size)
{
    void *ptr = fe_pages_map(&r->alloc, FE_ALLOC_LOG, size, 4096);
    memset(ptr, 7, size);
    fe_trash_put(&r->list, FE_ALLOC_LOG, ptr, size);
    return ptr;
}

TEST(long_mappings_are_kept_apart_and_cut_to_short_ones)
{
    rig r;
    rig_init(&r);
    fe_trash trash;
    put_mapping(&r, FE_TRASH_LONG);
    CHECK(!r.list.is_news);
    CHECK(!fe_trash_cut(&r.list, &r.alloc, PIECE));
    void *longs[2] = {put_mapping(&r, FE_TRASH_LONG + 4096),
                      put_mapping(&r, 2 * FE_TRASH_LONG + 4096)};
    CHECK(r.list.is_news);
    CHECK_INT(3 * FE_TRASH_LONG + 8192, r.list.long_bytes);

    CHECK(fe_trash_pop_short(&r.list, &trash));
    CHECK_INT(FE_TRASH_LONG, trash.size);
    fe_trash_unmap(&r.alloc, &trash);
    CHECK(!fe_trash_pop_short(&r.list, &trash));
    CHECK_INT(2, r.list.count);

    CHECK(fe_trash_cut(&r.list, &r.alloc, FE_TRASH_LONG));
    CHECK_INT(2 * FE_TRASH_LONG + 8192, r.list.bytes);
    CHECK_INT(r.list.bytes, fe_alloc_used(&r.alloc, FE_ALLOC_LOG));
    CHECK(!fe_trash_pop_short(&r.list, &trash)); /* it is still long */
    CHECK(fe_trash_cut(&r.list, &r.alloc, 4096));
    CHECK_INT(FE_TRASH_LONG + 4096, r.list.long_bytes);
    CHECK(fe_trash_pop_short(&r.list, &trash));
    CHECK(trash.ptr == longs[1]);
    CHECK_INT(FE_TRASH_LONG, trash.size);
    fe_trash_unmap(&r.alloc, &trash);

    put_mapping(&r, 4096);
    CHECK(fe_trash_pop(&r.list, &trash)); /* long ones first */
    CHECK(trash.ptr == longs[0]);
    fe_trash_unmap(&r.alloc, &trash);
    CHECK_INT(0, r.list.long_bytes);
    CHECK_INT(4096, r.list.bytes);
    r.list.taken = 0;
    CHECK_INT(1, drain(&r));
}

TEST(what_is_held_waits_for_its_last_reader)
{
    rig r;
    rig_init(&r);
    void *one = fe_pages_map(&r.alloc, FE_ALLOC_LOG, PIECE, 4096);
    void *two = fe_pages_map(&r.alloc, FE_ALLOC_LOG, PIECE, 4096);
    memset(one, 7, PIECE);
    fe_hold a = {0}, b = {0}, c = {0};
    fe_trash_hold(&r.list, &a, one);
    fe_trash_hold(&r.list, &b, one);
    fe_trash_hold(&r.list, &c, two);
    CHECK(fe_trash_is_held(&r.list, one) && !fe_trash_is_held(&r.list, &r));
    check_held(&r, 0, 0); /* what is in use is somebody's */
    CHECK_INT(3, r.list.hold_count);
    fe_trash_put(&r.list, FE_ALLOC_LOG, one, PIECE);
    CHECK_INT(0, r.list.count);
    check_held(&r, 1, PIECE);

    fe_trash_release(&r.list, &c); /* it is still in use */
    CHECK(!fe_trash_is_held(&r.list, two));
    CHECK_INT(0, r.list.count);
    fe_trash_put(&r.list, FE_ALLOC_LOG, two, PIECE);
    CHECK_INT(1, r.list.count);

    /* Whichever of the two goes first. */
    fe_trash_release(&r.list, &b);
    CHECK_INT(1, r.list.count);
    check_held(&r, 1, PIECE);
    CHECK_INT(7, ((uint8_t *)one)[0]);
    fe_trash_release(&r.list, &a);
    fe_trash_release(&r.list, &a); /* does nothing */
    check_held(&r, 0, 0);
    CHECK_INT(0, r.list.hold_count);
    CHECK_INT(2, drain(&r));
}

/* The longest walk to a mapping that is held. */
static unsigned longest_walk(const rig *r)
{
    unsigned longest = 0;
    for (unsigned i = 0; i < FE_TRASH_BUCKETS; i++) {
        unsigned steps = 0;
        for (const fe_hold *hold = r->list.holds[i]; hold != NULL; hold = hold->next)
            steps++;
        if (steps > longest) longest = steps;
    }
    return longest;
}

TEST(many_readers_of_one_mapping_are_one_step)
{
    enum { READERS = 5000 };
    static fe_hold holds[READERS];
    rig r;
    rig_init(&r);
    void *one = fe_pages_map(&r.alloc, FE_ALLOC_LOG, PIECE, 4096);
    for (unsigned i = 0; i < READERS; i++)
        fe_trash_hold(&r.list, &holds[i], one);
    CHECK_INT(1, longest_walk(&r));
    fe_trash_put(&r.list, FE_ALLOC_LOG, one, PIECE);

    for (unsigned i = 0; i < READERS; i++) { /* the first one, the last one, and all between */
        CHECK_INT(READERS - i, r.list.hold_count);
        CHECK_INT(0, r.list.count);
        check_held(&r, 1, PIECE);
        CHECK(fe_trash_is_held(&r.list, one));
        fe_trash_release(&r.list, &holds[i * 1999u % READERS]);
    }

    CHECK_INT(0, longest_walk(&r));
    check_held(&r, 0, 0);
    CHECK_INT(1, drain(&r));
}

TEST(readers_of_many_mappings_are_found_in_few_steps)
{
    enum { READERS = 10000 };
    static fe_hold holds[READERS];
    rig r;
    rig_init(&r);
    uint8_t *mappings = fe_pages_map(&r.alloc, FE_ALLOC_LOG, READERS * PIECE, 4096);
    for (unsigned i = 0; i < READERS; i++)
        fe_trash_hold(&r.list, &holds[i], mappings + i * PIECE);
    CHECK(longest_walk(&r) <= 30);

    for (unsigned i = 0; i < READERS; i += 2)
        fe_trash_put(&r.list, FE_ALLOC_LOG, mappings + i * PIECE, PIECE);
    check_held(&r, READERS / 2, READERS / 2 * PIECE);
    for (unsigned i = 0; i < READERS; i++) {
        CHECK(fe_trash_is_held(&r.list, mappings + i * PIECE));
        fe_trash_release(&r.list, &holds[i]);
        CHECK(!fe_trash_is_held(&r.list, mappings + i * PIECE));
    }
    CHECK_INT(READERS / 2, r.list.count);
    for (unsigned i = 1; i < READERS; i += 2)
        fe_pages_unmap(&r.alloc, FE_ALLOC_LOG, mappings + i * PIECE, PIECE);
    CHECK_INT(READERS / 2, drain(&r));
}

int main(void)
{
    RUN(tables_are_given_back_mapping_by_mapping_with_their_directories);
    RUN(bulk_is_what_is_left_of_tables_at_most);
    RUN(long_mappings_are_kept_apart_and_cut_to_short_ones);
    RUN(what_is_held_waits_for_its_last_reader);
    RUN(many_readers_of_one_mapping_are_one_step);
    RUN(readers_of_many_mappings_are_found_in_few_steps);
    return check_done();
}
