/* See resident.h. */
#include "session/resident.h"

#include "base/glob.h"
#include "resp/number.h"
#include "store/look.h"
#include "store/tier.h"

/* SET without an option that looks at the old value: only a deadline may follow. */
static bool set_is_blind(const fe_bytes *argv, uint32_t argc)
{
    if (argc == 3) return true;
    if (argc != 5) return false;
    return fe_bytes_is_word(argv[3], "ex") || fe_bytes_is_word(argv[3], "px") ||
           fe_bytes_is_word(argv[3], "exat") || fe_bytes_is_word(argv[3], "pxat");
}

/* As part of a transaction that may write. */
static fe_need need_among_writes(const fe_command_row *row)
{
    return (row->flags & FE_HEADS) != 0 ? FE_NEED_SOLE : FE_NEED_EXACT;
}

static fe_need need_of(const fe_command_row *row, const fe_bytes *argv, uint32_t argc)
{
    bool head = (row->flags & FE_HEADS) != 0;
    if (!(row->flags & (FE_WRITE | FE_MAY_REPLICATE))) return head ? FE_NEED_HEAD : FE_NEED_READ;
    if (row->flags & FE_OVERWRITES) return FE_NEED_BLIND;
    if (strcmp(row->name, "set") == 0 && set_is_blind(argv, argc)) return FE_NEED_BLIND;
    return head ? FE_NEED_REMOVE : FE_NEED_EXACT; /* DEL, UNLINK */
}

/* A command whose keys are looked at, in one database. */
typedef struct look {
    fe_store *store;
    fe_engine *observed; /* whose insight is told of reads; NULL: nobody asks */
    fe_waiter *waiter;
    fe_need need;
    uint32_t db;
    bool writes; /* part of a transaction that may write: nothing in it is less than SOLE */
    bool all;    /* so far, everything was there */
    bool forget; /* nothing is looked at: what was written goes (fe_resident_forget) */
} look;

/* Looks a key up, and tells of the reads that were begun for it: not of those that another began. */
static void look_observed(look *at, uint32_t db, fe_bytes name, uint64_t hash)
{
    uint32_t before = fe_look_reads(at->store);
    at->all &= fe_fetch_key(at->store, db, name, hash, at->need, at->waiter);
    uint32_t begun = fe_look_reads(at->store) - before;
    fe_engine *engine = at->observed;
    if (begun != 0) fe_insight_note_reads(&engine->insight, db, name, hash, begun, engine->now_ms);
}

static fe_engine *observed(fe_engine *engine)
{
    return FE_UNLIKELY(fe_insight_wants_reads(&engine->insight)) ? engine : NULL;
}

static void look_key(look *at, uint32_t db, fe_bytes name, uint64_t hash)
{
    if (FE_UNLIKELY(at->forget))
        fe_tier_forget(at->store, db, name, hash);
    else if (FE_UNLIKELY(at->observed != NULL))
        look_observed(at, db, name, hash);
    else
        at->all &= fe_fetch_key(at->store, db, name, hash, at->need, at->waiter);
}

static void look_watched(void *context, uint32_t db, fe_bytes name, uint64_t hash)
{
    look_key(context, db, name, hash);
}

/* Keys that no key specification names: COPY and MOVE write to other databases. */
static void look_elsewhere(look *at, const fe_command_row *row, const fe_bytes *argv, uint32_t argc)
{
    uint32_t number = 0;
    fe_bytes name = {NULL, 0};
    if (strcmp(row->name, "move") == 0 && argc == 3) {
        number = 2;
        name = argv[1];
    } else if (strcmp(row->name, "copy") == 0) {
        for (uint32_t i = 3; i + 1 < argc; i++)
            if (fe_bytes_is_word(argv[i], "db")) number = i + 1;
        name = argv[2];
    }
    int64_t db;
    if (number == 0 || !fe_number_read_int64(argv[number], &db)) return;
    if (db < 0 || db >= (int64_t)fe_store_get_options(at->store)->databases) return;
    look_key(at, (uint32_t)db, name, fe_key_hash(fe_store_seed(at->store), name));
}

