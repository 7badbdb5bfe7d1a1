/* Asking for a cache line ahead of its use. */
#ifndef FE_STORE_PREFETCH_H
#define FE_STORE_PREFETCH_H

/* GCC 12 takes a function that does nothing but __builtin_prefetch for one without effect and drops
 * calls of it. The empty statement is an effect. */
static inline void fe_prefetch(const void *line)
{
    __builtin_prefetch(line);
    __asm__ volatile("" : : "r"(line));
}

#endif
