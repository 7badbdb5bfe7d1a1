/* The registry: finding, adding, and what every row must say. */
#include "command/families.h"
#include "tests/check.h"
#include "tests/command/harness.h"

static fe_bytes bytes(const char *text)
{
    return (fe_bytes){(const uint8_t *)text, strlen(text)};
}

static fe_command *find(const fe_commands *commands, const char *name, const char *second,
                        fe_command **container)
{
    fe_bytes argv[2] = {bytes(name), second != NULL ? bytes(second) : (fe_bytes){NULL, 0}};
    return fe_commands_find(commands, argv, second != NULL ? 2 : 1, container);
}

TEST(names_are_found_without_regard_to_case)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_commands *commands = fe_commands_new(&alloc);

    fe_command *container;
    CHECK(find(commands, "get", NULL, &container) != NULL);
    CHECK(find(commands, "GeT", "key", &container) == find(commands, "get", NULL, &container));
    CHECK(find(commands, "BITFIELD_ro", NULL, &container) != NULL);
    CHECK(find(commands, "ge", NULL, &container) == NULL);
    CHECK(find(commands, "gett", NULL, &container) == NULL);
    CHECK(find(commands, "", NULL, &container) == NULL);
    CHECK(find(commands, "bitfield\x7fro", NULL, &container) == NULL);
    CHECK(find(commands, "object|encoding", NULL, &container) == NULL);
    CHECK(container == NULL);

    fe_commands_free(commands);
    CHECK_INT(0, fe_alloc_used_all(&alloc));
}

TEST(the_second_argument_of_a_container_names_the_subcommand)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_commands *commands = fe_commands_new(&alloc);

    fe_command *container;
    fe_command *object = find(commands, "OBJECT", NULL, &container);
    CHECK(object != NULL && object->child_count > 0);
    fe_command *encoding = find(commands, "object", "ENCODING", &container);
    CHECK(encoding != NULL && container == NULL);
    CHECK(encoding != NULL && encoding->parent == object);
    CHECK(find(commands, "object", "encodin", &container) == NULL);
    CHECK(container == object);

    fe_commands_free(commands);
}

TEST(rows_can_be_added_once)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_commands *commands = fe_commands_new(&alloc);
    static const fe_command_row rows[] = {
        {.name = "zebra", .arity = 1},
        {.name = "zebra|stripes", .arity = 2},
        {.name = "lion|mane", .arity = 2},
    };

    CHECK(fe_commands_add(commands, &rows[0]));
    CHECK(!fe_commands_add(commands, &rows[0]));
    CHECK(fe_commands_add(commands, &rows[1]));
    CHECK(!fe_commands_add(commands, &rows[1]));
    CHECK(!fe_commands_add(commands, &rows[2]));

    fe_command *container;
    fe_command *found = find(commands, "ZEBRA", "Stripes", &container);
    CHECK(found != NULL && found->row == &rows[1]);
    uint32_t count;
    fe_command *const *all = fe_commands_all(commands, &count);
    CHECK(count > 0 && all[count - 1]->row == &rows[0]);
    fe_commands_free(commands);
}

TEST(the_table_grows_beyond_its_first_size)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_commands *commands = fe_commands_new(&alloc);
    static fe_command_row rows[600];
    static char names[600][16];
    for (int i = 0; i < 600; i++) {
        snprintf(names[i], sizeof(names[i]), "name%d", i);
        rows[i] = (fe_command_row){.name = names[i], .arity = 1};
        CHECK(fe_commands_add(commands, &rows[i]));
    }

    fe_command *container;
    for (int i = 0; i < 600; i++) {
        fe_command *found = find(commands, names[i], NULL, &container);
        CHECK(found != NULL && found->row == &rows[i]);
    }
    fe_commands_free(commands);
}