static void look_call(look *at, const fe_command_row *row, const fe_bytes *argv, uint32_t argc,
                      const uint64_t *hashes, uint64_t hashed)
{
    const fe_hash_seed *seed = fe_store_seed(at->store);
    at->need = at->writes ? need_among_writes(row) : need_of(row, argv, argc);
    for (int s = 0; s < FE_KEY_SPECS_MAX && row->keys[s].first != 0; s++) {
        const fe_key_spec *spec = &row->keys[s];
        if (spec->flags & FE_KEY_NOT_KEY) continue;
        int64_t last = spec->last >= 0 ? spec->first + spec->last : (int64_t)argc + spec->last;
        for (int64_t i = spec->first; i <= last && i < argc; i += spec->step) {
            bool known = i < 64 && (hashed >> i & 1) != 0;
            look_key(at, at->db, argv[i], known ? hashes[i] : fe_key_hash(seed, argv[i]));
        }
    }
    if (at->need == FE_NEED_EXACT) look_elsewhere(at, row, argv, argc);
    /* A pattern that matches only itself is looked up as a key. */
    if (row->keys[0].first == 0 && strcmp(row->name, "keys") == 0 && argc == 2 &&
        fe_glob_is_literal(argv[1]))
        look_key(at, at->db, argv[1], fe_key_hash(seed, argv[1]));
}

static bool needs_nothing(const fe_command_row *row)
{
    return (row->flags & FE_COLD) != 0 || row->run == NULL;
}

bool fe_resident_call(fe_session *session, const fe_call *call)
{
    if (needs_nothing(call->row)) return true;
    look at = {.store = call->store,
               .observed = observed(call->engine),
               .waiter = &session->waiter,
               .db = session->client.db,
               .all = true};
    look_call(&at, call->row, call->argv, call->argc, call->hashes, call->hash_known_mask);
    return at.all;
}

void fe_resident_forget(fe_session *session, const fe_call *call)
{
    if (!(call->row->flags & (FE_WRITE | FE_MAY_REPLICATE))) return;
    look at = {.store = call->store, .db = session->client.db, .writes = true, .forget = true};
    look_call(&at, call->row, call->argv, call->argc, NULL, 0);
}

/* The database that `db` names now and that is to be called so when queue[before] runs: SWAPDBs in
 * front of it change names. */
static uint32_t name_before_swaps(const fe_transaction *transaction, uint32_t before, uint32_t db)
{
    for (uint32_t i = before; i-- > 0;) {
        const fe_queued *queued = &transaction->queue[i];
        int64_t a, b;
        if (strcmp(queued->command->row->name, "swapdb") != 0 ||
            !fe_number_read_int64(queued->argv[1], &a) ||
            !fe_number_read_int64(queued->argv[2], &b))
            continue;
        if (db == a)
            db = (uint32_t)b;
        else if (db == b)
            db = (uint32_t)a;
    }
    return db;
}

bool fe_resident_queue(fe_session *session)
{
    const fe_transaction *transaction = &session->client.transaction;
    fe_engine *engine = session->server->engine;
    look at = {.store = engine->store,
               .observed = observed(engine),
               .waiter = &session->waiter,
               .need = FE_NEED_HEAD,
               .all = true};
    fe_watches_each(transaction, look_watched, &at);
    for (uint32_t i = 0; i < transaction->count; i++)
        at.writes |= (transaction->queue[i].command->row->flags & FE_WRITE) != 0;
    uint32_t db = session->client.db;
    for (uint32_t i = 0; i < transaction->count; i++) {
        const fe_queued *queued = &transaction->queue[i];
        const fe_command_row *row = queued->command->row;
        int64_t selected;
        if (strcmp(row->name, "select") == 0 && fe_number_read_int64(queued->argv[1], &selected) &&
            selected >= 0 && selected < (int64_t)fe_store_get_options(at.store)->databases)
            db = (uint32_t)selected;
        at.db = name_before_swaps(transaction, i, db);
        if (!needs_nothing(row)) look_call(&at, row, queued->argv, queued->argc, NULL, 0);
    }
    return at.all;
}

void fe_resident_ahead(fe_server *server, const fe_batch *batch)
{
    look at = {.store = server->engine->store, .observed = observed(server->engine), .all = true};
    for (uint32_t i = 0; i < batch->count; i++) {
        const fe_ahead *ahead = &batch->ahead[i];
        if (ahead->hashed == 0 || needs_nothing(ahead->command->row)) continue;
        at.db = ahead->session->client.db;
        look_call(&at, ahead->command->row, ahead->request.argv, ahead->request.argc, ahead->hashes,
                  ahead->hashed);
    }
}
