/* The table of all metrics, made from event/events.def: constants, shared by whoever fills them in and
 * whoever tells them on. */
#ifndef FE_EVENT_METRICS_H
#define FE_EVENT_METRICS_H

typedef enum fe_instrument {
    FE_INSTRUMENT_COUNTER,  /* grows since the start, or since CONFIG RESETSTAT */
    FE_INSTRUMENT_TOTAL,    /* grows since the start */
    FE_INSTRUMENT_GAUGE,    /* of now */
    FE_INSTRUMENT_HISTOGRAM /* of durations; begins anew with CONFIG RESETSTAT */
} fe_instrument;

#define FE_METRIC(id, ...) FE_METRIC_##id,
#define FE_METRIC_PYTHON(id, ...) FE_METRIC_##id,
typedef enum fe_metric {
#include "event/events.def"
    FE_METRIC_COUNT
} fe_metric;
#undef FE_METRIC
#undef FE_METRIC_PYTHON

typedef struct fe_metric_row {
    const char *id;     /* as in the table */
    const char *name;   /* of OTLP */
    const char *unit;   /* as UCUM writes it */
    const char *labels; /* separated by commas; "" for none */
    const char *help;
    fe_instrument instrument;
    int in_python; /* whether Python fills it in */
} fe_metric_row;

/* The row of a metric. */
const fe_metric_row *fe_metric_row_of(fe_metric metric);

#endif
