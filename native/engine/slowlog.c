/* See slowlog.h. Each entry owns one block of text that holds its arguments, client address and
 * client name. */
#include "engine/slowlog.h"

#include "base/assert.h"

#include <stdio.h>

#define CAP_MIN 16u

void fe_slowlog_init(fe_slowlog *log, fe_alloc *alloc)
{
    *log = (fe_slowlog){.alloc = alloc};
}

static void entry_drop(fe_slowlog *log, fe_slowlog_entry *entry)
{
    fe_alloc_give(log->alloc, FE_ALLOC_ENGINE, entry->text);
    *entry = (fe_slowlog_entry){0};
}

void fe_slowlog_clear(fe_slowlog *log)
{
    for (uint32_t i = 0; i < log->cap; i++)
        entry_drop(log, &log->ring[i]);
    log->count = 0;
    log->newest = 0;
}

void fe_slowlog_free(fe_slowlog *log)
{
    fe_slowlog_clear(log);
    fe_alloc_give(log->alloc, FE_ALLOC_ENGINE, log->ring);
    log->ring = NULL;
    log->cap = 0;
    log->max = 0;
}

/* Moves the newest entries to a ring of another size; without memory the old one goes on serving. */
static void resize(fe_slowlog *log, uint32_t cap)
{
    fe_slowlog_entry *ring = NULL;
    if (cap > 0) {
        ring = fe_alloc_take_zeroed(log->alloc, FE_ALLOC_ENGINE, cap * sizeof *ring);
        if (ring == NULL) return;
    }
    uint32_t kept = log->count < cap ? log->count : cap;
    for (uint32_t i = 0; i < kept; i++) {
        uint32_t from = (log->newest + log->cap - i) % log->cap;
        ring[kept - 1 - i] = log->ring[from];
        log->ring[from] = (fe_slowlog_entry){0};
    }
    fe_slowlog_clear(log);
    fe_alloc_give(log->alloc, FE_ALLOC_ENGINE, log->ring);
    log->ring = ring;
    log->cap = cap;
    log->count = kept;
    log->newest = kept > 0 ? kept - 1 : 0;
}

void fe_slowlog_set_max(fe_slowlog *log, uint32_t entries_max)
{
    log->max = entries_max;
    if (entries_max < log->cap) resize(log, entries_max);
}

/* Makes room for one entry more, unless the ring is as large as it may be. */
static void grow_when_full(fe_slowlog *log)
{
    if (log->count < log->cap || log->cap >= log->max) return;
    uint32_t cap = log->cap < CAP_MIN / 2 ? CAP_MIN : log->cap * 2;
    resize(log, log->cap > log->max / 2 || cap > log->max ? log->max : cap);
}

/* How many bytes of an argument are kept, and the note about the rest ("" when whole). */
static size_t arg_cut(fe_bytes arg, char note[48])
{
    note[0] = 0;
    if (arg.len <= FE_SLOWLOG_ARG_BYTES) return arg.len;
    snprintf(note, 48, "... (%zu more bytes)", arg.len - FE_SLOWLOG_ARG_BYTES);
    return FE_SLOWLOG_ARG_BYTES;
}

/* Copies `bytes` to *at and advances it. */
static fe_bytes copy(uint8_t **at, const void *bytes, size_t len)
{
    fe_bytes copied = {*at, len};
    if (len > 0) memcpy(*at, bytes, len);
    *at += len;
    return copied;
}

uint64_t fe_slowlog_add(fe_slowlog *log, int64_t unix_seconds, int64_t duration_us,
                        const fe_bytes *argv, uint32_t argc, fe_bytes client_addr,
                        fe_bytes client_name)
{
    if (log->max == 0) return 0;
    if (client_name.len > FE_SLOWLOG_ARG_BYTES) client_name.len = FE_SLOWLOG_ARG_BYTES;
    uint32_t kept = argc < FE_SLOWLOG_ARGS_MAX ? argc : FE_SLOWLOG_ARGS_MAX;
    size_t size = client_addr.len + client_name.len + 64;
    for (uint32_t i = 0; i < kept; i++)
        size += (argv[i].len < FE_SLOWLOG_ARG_BYTES ? argv[i].len : FE_SLOWLOG_ARG_BYTES) + 48;
    uint8_t *text = fe_alloc_take(log->alloc, FE_ALLOC_ENGINE, size);
    if (text == NULL) return 0;
    grow_when_full(log);
    if (log->cap == 0) {
        fe_alloc_give(log->alloc, FE_ALLOC_ENGINE, text);
        return 0;
    }

    log->newest = log->count == 0 ? 0 : (log->newest + 1) % log->cap;
    fe_slowlog_entry *entry = &log->ring[log->newest];
    entry_drop(log, entry);
    if (log->count < log->cap) log->count++;
    *entry = (fe_slowlog_entry){.id = log->next_id++,
                                .unix_seconds = unix_seconds,
                                .duration_us = duration_us,
                                .argc = kept,
                                .text = text};
    uint8_t *at = text;
    for (uint32_t i = 0; i < kept; i++) {
        char note[48];
        if (argc > FE_SLOWLOG_ARGS_MAX && i == kept - 1) {
            int len = snprintf(note, sizeof note, "... (%u more arguments)", argc - kept + 1);
            entry->argv[i] = copy(&at, note, (size_t)len);
            continue;
        }
        size_t len = arg_cut(argv[i], note);
        fe_bytes head = copy(&at, argv[i].ptr, len);
        fe_bytes tail = copy(&at, note, strlen(note));
        entry->argv[i] = (fe_bytes){head.ptr, head.len + tail.len};
    }
    entry->client_addr = copy(&at, client_addr.ptr, client_addr.len);
    entry->client_name = copy(&at, client_name.ptr, client_name.len);
    FE_ASSERT((size_t)(at - text) <= size);
    return entry->id + 1;
}

void fe_slowlog_label(fe_slowlog *log, uint64_t id, const fe_trace_label *label)
{
    for (uint32_t n = 0; n < log->count; n++) {
        fe_slowlog_entry *entry = &log->ring[(log->newest + log->cap - n) % log->cap];
        if (entry->id == id) entry->label = *label;
        if (entry->id <= id) return;
    }
}

const fe_slowlog_entry *fe_slowlog_get(const fe_slowlog *log, uint32_t n)
{
    if (n >= log->count) return NULL;
    return &log->ring[(log->newest + log->cap - n) % log->cap];
}
