/* See slice.h. */
#define _GNU_SOURCE
#include "net/slice.h"

#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's struct sched_attr as it was first, which every later kernel takes; the C library has none before glibc 2.41. */
typedef struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
} attributes;

void fe_slice_ask(void)
{
    attributes now;
    if (syscall(SYS_sched_getattr, 0, &now, sizeof now, 0) != 0 || now.policy != SCHED_OTHER)
        return;
    attributes wanted = {.size = sizeof wanted,
                         .policy = now.policy,
                         .flags = now.flags,
                         .nice = now.nice,
                         .runtime_ns = (uint64_t)FE_SLICE_US * 1000};
    (void)syscall(SYS_sched_setattr, 0, &wanted, 0);
}
