/* The start from a folder that is damaged: what is not as it was saved is never served. */
#include "base/crc.h"
#include "store/save_format.h"
#include "tests/store/save_rig.h"

#include <fcntl.h>

typedef struct content {
    uint8_t *data;
    size_t size;
} content;

static void path_of(const tiered *t, const char *name, char path[256])
{
    (void)snprintf(path, 256, "%s/%s", t->path, name);
}

static content file_get(const tiered *t, const char *name)
{
    char path[256];
    struct stat info;
    path_of(t, name, path);
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &info) != 0) abort();
    content c = {malloc((size_t)info.st_size + 1), (size_t)info.st_size};
    if (read(fd, c.data, c.size) != (ssize_t)c.size) abort();
    (void)close(fd);
    return c;
}

static void file_put(const tiered *t, const char *name, const void *data, size_t size)
{
    char path[256];
    path_of(t, name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    (void)close(fd);
}

/* The start fails, says which file, and the folder is as it was. */
static bool refused(tiered *t, const char *name)
{
    bool begun = begin(t, tiered_options());
    bool named = !begun && strstr(error, name) == error;
    if (begun) fprintf(stderr, "a damage of %s was not seen\n", name);
    if (!begun && !named) fprintf(stderr, "not named: %s\n", error);
    leave(t);
    return named;
}

TEST(no_byte_of_manifest_and_index_can_change_unseen)
{
    tiered t;
    saved_folder(&t);
    static const char *const names[] = {"manifest", "index-1"};
    for (unsigned f = 0; f < 2; f++) {
        content c = file_get(&t, names[f]);
        for (size_t i = 0; i < c.size; i += f == 0 || i < 300 ? 1 : 1 + i % 37) {
            c.data[i] ^= (uint8_t)(1u << i % 8);
            file_put(&t, names[f], c.data, c.size);
            CHECK(refused(&t, names[f]));
            c.data[i] ^= (uint8_t)(1u << i % 8);
        }
        for (size_t size = 0; size < c.size; size += f == 0 ? 1 : 1 + size / 7) {
            file_put(&t, names[f], c.data, size);
            CHECK(refused(&t, names[f]));
        }
        c.data[c.size] = 0;
        file_put(&t, names[f], c.data, c.size + 1);
        CHECK(refused(&t, names[f]));
        file_put(&t, names[f], c.data, c.size);
        free(c.data);
    }
    CHECK(begin(&t, tiered_options()));
    claim(&t);
    CHECK(cold_has(&t, 1, 1, 200));
    tiered_close(&t);
}

TEST(a_newer_version_is_told_from_damage)
{
    tiered t;
    saved_folder(&t);
    content c = file_get(&t, "manifest");
    c.data[strlen("ferrite-py manifest ")] = '2';
    file_put(&t, "manifest", c.data, c.size);
    CHECK(refused(&t, "manifest: byte 20: it was written by a newer version"));
    free(c.data);
    char path[256];
    path_of(&t, "index-1", path);
    remove_folder(t.path);
}

typedef struct some_file {
    uint32_t number, generation;
} some_file;

static void note_file(void *context, uint32_t number, uint32_t generation)
{
    *(some_file *)context = (some_file){number, generation};
}

TEST(a_segment_file_that_is_not_what_was_saved_stops_the_start)
{
    tiered t;
    saved_folder(&t);
    CHECK(begin(&t, tiered_options()));
    some_file file;
    int code = 0;
    CHECK(fe_device_list_segments(t.device, note_file, &file, &code));
    leave(&t);
    char name[64], path[256];
    (void)snprintf(name, sizeof name, "log/%08x-%08x.seg", file.number, file.generation);
    content c = file_get(&t, name);
    for (size_t i = c.size - FE_IMAGE_TRAILER; i < c.size; i++) {
        c.data[i] ^= 4;
        file_put(&t, name, c.data, c.size);
        CHECK(refused(&t, name));
        c.data[i] ^= 4;
    }
    file_put(&t, name, c.data, c.size - 4096);
    CHECK(refused(&t, name));
    file_put(&t, name, c.data, 0);
    CHECK(refused(&t, name));
    path_of(&t, name, path);
    CHECK_INT(0, unlink(path));
    CHECK(refused(&t, name));
    CHECK(strstr(error, strerror(ENOENT)) != NULL);
    file_put(&t, name, c.data, c.size);
    free(c.data);
    CHECK(begin(&t, tiered_options()));
    claim(&t);
    tiered_close(&t);
}

TEST(the_file_of_another_store_is_not_taken)
{
    tiered a, b;
    saved_folder(&a);
    fe_store_options options = tiered_options();
    options.seed.k1 ^= 5;
    tiered_open(&b, options);
    b.f.seed = options.seed;
    for (uint64_t i = 0; i < 400; i++)
        put(&b, (uint32_t)i % 3, i, 200, i % 2 ? START_MS + 1000000 : FE_DEADLINE_NONE);
    CHECK(save(&b));
    leave(&b);
    content c = file_get(&b, "log/00000001-00000001.seg");
    file_put(&a, "log/00000001-00000001.seg", c.data, c.size);
    free(c.data);
    CHECK(refused(&a, "log/00000001-00000001.seg"));
    remove_folder(a.path);
    remove_folder(b.path);
}

/* Sums that are right over contents that are not. */
static void index_put(tiered *t, content *c)
{
    size_t at = sizeof(fe_save_head);
    fe_save_head *head = (fe_save_head *)(void *)c->data;
    head->crc = fe_save_head_crc(head);
    while (at < c->size) {
        fe_save_section *section = (fe_save_section *)(void *)(c->data + at);
        section->crc = fe_save_section_crc(section, c->data + at + sizeof *section);
        at += sizeof *section + section->bytes;
    }
    file_put(t, "index-1", c->data, c->size);
    content m = file_get(t, "manifest");
    fe_save_manifest manifest;
    fe_save_fault fault;
    char text[FE_SAVE_MANIFEST_MAX];
    CHECK(fe_save_manifest_read((const char *)m.data, m.size, &manifest, &fault));
    manifest.index_crc = fe_crc32c(0, c->data, c->size);
    file_put(t, "manifest", text, fe_save_manifest_write(&manifest, text));
    free(m.data);
}

/* The payload of the first section of a kind, or of the one behind `after`. */
static uint8_t *section_of(content *c, fe_save_kind kind, unsigned skip)
{
    for (size_t at = sizeof(fe_save_head); at < c->size;) {
        fe_save_section *section = (fe_save_section *)(void *)(c->data + at);
        if (section->kind == (uint32_t)kind && skip-- == 0) return c->data + at + sizeof *section;
        at += sizeof *section + section->bytes;
    }
    abort();
}

#define CASE(cause, change)                                                                        \
    do {                                                                                           \
        content c = {malloc(whole.size), whole.size};                                              \
        memcpy(c.data, whole.data, whole.size);                                                    \
        fe_save_head *head = (fe_save_head *)(void *)c.data;                                       \
        fe_save_segment *row = (void *)section_of(&c, FE_SAVE_SEGMENTS, 0);                        \
        uint8_t *states = section_of(&c, FE_SAVE_STATES, 0);                                       \
        fe_save_database *database = (void *)section_of(&c, FE_SAVE_DATABASE, 0);                  \
        uint64_t *words = (void *)section_of(&c, FE_SAVE_SLOTS, 0);                                \
        (void)head, (void)row, (void)states, (void)database, (void)words;                          \
        change;                                                                                    \
        index_put(&t, &c);                                                                         \
        CHECK(refused(&t, "index-1: "));                                                           \
        CHECK(strstr(error, cause) != NULL);                                                       \
        if (strstr(error, cause) == NULL) fprintf(stderr, "  it said: %s\n", error);               \
        free(c.data);                                                                              \
    } while (0)

/* The first word that is a slot. */
static uint64_t *slot_in(uint64_t *words)
{
    while (*words == FE_SAVE_LAST)
        words++;
    return words;
}

TEST(contents_that_cannot_be_are_refused_whatever_their_sums)
{
    tiered t;
    saved_folder(&t);
    content whole = file_get(&t, "index-1");
    uint64_t far = 1ull << 30;
    CASE("number of databases", head->databases = 0);
    CASE("not as many keys", head->keys++);
    CASE("segments than", head->high = 1u << 20);
    CASE("segment size", head->offset_bits = 40);
    CASE("something else", head->high--);
    CASE("something else", head->high++);
    CASE("sequence", row->sequence = far);
    CASE("sequence", row[1].sequence = row[0].sequence);
    CASE("size of a segment", row->used += 4);
    CASE("size of a segment", row->used = row->bytes + 8);
    CASE("longer than its addresses", row->bytes = far);
    CASE("live bytes", row->live = row->used + 8);
    CASE("live bytes", row->live = 0);
    CASE("live bytes", row->live = 8);
    CASE("file size", row->file_size += 8);
    CASE("role", row->role = FE_ROLE_TAIL);
    CASE("keyspace", row->keyspace = 5000);
    CASE("deadlines", row->deadlines.units[3]++);
    CASE("free segment", row->used = 0);
    CASE("behind the end", memset(row, 0, sizeof *row);
         *slot_in(words) = (*slot_in(words) & ~FE_ADDRESS_MASK) | 1ull << head->offset_bits);
    CASE("state of a keyspace", states[9] = 4);
    CASE("keyspaces as databases", states[9] = FE_ID_LIVE);
    CASE("its own", database->keyspace = 77);
    CASE("another database", database->number = 1);
    CASE("number of keys", database->keys = far);
    CASE("sum of deadlines", database->sum_high ^= 1ull << 63);
    CASE("sum of deadlines", database->sum_high = 1ull << 40);
    CASE("room for", database->buckets = far);
    CASE("wrong bucket", database->buckets *= 2);
    CASE("as many slots", database->buckets /= 2);
    CASE("as many slots", database->expires--);
    CASE("as many slots", database->keys--);
    CASE("as many slots", *slot_in(words) ^= FE_SLOT_DEADLINE);
    CASE("address in no segment", *slot_in(words) |= FE_ADDRESS_MASK);
    CASE("address in no segment", *slot_in(words) &= ~FE_ADDRESS_MASK);
    CASE("behind the end", *slot_in(words) |= (1ull << head->offset_bits) - 1);
    CASE("wrong bucket", *slot_in(words) ^= 1ull << 40);
    CASE("wrong bucket", *slot_in(words) |= FE_SLOT_SHORT | 0xfffffull << 40);
    CASE("", *slot_in(words) ^= FE_SAVE_LAST);
    free(whole.data);
    remove_folder(t.path);
}

int main(void)
{
    RUN(no_byte_of_manifest_and_index_can_change_unseen);
    RUN(a_newer_version_is_told_from_damage);
    RUN(a_segment_file_that_is_not_what_was_saved_stops_the_start);
    RUN(the_file_of_another_store_is_not_taken);
    RUN(contents_that_cannot_be_are_refused_whatever_their_sums);
    return check_done();
}
