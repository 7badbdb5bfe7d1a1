/* Active expiry: finding records past their deadline without reading keys that have time left. The
 * step is fe_store_step_expire in store/keyspace.h; nothing else is public.
 */
#ifndef FE_STORE_EXPIRE_H
#define FE_STORE_EXPIRE_H

#include "store/store.h"

#endif
