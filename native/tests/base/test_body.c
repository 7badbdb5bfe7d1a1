/* Bodies of long arguments: pages that grow as bytes come, to exactly what the whole takes. */
#include "base/body.h"

#include "tests/check.h"

#include <string.h>

#define MB ((size_t)1 << 20)

static void give(fe_body *body, fe_alloc *alloc)
{
    fe_pages_unmap(alloc, FE_ALLOC_CLIENT, body->pages, body->bytes);
    CHECK_INT(0, fe_alloc_used_all(alloc));
}

TEST(bytes_come_in_pieces_and_stay_in_order)
{
    static const size_t lens[] = {1, 4060, 4096, 65536, 3 * MB + 5};
    static const size_t pieces[] = {1000, 70000, 2 * MB};
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    uint8_t *data = malloc(4 * MB);
    for (size_t i = 0; i < 4 * MB; i++)
        data[i] = (uint8_t)(i * 7 + i / 251);
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        for (size_t j = 0; j < sizeof pieces / sizeof pieces[0]; j++) {
            fe_body body = {0};
            CHECK(fe_body_open(&body, &alloc, 36, lens[i]));
            bool ok = true;
            for (size_t at = 0; !fe_body_is_whole(&body); at += pieces[j]) {
                size_t taken = fe_body_append(&body, &alloc, data + at, pieces[j], &ok);
                CHECK(ok && (taken == pieces[j] || fe_body_is_whole(&body)));
                CHECK(body.bytes <=
                      body.have + body.have / 4 + 80 * 1024); /* memory follows what came */
            }
            CHECK_BYTES(data, lens[i], fe_body_start(&body), body.have);
            CHECK_INT(fe_body_bytes(36, lens[i]), body.bytes);
            CHECK_INT(body.bytes, fe_alloc_used(&alloc, FE_ALLOC_CLIENT));
            give(&body, &alloc);
        }
    }
    free(data);
}

TEST(without_memory_what_has_come_stays)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_body body = {0};
    fe_alloc_fail_after(&alloc, 0);
    CHECK(!fe_body_open(&body, &alloc, 0, MB) && !fe_body_is_open(&body));
    fe_alloc_fail_after(&alloc, 1);
    CHECK(fe_body_open(&body, &alloc, 0, MB));
    uint8_t *data = calloc(1, MB);
    bool ok = true;
    size_t taken = fe_body_append(&body, &alloc, data, MB, &ok);
    CHECK(!ok && taken == body.bytes && body.have == taken);
    size_t space;
    CHECK(fe_body_space(&body, &alloc, &space) == NULL);
    fe_alloc_fail_after(&alloc, -1);
    CHECK(fe_body_space(&body, &alloc, &space) != NULL && space > 0);
    free(data);
    give(&body, &alloc);
}

int main(void)
{
    RUN(bytes_come_in_pieces_and_stay_in_order);
    RUN(without_memory_what_has_come_stays);
    return check_done();
}
