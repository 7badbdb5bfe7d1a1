/* See sampler.h. */
#include "event/sampler.h"

#include <math.h>

#define RANDOMNESS_BITS 56u

fe_sampler fe_sampler_ratio(double ratio)
{
    /* Scaling by a power of two is exact, and rint rounds as Python's round does. */
    double bound = rint(ratio * 0x1p64);
    if (bound >= 0x1p64) return (fe_sampler){.kind = FE_SAMPLER_ALWAYS};
    if (!(bound >= 1.0)) return (fe_sampler){.kind = FE_SAMPLER_NEVER};
    return (fe_sampler){.kind = FE_SAMPLER_RATIO, .bound = (uint64_t)bound};
}

uint64_t fe_sampler_threshold(const fe_sampler *sampler)
{
    const uint64_t all = 1ULL << RANDOMNESS_BITS;
    if (sampler->kind == FE_SAMPLER_ALWAYS) return 0;
    if (sampler->kind == FE_SAMPLER_NEVER) return all;
    return all - (sampler->bound >> (64 - RANDOMNESS_BITS));
}

uint64_t fe_sampler_randomness(uint64_t low)
{
    return ~low >> (64 - RANDOMNESS_BITS);
}

static size_t print_digits(char *out, uint64_t value, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        out[i] = "0123456789abcdef"[value >> (RANDOMNESS_BITS - 4 - 4 * i) & 15];
    return count;
}

size_t fe_sampler_state(char out[FE_SAMPLER_STATE_MAX], uint64_t threshold, uint64_t low)
{
    static const char begin[] = "ot=th:", middle[] = ";rv:";
    uint32_t digits = RANDOMNESS_BITS / 4;
    while (digits > 1 && (threshold >> (RANDOMNESS_BITS - 4 * digits) & 15) == 0)
        digits--; /* zeros at the end are left out */
    size_t len = sizeof begin - 1;
    memcpy(out, begin, len);
    len += print_digits(out + len, threshold, digits);
    memcpy(out + len, middle, sizeof middle - 1);
    len += sizeof middle - 1;
    return len + print_digits(out + len, fe_sampler_randomness(low), RANDOMNESS_BITS / 4);
}

fe_rate fe_rate_of(uint32_t per_second, double ticks_per_us)
{
    if (per_second == 0) return (fe_rate){0};
    double each = ticks_per_us * 1e6 / per_second;
    return (fe_rate){.ticks_each = each < 1.0 ? 1 : (uint64_t)each};
}

bool fe_rate_take(fe_rate *rate, uint64_t now_ticks, double ticks_per_us)
{
    if (rate->ticks_each == 0) return true;
    uint64_t second = (uint64_t)(ticks_per_us * 1e6);
    if (rate->paid_ticks < now_ticks) rate->paid_ticks = now_ticks;
    if (rate->paid_ticks - now_ticks + rate->ticks_each > second) return false;
    rate->paid_ticks += rate->ticks_each;
    return true;
}
