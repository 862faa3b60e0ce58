/* crash: places at which tests end the process as kill -9 does, to see that nothing is lost or done twice.
 *
 * CRASH_POINT("module-moment") costs nothing in a program without PILOTGATE_CRASH_POINTS, which is what is
 * released. With it (the option is on where the tests are), the environment
 * PILOTGATE_CRASH_AT="module-moment:3" kills the process as it passes that place for the third time;
 * PILOTGATE_CRASH_AT=list prints the names of all places that are passed, each once, to the file
 * PILOTGATE_CRASH_LIST. */
#pragma once

#ifdef PILOTGATE_CRASH_POINTS
void crash_point(const char *name);
#define CRASH_POINT(name) crash_point(name)
#else
#define CRASH_POINT(name) ((void)0)
#endif
