/* Checks a whole segment file, piece by piece: the trailer, every footer block, and, if asked, every
 * record of the image, listed in the footer or not. It goes on behind damage where the footer says
 * that the next record begins. Memory is bounded by the struct, whatever the file says.
 */
#ifndef FE_STORE_IMAGE_CHECK_H
#define FE_STORE_IMAGE_CHECK_H

#include "store/image.h"

#define FE_IMAGE_CHECK_FOOTER ((size_t)64 << 10)
#define FE_IMAGE_CHECK_WINDOW ((size_t)1 << 20)

/* Reads from the file: how many bytes, fewer than `size` only at its end; or -errno. */
typedef int64_t fe_image_read(void *context, uint8_t *buffer, size_t size, uint64_t offset);

/* Takes a damage: `error` is the errno of a read that failed, or 0. */
typedef void fe_image_report(void *context, const fe_image_fault *fault, int error);

typedef struct fe_image_check {
    /* Set by the caller; the rest is zeroed by the run. */
    fe_image_read *read;
    fe_image_report *report;
    void *context; /* of both */
    uint64_t file_size;
    bool with_records;

    fe_image_head head; /* magic is 0 when the trailer is damaged: then nothing else was read */
    uint64_t faults;
    uint64_t records_sound;                  /* records read, with the right checksum */
    uint32_t keyspaces[FE_KEYSPACE_MAX + 1]; /* sound footer entries of each */
    fe_image_head sums;                      /* of all sound entries */
    uint64_t window_offset;
    size_t window_len;
    uint8_t footer[FE_IMAGE_CHECK_FOOTER];
    uint8_t window[FE_IMAGE_CHECK_WINDOW]; /* what was last read of the image */
} fe_image_check;

void fe_image_check_run(fe_image_check *check);

#endif
