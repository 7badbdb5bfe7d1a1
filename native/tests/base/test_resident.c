/* What the kernel says of the process's memory. */
#include "tests/check.h"

#include "base/alloc.h"
#include "base/resident.h"

TEST(touched_memory_is_resident)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    size_t size = (size_t)64 << 20;
    uint64_t before = fe_resident_bytes();
    CHECK(before > 0);

    volatile uint8_t *ptr = fe_pages_map(&alloc, FE_ALLOC_LOG, size, 4096);
    for (size_t i = 0; i < size; i += 4096)
        ptr[i] = 1;

    CHECK(fe_resident_bytes() >= before + size / 2);
    fe_pages_unmap(&alloc, FE_ALLOC_LOG, (void *)ptr, size);
}

int main(void)
{
    RUN(touched_memory_is_resident);
    return check_done();
}
