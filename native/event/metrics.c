/* See metrics.h. */
#include "event/metrics.h"

#define ROW(id, name, instrument, unit, labels, help, in_python)                                   \
    [FE_METRIC_##id] = {#id, name, unit, labels, help, FE_INSTRUMENT_##instrument, in_python},
#define FE_METRIC(id, name, instrument, unit, labels, help)                                        \
    ROW(id, name, instrument, unit, labels, help, 0)
#define FE_METRIC_PYTHON(id, name, instrument, unit, labels, help)                                 \
    ROW(id, name, instrument, unit, labels, help, 1)

const fe_metric_row *fe_metric_row_of(fe_metric metric)
{
    static const fe_metric_row rows[FE_METRIC_COUNT] = {
#include "event/events.def"
    };
    return &rows[metric];
}
