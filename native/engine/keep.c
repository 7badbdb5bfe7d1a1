/* See keep.h. */
#include "engine/keep.h"

#include "engine/rare.h"

#include <stdio.h>

static bool fail(const fe_engine *engine, char *error, const char *text, const char *advice)
{
    (void)snprintf(error, FE_ENGINE_ERROR_MAX, "%s/%s%s", engine->options.data_dir, text, advice);
    return false;
}

/* What can be done about a folder that cannot be opened. */
static const char *advice(const fe_engine *engine)
{
    if (engine->found.can_serve)
        return "; nothing was changed. To serve all other files, with errors for the keys of such"
               " ones, start with storage.damaged_files = \"serve\"; to start without any of the"
               " data, remove the file manifest: the folder log is then set aside";
    return "; nothing was changed. To start without these data, remove the file manifest: the "
           "folder"
           " log is then set aside";
}

bool fe_engine_load(fe_engine *engine, char error[FE_ENGINE_ERROR_MAX])
{
    if (engine->device == NULL) return true;
    char text[FE_SAVE_ERROR_MAX];
    engine->load_ticks[0] = fe_clock_ticks();
    if (!fe_save_open(engine->store, &engine->found, text))
        return fail(engine, error, text, advice(engine));
    engine->load_ticks[1] = fe_clock_ticks();
    engine->options.store.seed = *fe_store_seed(engine->store);
    return true;
}

bool fe_engine_claim(fe_engine *engine, char error[FE_ENGINE_ERROR_MAX])
{
    if (engine->device == NULL || engine->is_claimed) return true;
    char text[FE_SAVE_ERROR_MAX];
    if (!fe_save_claim(engine->store, text)) return fail(engine, error, text, "");
    engine->is_claimed = true;
    return true;
}

bool fe_engine_wants_save(const fe_engine *engine)
{
    return engine->is_claimed;
}

fe_status fe_engine_prepare_save(fe_engine *engine, char error[FE_ENGINE_ERROR_MAX])
{
    if (!fe_engine_wants_save(engine)) return FE_OK;
    char text[FE_SAVE_ERROR_MAX];
    fe_reserve_job room = {0};
    uint64_t entered = fe_engine_enter(engine);
    fe_status status = fe_save_ready_step(engine->store, &engine->ready, text);
    if (status == FE_OK) fe_reserve_begin(engine->store, &room);
    fe_engine_leave(engine, FE_STEP_TIER, entered);
    if (status == FE_OK && !fe_save_ready_room(engine->device, &room, text)) status = FE_IO;
    entered = fe_engine_enter(engine);
    if (status == FE_IO) fe_save_ready_end(engine->store, &engine->ready);
    fe_engine_leave(engine, FE_STEP_TIER, entered);
    if (status == FE_IO) (void)fail(engine, error, text, "");
    return status;
}

bool fe_engine_save(fe_engine *engine, const char *server, fe_save_report *report,
                    char error[FE_ENGINE_ERROR_MAX])
{
    FE_ASSERT(engine->workers == NULL && fe_engine_wants_save(engine));
    char text[FE_SAVE_ERROR_MAX];
    fe_engine_finish_reads(engine);
    fe_lock_enter(&engine->lock);
    uint64_t began = fe_clock_ticks();
    bool saved = fe_save_run(engine->store, server, report, text);
    if (saved) engine->is_claimed = false;
    fe_rare_saved(engine, began, report, saved);
    fe_lock_leave(&engine->lock);
    return saved || fail(engine, error, text, "");
}

void fe_engine_discard(fe_engine *engine)
{
    fe_lock_enter(&engine->lock);
    if (engine->is_claimed) fe_save_discard(engine->store);
    engine->is_claimed = false;
    fe_lock_leave(&engine->lock);
}
