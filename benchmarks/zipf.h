/* Ranks 0..n-1 with probability proportional to 1/(rank+1)^exponent, exactly, for any exponent > 0 but 1.
 *
 * Rejection-inversion (W. Hörmann, G. Derflinger, "Rejection-inversion to generate variates from
 * monotone discrete distributions", 1996): no table, about 1.1 draws for each rank. */
#ifndef FE_BENCHMARKS_ZIPF_H
#define FE_BENCHMARKS_ZIPF_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    double exponent, low, high, shortcut;
    uint64_t n;
} zipf;

/* The integral of x^-exponent, with the constant that makes it 0 at 1. */
static inline double zipf_integral(const zipf *self, double x)
{
    return expm1((1.0 - self->exponent) * log(x)) / (1.0 - self->exponent);
}

static inline double zipf_inverse(const zipf *self, double y)
{
    return exp(log1p(y * (1.0 - self->exponent)) / (1.0 - self->exponent));
}

static inline double zipf_density(const zipf *self, double x)
{
    return exp(-self->exponent * log(x));
}

static inline zipf zipf_make(uint64_t n, double exponent)
{
    zipf self = {.exponent = exponent, .n = n};
    self.low = zipf_integral(&self, 1.5) - 1.0;
    self.high = zipf_integral(&self, (double)n + 0.5);
    self.shortcut = 2.0 - zipf_inverse(&self, zipf_integral(&self, 2.5) - zipf_density(&self, 2.0));
    return self;
}

/* Tries a uniform number of [0, 1); false: draw another one. */
static inline bool zipf_try(const zipf *self, double uniform, uint64_t *rank)
{
    double y = self->high + uniform * (self->low - self->high);
    double x = zipf_inverse(self, y);
    double k = floor(x + 0.5);
    if (k < 1.0) {
        k = 1.0;
    } else if (k > (double)self->n) {
        k = (double)self->n;
    }
    *rank = (uint64_t)k - 1;
    return k - x <= self->shortcut || y >= zipf_integral(self, k + 0.5) - zipf_density(self, k);
}

#endif
