/* The registry: every command of the server, found by name.
 *
 * A top-level name is looked up in an open-addressed table; a subcommand in its container's short
 * list. Names are compared without regard to ASCII case.
 *
 * Invariants
 *   1. `slots` has a power-of-two size and at most half of its places taken, so that every probe
 * ends.
 *   2. A slot's `tag` is the hash of its command's name; a command that is registered stays where
 * it is until the registry is freed, so the session may keep pointers.
 *   3. `top` lists the top-level commands in the order of registration.
 *
 * Threads: written before listening, read under the engine's lock (as are the statistics).
 */
#include "command/families.h"

enum { SLOTS_MIN = 512 };

typedef struct slot {
    uint32_t tag;
    fe_command *command;
} slot;

struct fe_commands {
    fe_alloc *alloc;
    slot *slots;
    uint32_t slot_count;
    fe_command **top;
    uint32_t top_count;
    uint32_t top_cap;
    uint16_t count; /* of all, subcommands too */
};

static inline uint8_t lower(uint8_t byte)
{
    return (uint8_t)(byte - 'A') < 26 ? (uint8_t)(byte | 0x20) : byte;
}

static inline uint64_t load64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, 8);
    return value;
}

static inline uint64_t load32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, 4);
    return value;
}

/* Hashes at most the first and the last eight bytes and the length, with bit 5 of every byte set:
 * letters of both cases agree. That some other bytes agree as well costs a comparison, not a wrong
 * answer. */
static inline uint32_t name_hash(const uint8_t *name, size_t len)
{
    uint64_t first, last;
    if (len >= 8) {
        first = load64(name);
        last = load64(name + len - 8);
    } else if (len >= 4) {
        first = load32(name);
        last = load32(name + len - 4);
    } else if (len > 0) {
        first = (uint64_t)name[0] | (uint64_t)name[len / 2] << 8 | (uint64_t)name[len - 1] << 16;
        last = 0;
    } else {
        return 0;
    }
    const uint64_t fold = 0x2020202020202020ULL;
    uint64_t mixed = ((first | fold) * 0x9e3779b97f4a7c15ULL) ^ ((last | fold) + len);
    mixed *= 0xd6e8feb86659fd93ULL;
    return (uint32_t)(mixed >> 32);
}

/* `word` is lower case already. */
static inline bool name_equal(fe_bytes name, const char *word)
{
    for (size_t i = 0; i < name.len; i++)
        if (word[i] == 0 || lower(name.ptr[i]) != (uint8_t)word[i]) return false;
    return word[name.len] == 0;
}

static fe_command *find_top(const fe_commands *commands, fe_bytes name)
{
    uint32_t mask = commands->slot_count - 1;
    uint32_t tag = name_hash(name.ptr, name.len);
    for (uint32_t i = tag & mask;; i = (i + 1) & mask) {
        const slot *at = &commands->slots[i];
        if (at->command == NULL) return NULL;
        if (at->tag == tag && name_equal(name, at->command->row->name)) return at->command;
    }
}

/* The part of a row's name behind the '|', or NULL for a top-level command. */
static const char *child_name(const fe_command_row *row)
{
    const char *bar = strchr(row->name, '|');
    return bar == NULL ? NULL : bar + 1;
}

static fe_command *find_child(const fe_command *container, fe_bytes name)
{
    for (uint32_t i = 0; i < container->child_count; i++) {
        fe_command *child = container->children[i];
        if (name_equal(name, child_name(child->row))) return child;
    }
    return NULL;
}

fe_command *fe_commands_find(const fe_commands *commands, const fe_bytes *argv, uint32_t argc,
                             fe_command **container)
{
    FE_ASSERT(argc > 0);
    *container = NULL;
    fe_command *command = find_top(commands, argv[0]);
    if (FE_LIKELY(command == NULL || command->child_count == 0 || argc == 1)) return command;
    fe_command *child = find_child(command, argv[1]);
    if (child != NULL) return child;
    if (command->row->run != NULL) return command; /* DEBUG: answers what no subcommand does */
    *container = command;
    return NULL;
}

fe_command *const *fe_commands_all(const fe_commands *commands, uint32_t *count)
{
    *count = commands->top_count;
    return commands->top;
}

/* Adding. ---------------------------------------------------------------------------------------
 */

static void slot_put(slot *slots, uint32_t slot_count, fe_command *command)
{
    const char *name = command->row->name;
    uint32_t tag = name_hash((const uint8_t *)name, strlen(name));
    uint32_t i = tag & (slot_count - 1);
    while (slots[i].command != NULL)
        i = (i + 1) & (slot_count - 1);
    slots[i] = (slot){tag, command};
}

static bool slots_grow(fe_commands *commands)
{
    uint32_t count = commands->slot_count == 0 ? SLOTS_MIN : commands->slot_count * 2;
    slot *slots = fe_alloc_take_zeroed(commands->alloc, FE_ALLOC_ENGINE, count * sizeof(slot));
    if (slots == NULL) return false;
    for (uint32_t i = 0; i < commands->top_count; i++)
        slot_put(slots, count, commands->top[i]);
    fe_alloc_give(commands->alloc, FE_ALLOC_ENGINE, commands->slots);
    commands->slots = slots;
    commands->slot_count = count;
    return true;
}

static bool add_top(fe_commands *commands, fe_command *command)
{
    if (commands->top_count * 2 >= commands->slot_count && !slots_grow(commands)) return false;
    if (commands->top_count == commands->top_cap) {
        uint32_t cap = commands->top_cap == 0 ? 128 : commands->top_cap * 2;
        fe_command **top = fe_alloc_resize(commands->alloc, FE_ALLOC_ENGINE, commands->top,
                                           cap * sizeof(fe_command *));
        if (top == NULL) return false;
        commands->top = top;
        commands->top_cap = cap;
    }
    commands->top[commands->top_count++] = command;
    slot_put(commands->slots, commands->slot_count, command);
    return true;
}

