/* The clean stop of a tiered store, and the start after it. The files are described in
 * store/save_format.h.
 *
 *     stop:   fe_save_run     everything is sealed and flushed; `index-<n>`, synced; `manifest`
 *     start:  fe_save_open    manifest, index and the segment files are checked and loaded
 *             fe_save_claim   the manifest is removed, synced: from now on the folder changes
 *
 * While there is a manifest, the folder is a whole and nothing in it changes. A folder that has
 * segments but no manifest belonged to a server that did not end cleanly: what is in them may be older
 * than what clients were told, so they are set aside, not served.
 *
 * Threads: nobody else uses the store; the calls block on the disk.
 */
#ifndef FE_STORE_SAVE_H
#define FE_STORE_SAVE_H

#include "store/device.h"
#include "store/keyspace.h"
#include "store/reserve.h"

#define FE_SAVE_ERROR_MAX 256u

typedef enum fe_save_found {
    FE_SAVE_EMPTY,  /* the folder held nothing */
    FE_SAVE_LOADED, /* it held what a clean stop had left, and the store has it now */
    FE_SAVE_UNCLEAN /* it held segments without a manifest, which were set aside */
} fe_save_found;

/* What was written or found; all but `found` and `aside` is 0 unless something was. */
typedef struct fe_save_report {
    fe_save_found found;                /* fe_save_open only */
    char aside[FE_DEVICE_NAME_MAX + 1]; /* UNCLEAN: the new name of the folder `log` */
    uint64_t keys;
    uint64_t segments, segment_bytes; /* files, and their sizes */
    uint64_t index_bytes;             /* of the index file */
    uint64_t orphans;                 /* files of segments that nothing named, removed */
    int64_t saved_ms;                 /* Unix ms */
    int64_t took_ms;
    bool can_serve; /* fe_save_open has failed, as it would not with serves_damaged */
} fe_save_report;

/* Fills a new tiered store with what its folder holds. The store's hash seed becomes the one of the
 * data. Without a manifest the store stays empty, and segments that are there are set aside as
 * `log.unclean-<UTC time>`.
 *
 * False, and nothing in the folder has changed (unless no empty file could be made for one that is lost and is to be
 * served as damaged: those before it are there then): something is damaged, missing, or of a newer
 * version, or memory or the disk failed; `error` is one line that names the file (relative to the
 * folder), the place and the cause. The store is only good for fe_store_free then, which leaves the
 * files alone. */
FE_MUST_USE bool fe_save_open(fe_store *store, fe_save_report *report,
                              char error[FE_SAVE_ERROR_MAX]);

/* Removes the manifest, before anything of the store is changed that a file could show. Does nothing
 * when there is none. False, with a line as above: nothing may be changed.
 *
 * A store that is freed after fe_save_open leaves its files, unless it is told to discard them. */
FE_MUST_USE bool fe_save_claim(fe_store *store, char error[FE_SAVE_ERROR_MAX]);

/* Before a stop, while the store is in use: writes what is in memory only, as far as that can be done by the
 * jobs of the tiers (store/tier.h), past every bound on files; so that a disk that takes no more is
 * known of while the server can still go on. Zeroed before the first call, which seals what was written up to
 * then; to be called again, a little later, while it answers FE_BUSY. FE_OK: all of that is in files.
 * FE_IO: the disk refuses, with a line. */
typedef struct fe_save_ready {
    bool begun;
    uint64_t sequence; /* what is waited for: segments up to this one */
    uint64_t errors;   /* of the disk, before */
} fe_save_ready;
FE_MUST_USE fe_status fe_save_ready_step(fe_store *store, fe_save_ready *ready,
                                         char error[FE_SAVE_ERROR_MAX]);
/* Behind FE_OK, without the lock: room for the index and the manifest, which fe_reserve_begin has told of.
 * False with a line. */
FE_MUST_USE bool fe_save_ready_room(fe_device *device, const fe_reserve_job *job,
                                    char error[FE_SAVE_ERROR_MAX]);
/* There is no stop: bounds count again. */
void fe_save_ready_end(fe_store *store, fe_save_ready *ready);

/* Writes everything that is in memory only, then index and manifest. No session is open, and no job or
 * read under way. `server` is the version of the writer, short and without blanks. After it the
 * store is only good for fe_store_free, which leaves the files alone, in either case.
 *
 * False: the folder has no manifest, so that the next start would set its segments aside. It may be called
 * again, and goes on with what is left; only segments that could not be synced are lost for good, for the
 * kernel may have dropped them: each call fails then. */
FE_MUST_USE bool fe_save_run(fe_store *store, const char *server, fe_save_report *report,
                             char error[FE_SAVE_ERROR_MAX]);

/* The files go when the store is freed. */
void fe_save_discard(fe_store *store);

/* For fe_tiers_close: gives descriptors, mappings and numbers of all segments that have a file back,
 * and leaves the files. */
void fe_save_leave_files(fe_store *store);

/* For tests and fuzzing: the index file alone, from any source, without the files of the segments.
 * Reads `bytes` bytes; `read` fills a buffer from an offset, or says false with errno. */
typedef bool fe_save_read(void *context, void *data, size_t size, uint64_t offset, int *error_code);
typedef struct fe_save_source {
    fe_save_read *read;
    void *context;
    uint64_t bytes;
    uint32_t crc;
    uint64_t keys;
} fe_save_source;
FE_MUST_USE bool fe_save_load_index(fe_store *store, const fe_save_source *source,
                                    char error[FE_SAVE_ERROR_MAX]);

#endif
