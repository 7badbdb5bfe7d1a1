/* What is done before a stop, while the store is in use. */
#include "tests/store/save_rig.h"

/* Calls and flushes until it is decided, as the server and its flusher do. */
static fe_status make_ready(tiered *t, fe_save_ready *ready)
{
    fe_status status;
    while ((status = fe_save_ready_step(t->f.store, ready, error)) == FE_BUSY)
        (void)flush_sealed(t);
    return status;
}

TEST(a_store_is_made_ready_while_it_is_in_use)
{
    tiered t;
    fe_save_ready ready = {0};
    tiered_open(&t, tiered_options());
    fill(&t, 0, 600, 500);
    CHECK_INT(FE_BUSY, fe_save_ready_step(t.f.store, &ready, error));
    fill(&t, 600, 700, 500); /* what comes after the first call is not waited for */
    CHECK_INT(FE_OK, make_ready(&t, &ready));
    CHECK_INT(0, t.f.store->log.tiers[FE_TIER_SEALED].segments);
    CHECK(t.f.store->log.bytes != 0);
    check_store(&t.f);
    restart(&t);
    CHECK_INT(700, last.keys);
    tiered_close(&t);
}

TEST(a_disk_that_refuses_is_known_of_before_the_stop)
{
    tiered t;
    fe_save_ready ready = {0};
    tiered_open(&t, tiered_options());
    fill(&t, 0, 500, 500);
    t.faults.write_error = ENOSPC;
    CHECK_INT(FE_IO, make_ready(&t, &ready));
    CHECK(strstr(error, "log/") != NULL && strstr(error, strerror(ENOSPC)) != NULL);
    fe_save_ready_end(t.f.store, &ready);
    fill(&t, 500, 510, 500);
    check_store(&t.f);
    t.faults.write_error = 0;
    CHECK_INT(FE_OK, make_ready(&t, &ready));
    restart(&t);
    CHECK_INT(510, last.keys);
    CHECK(cold_has(&t, 0, 0, 500) && cold_has(&t, 0, 509, 500));
    tiered_close(&t);
}

TEST(bounds_on_files_count_again_when_there_is_no_stop)
{
    tiered t;
    fe_save_ready ready = {0};
    fe_store_options options = tiered_options();
    options.disk_max = 128 << 10;
    tiered_open(&t, options);
    fill(&t, 0, 1000, 400);
    CHECK_INT(FE_OK, make_ready(&t, &ready));
    CHECK(t.f.store->tiers->file_bytes > options.disk_max);
    fe_save_ready_end(t.f.store, &ready);
    fill(&t, 1000, 1500, 400);
    demote_all(&t, FE_TIER_SEALED);
    CHECK(!flush_sealed(&t));
    CHECK_INT(FE_DISK_FULL, t.f.store->tiers->state);
    restart(&t);
    CHECK_INT(1500, last.keys);
    tiered_close(&t);
}

int main(void)
{
    RUN(a_store_is_made_ready_while_it_is_in_use);
    RUN(a_disk_that_refuses_is_known_of_before_the_stop);
    RUN(bounds_on_files_count_again_when_there_is_no_stop);
    return check_done();
}