TEST(every_failed_allocation_leaves_nothing_behind)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    int64_t failures = 0;
    for (;; failures++) {
        fe_alloc_fail_after(&alloc, failures);
        fe_commands *commands = fe_commands_new(&alloc);
        fe_alloc_fail_after(&alloc, -1);
        if (commands != NULL) {
            fe_commands_free(commands);
            break;
        }
        CHECK_INT(0, fe_alloc_used_all(&alloc));
    }
    CHECK(failures > 60);
}

static void check_row(const fe_command_row *row)
{
    bool container = row->flags & FE_CONTAINER;
    bool python = row->flags & FE_PYTHON;
    CHECK((row->run == NULL) == (container || python));
    CHECK(row->arity != 0);
    CHECK(row->group != NULL && row->since != NULL && row->complexity != NULL);
    CHECK(row->summary != NULL && row->summary[strlen(row->summary) - 1] == '.');
    CHECK(row->syntax != NULL);
    for (const char *at = row->name; *at != 0; at++)
        CHECK(*at < 'A' || *at > 'Z');
    uint32_t argc_min = (uint32_t)(row->arity < 0 ? -row->arity : row->arity);
    for (int i = 0; i < FE_KEY_SPECS_MAX; i++) {
        const fe_key_spec *spec = &row->keys[i];
        if (spec->first == 0) continue;
        CHECK(spec->step > 0);
        CHECK((uint32_t)spec->first < argc_min || i > 0);
    }
}

TEST(every_row_says_all_that_a_row_must_say)
{
    uint32_t count;
    const fe_family *const *families = fe_families(&count);
    CHECK(count > 0);
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < families[i]->count; j++)
            check_row(&families[i]->rows[j]);
}

typedef struct seen {
    uint32_t indexes[8];
    uint32_t flags[8];
    uint32_t count;
} seen;

static void see(void *context, uint32_t index, uint32_t flags)
{
    seen *all = context;
    all->indexes[all->count] = index;
    all->flags[all->count++] = flags;
}

static seen keys_of(const fe_commands *commands, const char *name, uint32_t argc)
{
    fe_command *container;
    seen all = {.count = 0};
    uint32_t count = fe_command_keys(find(commands, name, NULL, &container)->row, argc, see, &all);
    CHECK_INT(all.count, count);
    return all;
}

TEST(keys_are_found_where_the_specifications_say)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_commands *commands = fe_commands_new(&alloc);

    seen mset = keys_of(commands, "mset", 5);
    CHECK_INT(2, mset.count);
    CHECK_INT(1, mset.indexes[0]);
    CHECK_INT(3, mset.indexes[1]);
    seen bitop = keys_of(commands, "bitop", 5);
    CHECK_INT(3, bitop.count);
    CHECK_INT(2, bitop.indexes[0]);
    CHECK_INT(FE_KEY_OW | FE_KEY_UPDATE, bitop.flags[0]);
    CHECK_INT(4, bitop.indexes[2]);
    seen lcs = keys_of(commands, "lcs", 5);
    CHECK_INT(2, lcs.count);
    CHECK_INT(2, lcs.indexes[1]);
    CHECK_INT(0, keys_of(commands, "dbsize", 1).count);

    fe_commands_free(commands);
}

TEST(arity_counts_the_name)
{
    fe_command_row exact = {.arity = 2};
    fe_command_row least = {.arity = -2};
    CHECK(!fe_command_arity_ok(&exact, 1));
    CHECK(fe_command_arity_ok(&exact, 2));
    CHECK(!fe_command_arity_ok(&exact, 3));
    CHECK(!fe_command_arity_ok(&least, 1));
    CHECK(fe_command_arity_ok(&least, 3));
}

int main(void)
{
    RUN(names_are_found_without_regard_to_case);
    RUN(the_second_argument_of_a_container_names_the_subcommand);
    RUN(rows_can_be_added_once);
    RUN(the_table_grows_beyond_its_first_size);
    RUN(every_failed_allocation_leaves_nothing_behind);
    RUN(every_row_says_all_that_a_row_must_say);
    RUN(keys_are_found_where_the_specifications_say);
    RUN(arity_counts_the_name);
    return check_done();
}
