/* slim: a coverage record without what verdicts do not read. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The packed record without the sources of its coverage; its length in out, 0: it is no such record, decode
 * it as it is (and let that say what is wrong). out and scratch hold len + 16 bytes. */
size_t corr_slim(const uint8_t *record, size_t len, uint8_t *out, uint8_t *scratch);

/* Does this packed record tell what was watched of the Kubernetes API? It has the pods of the agent's node
 * among its sources, in each version. *ret_full: and it names kinds. */
bool corr_covers_kube(const uint8_t *record, size_t len, bool *ret_full);
