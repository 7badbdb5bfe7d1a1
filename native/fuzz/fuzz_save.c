/* Fuzzes what a clean stop leaves: no bytes of manifest or index file lead outside of memory, and what
 * is loaded is a sound log and sound indexes.
 *
 *     byte 0   what to do, modulo 3: the rest is a manifest; an index file as it is; or an index file
 *              whose checksums and outer numbers are put right first
 *
 * Each input lies in a block of its own size, so that the sanitizer sees one byte too many.
 */
#include "base/crc.h"
#include "store/save.h"
#include "store/save_format.h"
#include "store/store.h"

#include <stdlib.h>

#define FILE_MAX ((size_t)1 << 16)
#define DATABASES 3u

typedef struct file {
    uint8_t *data;
    size_t size;
} file;

static file copy_of(const uint8_t *data, size_t size)
{
    file f = {malloc(size != 0 ? size : 1), size};
    if (f.data == NULL) abort();
    if (size != 0) memcpy(f.data, data, size);
    return f;
}

/* What is read is written again as the same text. */
static void fuzz_manifest(const uint8_t *data, size_t size)
{
    file f = copy_of(data, size);
    fe_save_manifest manifest;
    fe_save_fault fault = {0, NULL};
    char text[FE_SAVE_MANIFEST_MAX];
    if (fe_save_manifest_read((const char *)f.data, f.size, &manifest, &fault)) {
        size_t len = fe_save_manifest_write(&manifest, text);
        FE_ASSERT(len == f.size && memcmp(text, f.data, len) == 0);
    } else {
        FE_ASSERT(fault.cause != NULL && fault.offset <= f.size);
    }
    free(f.data);
}

static bool read_file(void *context, void *data, size_t size, uint64_t offset, int *error_code)
{
    const file *f = context;
    (void)error_code;
    FE_ASSERT(offset <= f->size && size <= f->size - offset);
    memcpy(data, f->data + offset, size);
    return true;
}

static void check_loaded(fe_store *store)
{
    FE_ASSERT(fe_log_check(&store->log) == NULL);
    for (uint32_t i = 0; i < DATABASES; i++) {
        const fe_keyspace *keyspace = store->databases[i];
        FE_ASSERT(store->by_id[keyspace->id] == keyspace);
        FE_ASSERT(store->id_state[keyspace->id] == FE_ID_LIVE);
        FE_ASSERT(fe_index_check(&keyspace->index, keyspace->id) == NULL);
    }
}

static void load(file *f, uint64_t keys)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_store_options options = {.databases = DATABASES, .samples = 5, .segment_size = 64 << 10};
    fe_store *store = fe_store_new(&alloc, &options);
    if (store == NULL) abort();
    fe_log_set_tiered(&store->log); /* without a device: the files are not opened */
    fe_save_source source = {.read = read_file,
                             .context = f,
                             .bytes = f->size,
                             .crc = fe_crc32c(0, f->data, f->size),
                             .keys = keys};
    char error[FE_SAVE_ERROR_MAX] = "";
    if (fe_save_load_index(store, &source, error)) {
        check_loaded(store);
        fe_log_forget_files(&store->log);
    } else {
        FE_ASSERT(error[0] != 0 && store->log.high == 0);
    }
    fe_store_free(store);
    FE_ASSERT(fe_alloc_used_all(&alloc) == 0);
}

static void fuzz_index(const uint8_t *data, size_t size)
{
    file f = copy_of(data, size);
    fe_save_head head = {0};
    memcpy(&head, data, size < sizeof(head) ? size : sizeof(head));
    load(&f, head.keys);
    free(f.data);
}

/* Sections as long as there are bytes for, each with its number and its checksum. */
static void sections_right(file *f)
{
    uint32_t ordinal = 0;
    for (size_t at = sizeof(fe_save_head); at < f->size;) {
        fe_save_section section;
        size_t left = f->size - at;
        if (left < sizeof(section) + 8) {
            f->size = at;
            return;
        }
        left -= sizeof(section);
        memcpy(&section, f->data + at, sizeof(section));
        if (section.bytes > left) section.bytes = (uint32_t)left;
        section.bytes &= ~7u;
        if (section.bytes == 0) section.bytes = 8;
        section.ordinal = ordinal++;
        section.kind = section.kind % 5;
        section.crc = fe_save_section_crc(&section, f->data + at + sizeof(section));
        memcpy(f->data + at, &section, sizeof(section));
        at += sizeof(section) + section.bytes;
    }
}

static void fuzz_shell(const uint8_t *data, size_t size)
{
    fe_save_head head;
    if (size < sizeof(head)) return;
    file f = copy_of(data, size);
    sections_right(&f);
    memcpy(&head, f.data, sizeof(head));
    head.magic = FE_SAVE_MAGIC;
    head.version = FE_SAVE_VERSION;
    head.databases = head.databases % 5 + 1;
    head.offset_bits = 13 + head.offset_bits % 10;
    head.high %= 300;
    head.id_last &= FE_KEYSPACE_MAX;
    head.saved_ms &= INT64_MAX >> 2;
    head.crc = fe_save_head_crc(&head);
    memcpy(f.data, &head, sizeof(head));
    file cut = copy_of(f.data, f.size);
    free(f.data);
    load(&cut, head.keys);
    free(cut.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > FILE_MAX) return 0;
    switch (data[0] % 3) {
    case 0: fuzz_manifest(data + 1, size - 1); break;
    case 1: fuzz_index(data + 1, size - 1); break;
    default: fuzz_shell(data + 1, size - 1); break;
    }
    return 0;
}
