/* Who we say we are: the level of Redis that clients may rely on. The version of ferrite-py itself
 * has its place in ferrite_py/__init__.py. */
#ifndef FE_BASE_VERSION_H
#define FE_BASE_VERSION_H

#define FE_REDIS_VERSION "7.2.0" /* commands, replies and error texts are those of this version */

#endif
