/* Events that are rare, and told as spans of their own: a connection that has ended, a segment that was written, a
 * run of compaction, the start and the stop.
 *
 * Whoever does the work begins an event and ends it, with the engine's lock held at both; times are readings of
 * the processor's counter. An event that is kept goes into a ring of fixed size; when that is full the newest is
 * lost, and counted. One thread takes them out, without the lock.
 *
 * They are kept as commands are: sampled by the trace id, or retained for an error or for their time. An event
 * below a command, or below another event, is kept with it. While commands are not recorded there are none.
 */
#ifndef FE_EVENT_RARE_H
#define FE_EVENT_RARE_H

#include "event/recorder.h"

#define FE_RARE_NUMBERS 8u
#define FE_RARE_TEXT_MAX                                                                           \
    112u /* bytes, as long as a path of a socket may be; a longer text is cut */
#define FE_RARE_ROOM_MAX 1024u

typedef enum fe_rare_kind {
    FE_RARE_CONNECTION, /* id, commands, bytes received, bytes sent, whether the server ended it; the peer */
    FE_RARE_FLUSH,    /* segment, bytes of the file, errno, tier after it */
    FE_RARE_DEMOTION, /* segments, bytes of memory */
    FE_RARE_COMPACTION, /* purpose (fe_rare_purpose), segments, the last one, bytes read, moved, expired, evicted;
                           errno */
    FE_RARE_EPOCH, /* segment, epoch, tier after it */
    FE_RARE_RECOVERY, /* fe_save_found, keys, segments, their bytes, bytes of the index, orphans; the folder that
                           was set aside */
    FE_RARE_CHECKPOINT, /* whether it failed, keys, segments, their bytes, bytes of the index */
    FE_RARE_KINDS
} fe_rare_kind;

typedef struct fe_rare_event {
    uint8_t kind; /* fe_rare_kind */
    bool open;    /* it is to be ended; else nobody wants it */
    bool sampled;
    bool below; /* it has a parent, and is kept with it */
    uint8_t text_len;
    uint64_t began, ended; /* ticks */
    uint64_t threshold;    /* as in fe_draft */
    uint8_t trace_id[16];
    uint64_t span_id, parent_id;
    uint64_t numbers[FE_RARE_NUMBERS];
    uint8_t text[FE_RARE_TEXT_MAX];
} fe_rare_event;

typedef struct fe_rare_counts {
    uint64_t dropped; /* for want of room */
    uint64_t
        left_out; /* connections over connection_rate_max, and what retain_rate_max did not let pass */
} fe_rare_counts;

typedef struct fe_rare {
    fe_telemetry *telemetry;
    bool is_on;                  /* under the lock */
    const fe_rare_event *parent; /* of what begins meanwhile, or NULL; under the lock */
    fe_random random;
    fe_rate connections;
    fe_rare_event *slots; /* NULL: never on */
    uint32_t room;
    _Atomic uint64_t head, taken;
    _Atomic uint64_t dropped, left_out;
} fe_rare;

void fe_rare_init(fe_rare *rare, fe_telemetry *telemetry);
void fe_rare_destroy(fe_rare *rare);

/* Follows the options of `telemetry`. False when memory is exhausted: then it stays off. */
FE_MUST_USE bool fe_rare_follow(fe_rare *rare);

/* Begins an event that began at `ticks`. False, with `event->open` false: nobody wants it. */
bool fe_rare_begin(fe_rare *rare, fe_rare_event *event, fe_rare_kind kind, uint64_t ticks);

/* Ends an event; `failed` is for the rule that keeps errors. Does nothing when it is not open. */
void fe_rare_end(fe_rare *rare, fe_rare_event *event, uint64_t ticks, bool failed);

/* The same for what is always kept. */
void fe_rare_keep(fe_rare *rare, fe_rare_event *event, uint64_t ticks);

void fe_rare_set_text(fe_rare_event *event, fe_bytes text);

/* Copies up to `max` events and takes them out; returns how many. One thread. */
uint32_t fe_rare_take(fe_rare *rare, fe_rare_event *out, uint32_t max);

/* Any thread. */
uint64_t fe_rare_waiting(const fe_rare *rare);
bool fe_rare_is_pressed(const fe_rare *rare); /* the ring is half full: it is time to take */
fe_rare_counts fe_rare_count(const fe_rare *rare);

#endif