static bool add_child(fe_commands *commands, fe_command *container, fe_command *child)
{
    fe_command **children = fe_alloc_resize(commands->alloc, FE_ALLOC_ENGINE, container->children,
                                            (container->child_count + 1) * sizeof(fe_command *));
    if (children == NULL) return false;
    children[container->child_count++] = child;
    container->children = children;
    child->parent = container;
    return true;
}

bool fe_commands_add(fe_commands *commands, const fe_command_row *row)
{
    const char *child = child_name(row);
    size_t top_len = child == NULL ? strlen(row->name) : (size_t)(child - row->name) - 1;
    fe_command *top = find_top(commands, (fe_bytes){(const uint8_t *)row->name, top_len});
    if (child == NULL) {
        if (top != NULL) return false;
    } else {
        fe_bytes name = {(const uint8_t *)child, strlen(child)};
        if (top == NULL || find_child(top, name) != NULL) return false;
    }
    fe_command *command = fe_alloc_take_zeroed(commands->alloc, FE_ALLOC_ENGINE, sizeof(*command));
    if (command == NULL) return false;
    command->row = row;
    command->number = commands->count;
    if (child == NULL ? add_top(commands, command) : add_child(commands, top, command)) {
        commands->count++;
        return true;
    }
    fe_alloc_give(commands->alloc, FE_ALLOC_ENGINE, command);
    return false;
}

static bool add_families(fe_commands *commands)
{
    uint32_t count;
    const fe_family *const *families = fe_families(&count);
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < families[i]->count; j++)
            if (!fe_commands_add(commands, &families[i]->rows[j])) return false;
    return true;
}

fe_commands *fe_commands_new(fe_alloc *alloc)
{
    fe_commands *commands = fe_alloc_take_zeroed(alloc, FE_ALLOC_ENGINE, sizeof(*commands));
    if (commands == NULL) return NULL;
    commands->alloc = alloc;
    if (slots_grow(commands) && add_families(commands)) return commands;
    fe_commands_free(commands);
    return NULL;
}

void fe_commands_add_durations(fe_commands *commands, fe_command *command, fe_duration kind)
{
    FE_ASSERT(command->stats.durations[kind] == NULL);
    command->stats.durations[kind] =
        fe_alloc_take_zeroed(commands->alloc, FE_ALLOC_ENGINE, sizeof(fe_exponential));
}

bool fe_command_durations(const fe_command *command, fe_duration kind, fe_exponential *durations)
{
    FE_ASSERT(kind != FE_DURATION_BOTH);
    bool has_both = kind == FE_DURATION_RUN || kind == FE_DURATION_WHOLE;
    const fe_exponential *both = has_both ? command->stats.durations[FE_DURATION_BOTH] : NULL;
    const fe_exponential *other = command->stats.durations[kind];
    if (both == NULL && other == NULL) return false;
    if (durations == NULL) return true;
    memcpy(durations, both != NULL ? both : other, sizeof *durations);
    if (both != NULL && other != NULL) fe_exponential_merge(durations, other);
    return true;
}

static void reset_stats(fe_commands *commands, fe_command *command)
{
    for (int i = 0; i < FE_DURATION_COUNT; i++)
        fe_alloc_give(commands->alloc, FE_ALLOC_ENGINE, command->stats.durations[i]);
    command->stats = (fe_command_stats){0};
    for (uint32_t i = 0; i < command->child_count; i++)
        reset_stats(commands, command->children[i]);
}

void fe_commands_reset_stats(fe_commands *commands)
{
    for (uint32_t i = 0; i < commands->top_count; i++)
        reset_stats(commands, commands->top[i]);
}

void fe_commands_free(fe_commands *commands)
{
    if (commands == NULL) return;
    fe_alloc *alloc = commands->alloc;
    fe_commands_reset_stats(commands);
    for (uint32_t i = 0; i < commands->top_count; i++) {
        fe_command *command = commands->top[i];
        for (uint32_t j = 0; j < command->child_count; j++)
            fe_alloc_give(alloc, FE_ALLOC_ENGINE, command->children[j]);
        fe_alloc_give(alloc, FE_ALLOC_ENGINE, command->children);
        fe_alloc_give(alloc, FE_ALLOC_ENGINE, command);
    }
    fe_alloc_give(alloc, FE_ALLOC_ENGINE, commands->top);
    fe_alloc_give(alloc, FE_ALLOC_ENGINE, commands->slots);
    fe_alloc_give(alloc, FE_ALLOC_ENGINE, commands);
}

/* Rows. -----------------------------------------------------------------------------------------
 */

bool fe_command_arity_ok(const fe_command_row *row, uint32_t argc)
{
    return row->arity >= 0 ? argc == (uint32_t)row->arity : argc >= (uint32_t)-row->arity;
}

uint32_t fe_command_keys(const fe_command_row *row, uint32_t argc, fe_key_visit *visit,
                         void *context)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < FE_KEY_SPECS_MAX; i++) {
        const fe_key_spec *spec = &row->keys[i];
        if (spec->first <= 0) continue;
        FE_ASSERT(spec->step > 0);
        int64_t last = spec->last >= 0 ? spec->first + spec->last : (int64_t)argc + spec->last;
        for (int64_t at = spec->first; at <= last && at < (int64_t)argc; at += spec->step) {
            visit(context, (uint32_t)at, spec->flags);
            count++;
        }
    }
    return count;
}
