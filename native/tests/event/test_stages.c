/* The stages of commands. */
#include "event/stages.h"

#include "tests/check.h"

#define Q20 (UINT64_C(1) << 20) /* a tick is a unit */

static uint64_t count_of(const fe_stages *stages, fe_phase phase)
{
    return fe_exponential_count(&stages->phases[phase]);
}

/* Serves one group of `commands`: it is readable at 1000, and each further step takes 100. */
static bool serve(fe_stages *stages, uint32_t commands)
{
    stages->readable = fe_stages_is_due(stages) ? 1000 : 0;
    bool measured = fe_stages_serve(stages);
    fe_stages_received(stages, 1100);
    fe_stages_enter(stages, true, Q20, 1200, 1300, commands);
    for (uint32_t i = 0; measured && i < commands; i++)
        fe_stages_command(stages, Q20, 1400, i % 2 == 0 ? 1450 : 0, 1500);
    fe_stages_left(stages, 1600);
    fe_stages_served(stages);
    if (stages->awaits_sent) fe_stages_sent(stages, 1700);
    return measured;
}

TEST(one_group_in_some_is_measured_and_only_while_on)
{
    static fe_stages stages;
    uint32_t measured = 0;
    serve(&stages, 1); /* it learns that it is on */
    for (unsigned i = 0; i < 10 * FE_STAGES_EVERY; i++)
        measured += serve(&stages, 1);
    CHECK_INT(10, measured);
    stages.on = false;
    CHECK(!fe_stages_is_due(&stages));
    for (unsigned i = 0; i < 2 * FE_STAGES_EVERY; i++) {
        CHECK(!fe_stages_serve(&stages));
        fe_stages_served(&stages);
    }
}

TEST(every_stage_counts_its_commands_once)
{
    static fe_stages stages;
    stages.on = true;
    while (!serve(&stages, 3)) {}

    CHECK_INT(3, count_of(&stages, FE_PHASE_RECEIVE));
    CHECK_INT(300, stages.phases[FE_PHASE_RECEIVE].sum);
    CHECK_INT(300, stages.phases[FE_PHASE_PARSE].sum);
    CHECK_INT(300, stages.phases[FE_PHASE_QUEUE].sum);
    CHECK_INT(300, stages.phases[FE_PHASE_DISPATCH].sum);
    CHECK_INT(2, count_of(&stages, FE_PHASE_LOOKUP));
    CHECK_INT(100, stages.phases[FE_PHASE_LOOKUP].sum);
    CHECK_INT(3, count_of(&stages, FE_PHASE_EXECUTE));
    CHECK_INT(200, stages.phases[FE_PHASE_EXECUTE].sum);
    CHECK_INT(0, count_of(&stages, FE_PHASE_SERIALISE));
    CHECK_INT(0, count_of(&stages, FE_PHASE_WRITE));

    serve(&stages, 1); /* the next entry adds what was not known yet */
    CHECK_INT(3, count_of(&stages, FE_PHASE_SERIALISE));
    CHECK_INT(300, stages.phases[FE_PHASE_SERIALISE].sum);
    CHECK_INT(3, count_of(&stages, FE_PHASE_WRITE));
    CHECK_INT(300, stages.phases[FE_PHASE_WRITE].sum);
    CHECK_INT(3, count_of(&stages, FE_PHASE_EXECUTE));
}

TEST(a_later_batch_queues_behind_those_before_it_and_does_not_parse_meanwhile)
{
    static fe_stages stages;
    stages.measuring = true;
    fe_stages_received(&stages, 1100);
    fe_stages_enter(&stages, true, Q20, 1200, 1300, 1);
    fe_stages_left(&stages, 1600);
    fe_stages_enter(&stages, true, Q20, 1650, 1720, 2);

    CHECK_INT(100 + 2 * 50, stages.phases[FE_PHASE_PARSE].sum);
    CHECK_INT(100 + 2 * (500 + 70), stages.phases[FE_PHASE_QUEUE].sum);
}

TEST(a_batch_of_many_has_only_so_many_ends)
{
    static fe_stages stages;
    stages.on = true;
    while (!serve(&stages, FE_STAGES_ENDED_MAX + 10)) {}
    serve(&stages, 1);

    CHECK_INT(FE_STAGES_ENDED_MAX + 10, count_of(&stages, FE_PHASE_EXECUTE));
    CHECK_INT(FE_STAGES_ENDED_MAX, count_of(&stages, FE_PHASE_SERIALISE));
}

TEST(clocks_that_go_back_count_as_nothing)
{
    static fe_stages stages;
    stages.measuring = true;
    stages.entered = 100;
    fe_stages_command(&stages, Q20, 90, 80, 70);

    CHECK_INT(1, stages.phases[FE_PHASE_DISPATCH].zero);
    CHECK_INT(0, count_of(&stages, FE_PHASE_LOOKUP));
    CHECK_INT(1, stages.phases[FE_PHASE_EXECUTE].zero);
}

TEST(a_reset_forgets_what_was_counted)
{
    static fe_stages stages;
    stages.on = true;
    while (!serve(&stages, 3)) {}
    fe_stages_add(&stages, FE_PHASE_DISK_WAIT, Q20, 5000);
    CHECK_INT(5000, stages.phases[FE_PHASE_DISK_WAIT].sum);
    fe_stages_reset(&stages);

    for (int i = 0; i < FE_PHASE_COUNT; i++)
        CHECK_INT(0, count_of(&stages, (fe_phase)i));
}

TEST(the_size_of_a_value_is_counted_where_it_was_the_only_one)
{
    static fe_stages stages;
    stages.volumes = (fe_volumes){{[FE_SIZED_GET] = {5, 500}, [FE_SIZED_SET] = {7, 700}}};

    fe_volumes now = stages.volumes;
    fe_stages_values(&stages, &now);
    now.of[FE_SIZED_GET].values += 2;
    now.of[FE_SIZED_GET].bytes += 2000;
    fe_stages_values(&stages, &now);
    CHECK_INT(0, fe_exponential_count(&stages.sizes[FE_SIZED_GET]));

    const uint64_t sizes[] = {1024, 0, 1025};
    for (int i = 0; i < 3; i++) {
        now = stages.volumes;
        now.of[FE_SIZED_SET].values++;
        now.of[FE_SIZED_SET].bytes += sizes[i];
        fe_stages_values(&stages, &now);
    }
    const fe_exponential *set = &stages.sizes[FE_SIZED_SET];
    CHECK_INT(3, fe_exponential_count(set));
    CHECK_INT(2049, set->sum);
    CHECK_INT(1, set->zero);
    CHECK_INT(2, fe_exponential_count_below(set, fe_exponential_bucket(1024)));
    CHECK_INT(0, fe_exponential_count(&stages.sizes[FE_SIZED_GET]));

    fe_stages_reset(&stages);
    CHECK_INT(0, fe_exponential_count(set));
}

TEST(every_stage_has_a_name)
{
    for (int i = 0; i < FE_PHASE_COUNT; i++)
        CHECK(fe_phase_name((fe_phase)i) != NULL);
}

int main(void)
{
    RUN(one_group_in_some_is_measured_and_only_while_on);
    RUN(every_stage_counts_its_commands_once);
    RUN(a_later_batch_queues_behind_those_before_it_and_does_not_parse_meanwhile);
    RUN(a_batch_of_many_has_only_so_many_ends);
    RUN(clocks_that_go_back_count_as_nothing);
    RUN(a_reset_forgets_what_was_counted);
    RUN(the_size_of_a_value_is_counted_where_it_was_the_only_one);
    RUN(every_stage_has_a_name);
    return check_done();
}
