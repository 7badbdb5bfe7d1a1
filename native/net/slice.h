/* The slice: how long a thread wants to compute before the scheduler turns to another.
 *
 * A thread of short work that asks for short slices gets the processor as soon as it wakes, where otherwise it would wait for
 * the end of a slice, milliseconds long, of whoever computes on that core. It gets no larger share.
 */
#ifndef FE_NET_SLICE_H
#define FE_NET_SLICE_H

#define FE_SLICE_US 100 /* the shortest that Linux gives */

/* Asks for short slices for the calling thread. Linux takes such a wish from 6.12 on; before, under a real-time policy or
 * where it is forbidden, nothing changes. */
void fe_slice_ask(void);

#endif
