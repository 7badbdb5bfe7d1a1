/* What becomes of the data of a data folder at both ends of an engine's life.
 *
 *     fe_engine_open    loads what a clean stop has left (engine->found says what)
 *     fe_engine_claim   from now on the data change: no manifest says any more that they are whole
 *     fe_engine_save    or fe_engine_discard: they are kept, or the folder is emptied
 *     fe_engine_free
 *
 * An engine that is freed without a save or discard leaves its files as they are: those of one that
 * was never claimed are whole, the others are set aside by the next start.
 *
 * Without a data folder all of this does nothing.
 */
#ifndef FE_ENGINE_KEEP_H
#define FE_ENGINE_KEEP_H

#include "engine/engine.h"

/* For fe_engine_open: fills the new store from its folder. False with one line in `error`. */
FE_MUST_USE bool fe_engine_load(fe_engine *engine, char error[FE_ENGINE_ERROR_MAX]);

/* Before the first session and worker. False with one line: nothing may be changed, and the folder is
 * whole. */
FE_MUST_USE bool fe_engine_claim(fe_engine *engine, char error[FE_ENGINE_ERROR_MAX]);

/* Whether there are data that only a save would keep. */
bool fe_engine_wants_save(const fe_engine *engine);

/* Before a stop, while clients are served and the workers run: asks for what is in memory only to be written,
 * and says whether that is done (store/save.h). FE_BUSY: call again, a little later. FE_OK: a save has little
 * left to do. FE_IO, with one line: the disk does not take it, and a save would fail; the server can go on as
 * if it had not been asked. May block for the disk. */
FE_MUST_USE fe_status fe_engine_prepare_save(fe_engine *engine, char error[FE_ENGINE_ERROR_MAX]);

/* Writes all data to the folder. All sessions are closed and the workers stopped; holds the lock for as
 * long as it takes. Only fe_engine_free may follow, or another try after a failure. False with one
 * line: if it stays so, the data are lost to the next start, which sets aside what there is of them. */
FE_MUST_USE bool fe_engine_save(fe_engine *engine, const char *server, fe_save_report *report,
                                char error[FE_ENGINE_ERROR_MAX]);

/* The files go when the engine is freed. */
void fe_engine_discard(fe_engine *engine);

#endif
