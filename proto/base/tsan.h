/* tsan: what ThreadSanitizer cannot see. libzmq is not built for it, so that what one thread wrote into a
 * message and another one reads after receiving it looks like a race. A message is handed over by the pipe
 * (zmq_msg_send(3): "the socket takes over"), and a pipe orders what it carries: say so at both ends, with
 * the same address. Without ThreadSanitizer these are nothing. */
#pragma once

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#define TSAN_HANDS_OVER(address) __tsan_release((void *)(address))
#define TSAN_TAKES_OVER(address) __tsan_acquire((void *)(address))
#else
#define TSAN_HANDS_OVER(address) ((void)(address))
#define TSAN_TAKES_OVER(address) ((void)(address))
#endif
