/* The table of metrics. */
#include "event/metrics.h"

#include "tests/check.h"

#include <stdbool.h>

/* Letters, digits, dots and underscores, beginning with a letter. */
static bool is_name(const char *text)
{
    const char *letters = "abcdefghijklmnopqrstuvwxyz";
    if (strchr(letters, text[0]) == NULL || text[0] == 0) return false;
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._") == strlen(text);
}

TEST(every_row_is_complete_and_its_name_its_own)
{
    for (fe_metric i = 0; i < FE_METRIC_COUNT; i++) {
        const fe_metric_row *row = fe_metric_row_of(i);
        CHECK(row->id != NULL && is_name(row->name) && row->help[0] != 0 && row->unit[0] != 0);
        CHECK(strspn(row->labels, "abcdefghijklmnopqrstuvwxyz_.,") == strlen(row->labels));
        for (fe_metric j = 0; j < i; j++)
            CHECK(strcmp(row->name, fe_metric_row_of(j)->name) != 0);
    }
}

TEST(names_of_groups_are_not_names_of_metrics)
{
    /* Dots become underscores on /metrics: no two names may become the same. */
    char names[FE_METRIC_COUNT][128];
    for (fe_metric i = 0; i < FE_METRIC_COUNT; i++) {
        snprintf(names[i], sizeof names[i], "%s", fe_metric_row_of(i)->name);
        for (char *c = names[i]; *c != 0; c++)
            if (*c == '.') *c = '_';
        for (fe_metric j = 0; j < i; j++)
            CHECK(strcmp(names[i], names[j]) != 0);
    }
}

int main(void)
{
    RUN(every_row_is_complete_and_its_name_its_own);
    RUN(names_of_groups_are_not_names_of_metrics);
    return check_done();
}
