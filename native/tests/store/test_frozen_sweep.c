/* A flushed database's records in segments that are frozen while the sweep looks for them. */
#include "store/compact.h"
#include "tests/store/frozen_fake.h"

#define KEYS 3000u

TEST(a_segment_that_is_sealed_while_it_is_swept_is_counted_again)
{
    frozen_fake *t = frozen_new();
    for (uint64_t i = 0; i < KEYS; i++)
        frozen_set(t, i % 2, i, FE_DEADLINE_NONE);
    CHECK_INT(FE_OK, fe_store_flush(t->store, 1, false));
    fe_log *log = fake_log(t->d);
    uint32_t n = 0;
    while (!(n != 0 && fake_is_full(t->d, n)) && fe_compact_sweep(t->store, 4000))
        n = log->cursor[FE_WALKER_SWEEP].segment;
    CHECK(n != 0 && fake_is_full(t->d, n));

    fake_map(t->d, n);

    CHECK(log->files[n].miscounted);
    while (fe_compact_sweep(t->store, 100000))
        continue;
    for (unsigned i = 0; i < 10000 && (frozen_advance(t) || t->busy); i++)
        if (!t->busy) fake_clean(t->d);
    frozen_stop(t);
    frozen_check(t);
    CHECK_INT(KEYS / 2, fe_store_db_size(t->store, 0));
    frozen_free(t);
}

int main(void)
{
    RUN(a_segment_that_is_sealed_while_it_is_swept_is_counted_again);
    return check_done();
}
