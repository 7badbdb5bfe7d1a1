/* The list of families, spelt out from the names in families.h. */
#include "command/families.h"

#define FE_FAMILY_ADDRESS(name) &fe_family_##name,
static const fe_family *const families[] = {FE_FAMILIES(FE_FAMILY_ADDRESS)};

const fe_family *const *fe_families(uint32_t *count)
{
    *count = (uint32_t)(sizeof(families) / sizeof(families[0]));
    return families;
}
